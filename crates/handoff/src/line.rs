//! One packet at a time, and at most one descriptor with it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::HandoffError;
use crate::packet::{LEN, Packet};

/// Sends a packet, or fails where the other end has not read enough of those before: nobody is
/// waited for.
pub(crate) fn send(
    socket: impl AsFd,
    packet: &Packet,
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), HandoffError> {
    let bytes = packet.to_bytes();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(HandoffError::io("sendmsg", Errno::NOBUFS));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let sent = sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, flags);
    sent.map_err(|error| HandoffError::io("sendmsg", error))?;
    Ok(())
}

/// Receives a packet of exactly the right size, with one descriptor or none.
pub(crate) fn receive(
    socket: impl AsFd,
    deadline: Instant,
) -> Result<(Packet, Option<OwnedFd>), HandoffError> {
    // One byte more, so that a longer packet is seen.
    let mut bytes = [0; LEN + 1];
    let (len, descriptor) = receive_bytes(&socket, &mut bytes, deadline)?;
    let bytes = match (len, bytes.first_chunk()) {
        (0, _) => return Err(HandoffError::Malformed("it ended early")),
        (LEN, Some(bytes)) => bytes,
        _ => return Err(HandoffError::Malformed("a packet of another size")),
    };
    let packet = Packet::parse(bytes).ok_or(HandoffError::Malformed("an unknown packet"))?;
    Ok((packet, descriptor))
}

fn receive_bytes(
    socket: impl AsFd,
    bytes: &mut [u8],
    deadline: Instant,
) -> Result<(usize, Option<OwnedFd>), HandoffError> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        wait_until(&socket, Timeout::Recv, deadline)?;
        let buffers = &mut [IoSliceMut::new(bytes)];
        match recvmsg(&socket, buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Err(HandoffError::Silent),
            received => break received.map_err(|error| HandoffError::io("recvmsg", error))?,
        }
    };
    // All that came are taken, so that those which nobody wants are closed.
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // Also where this process has no room for another: unix(7).
        return Err(HandoffError::Malformed("descriptors that did not fit"));
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(HandoffError::Malformed("a packet of another size"));
    }
    match descriptors.len() {
        0 | 1 => Ok((received.bytes, descriptors.pop())),
        _ => Err(HandoffError::Malformed("more than one descriptor")),
    }
}

/// What is done with `socket` next ends by then.
pub(crate) fn wait_until(
    socket: impl AsFd,
    what: Timeout,
    deadline: Instant,
) -> Result<(), HandoffError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left < Duration::from_micros(1) {
        return Err(HandoffError::Silent);
    }
    set_socket_timeout(socket, what, Some(left))
        .map_err(|error| HandoffError::io("setsockopt", error))
}
