"""The switch of a fleet, as a program: hands frames from line to line, and loses, delays and reorders
some by the way. The kernel's netem would do it, but is a module that many virtual machines lack.

Its standard input has a word about a port in each line, and ends it.
"""

import heapq
import itertools
import json
import os
import random
import selectors
import socket
import sys
import time

# linux/if_packet.h, asm-generic/socket.h, linux/if_ether.h
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
# struct virtio_net_hdr, which the kernel puts in front: a checksum may be still to be made.
VNET_HDR = 10
# How much later than the others a reordered frame is at most [s].
LATE = 0.005


class Switch:
    """Hands a frame to the port where its address was seen, or to all others."""

    def __init__(self):
        self.ports, self.addresses, self.late = {}, {}, []
        self.random, self.number = random.Random(7), itertools.count()
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin.buffer, selectors.EVENT_READ)

    def run(self):
        print("ready", flush=True)
        while True:
            wait = self.late[0][0] - time.monotonic() if self.late else None
            for key, _ in self.selector.select(wait and max(wait, 0)):
                if key.data is None and not self.hear():
                    return
                if key.data:
                    self.take(key.data)
            while self.late and self.late[0][0] <= time.monotonic():
                _, _, port, frame = heapq.heappop(self.late)
                port.send(frame)

    def hear(self):
        """A word about a port, which is plugged in with the first one; False at the end of words."""
        line = os.read(sys.stdin.fileno(), 1 << 16)
        if not line:
            return False
        word = json.loads(line)
        name = word.pop("port")
        if name not in self.ports:
            self.ports[name] = Port(name)
            self.selector.register(self.ports[name].socket, selectors.EVENT_READ, self.ports[name])
        vars(self.ports[name]).update(word)
        print("done", flush=True)
        return True

    def take(self, source):
        for frame in source.frames():
            to, by = frame[VNET_HDR:][:6], frame[VNET_HDR + 6 :][:6]
            self.addresses[by] = source
            for port in [self.addresses[to]] if to in self.addresses else self.ports.values():
                if port is not source and not self.lost(source) and not self.lost(port):
                    due = time.monotonic() + self.delay(source) + self.delay(port)
                    heapq.heappush(self.late, (due, next(self.number), port, frame))

    def lost(self, port):
        return not port.up or self.random.random() < port.loss

    def delay(self, port):
        """Some are overtaken by those behind them."""
        late = self.random.random() < port.reorder
        return port.delay + (self.random.uniform(0, LATE) if late else 0)


class Port:
    def __init__(self, name):
        self.up, self.loss, self.reorder, self.delay = True, 0, 0, 0
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.socket.bind((name, ETH_P_ALL))

    def frames(self):
        for _ in range(64):
            try:
                yield self.socket.recv((1 << 16) + VNET_HDR + 64)
            except OSError:
                return  # Nothing is there, or the cable was pulled.

    def send(self, frame):
        try:
            self.socket.send(frame)
        except OSError:
            pass  # Its queue is full: lost, as on any line.


if __name__ == "__main__":
    Switch().run()
