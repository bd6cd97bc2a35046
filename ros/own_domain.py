"""A ROS domain that nothing else of ours on this machine is in, heard on this machine only."""

import os
import socket

# What says that a domain is taken; the system forgets it when this process ends.
claims = []


def claim():
    """Takes one of the domains 1 to 101, whose ports lie below the ephemeral ones of Linux."""
    for number in range(101):
        domain = 1 + (os.getpid() + number) % 101
        claims.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        try:
            claims[-1].bind(f"\0tensorgate-domain-{domain}")
        except OSError:
            claims.pop().close()
            continue
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        return
    raise OSError("all ROS domains from 1 to 101 are taken")
