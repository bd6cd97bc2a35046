//! Each flaw does to a connection what it says, byte by byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tensorgate_testhub::{Flaw, Wire};

const SAID: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";

/// A wire to a server that reads four bytes, says its piece, and tells what else it read.
fn wire() -> (Wire, Receiver<Vec<u8>>) {
    let wire = Wire::new().unwrap();
    let heard = lead(&wire);
    (wire, heard)
}

fn lead(wire: &Wire) -> Receiver<Vec<u8>> {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    wire.lead_to(server.local_addr().unwrap());
    let (tell, heard) = channel();
    thread::spawn(move || {
        for stream in server.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut request = [0; 4];
                stream.read_exact(&mut request).unwrap();
                // Whoever is cut off hears nothing.
                drop(stream.write_all(SAID));
                drop(stream.shutdown(Shutdown::Write));
                let mut rest = Vec::new();
                drop(stream.read_to_end(&mut rest));
                drop(tell.send(rest));
            });
        }
    });
    heard
}

fn ask(wire: &Wire) -> TcpStream {
    let address = wire.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET ").unwrap();
    stream
}

/// What comes until the end, and how it ends.
fn answer(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    (bytes, end.err().map(|error| error.kind()))
}

#[test]
fn without_a_flaw_everything_passes() {
    let (wire, heard) = wire();
    let mut stream = ask(&wire);
    assert_eq!(answer(&mut stream), (SAID.to_vec(), None));
    stream.write_all(b"more").unwrap();
    drop(stream);
    assert_eq!(heard.recv().unwrap(), b"more");
    assert_eq!(wire.carried(), [SAID.len() as u64]);
}

#[test]
fn a_connection_ends_behind_any_byte() {
    let (wire, _heard) = wire();
    for after in 0..SAID.len() {
        let after = after as u64;
        wire.spoil_once(Flaw::Closed { after });
        let expected = SAID[..after as usize].to_vec();
        assert_eq!(answer(&mut ask(&wire)), (expected, None));
    }
    assert_eq!(answer(&mut ask(&wire)), (SAID.to_vec(), None));
}

#[test]
fn a_reset_is_no_end() {
    let (wire, _heard) = wire();
    for after in [0, 1, 30] {
        wire.spoil_once(Flaw::Reset { after });
        let (bytes, end) = answer(&mut ask(&wire));
        assert!(bytes.len() as u64 <= after);
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    }
}

#[test]
fn whoever_is_half_closed_still_listens() {
    let (wire, heard) = wire();
    wire.spoil_once(Flaw::HalfClosed { after: 5 });
    let mut stream = ask(&wire);
    assert_eq!(answer(&mut stream), (SAID[..5].to_vec(), None));
    stream.write_all(b"more").unwrap();
    drop(stream);
    assert_eq!(heard.recv().unwrap(), b"more");
    wire.spoil_once(Flaw::RequestEnds);
    let mut stream = ask(&wire);
    assert_eq!(heard.recv().unwrap(), b"");
    assert_eq!(answer(&mut stream), (SAID.to_vec(), None));
}

#[test]
fn what_stalls_stays_open() {
    let (wire, _heard) = wire();
    wire.spoil(Flaw::Stalled { after: 7 });
    let mut stream = ask(&wire);
    let wait = Some(Duration::from_millis(200));
    stream.set_read_timeout(wait).unwrap();
    let (bytes, end) = answer(&mut stream);
    assert_eq!(bytes, &SAID[..7]);
    assert_eq!(end, Some(ErrorKind::WouldBlock));
    drop(wire);
    stream.set_read_timeout(None).unwrap();
    assert_eq!(answer(&mut stream).0, b"");
}

#[test]
fn a_trickle_takes_its_time() {
    let (wire, _heard) = wire();
    let pause = Duration::from_millis(20);
    wire.spoil(Flaw::Trickled { bytes: 10, pause });
    let begun = Instant::now();
    assert_eq!(answer(&mut ask(&wire)), (SAID.to_vec(), None));
    assert!(begun.elapsed() >= pause * (SAID.len() / 10) as u32);
    let by = Duration::from_millis(100);
    wire.spoil(Flaw::Delayed { by });
    let begun = Instant::now();
    assert_eq!(answer(&mut ask(&wire)), (SAID.to_vec(), None));
    assert!(begun.elapsed() >= by);
}

#[test]
fn one_byte_is_another_or_some_come_twice() {
    let (wire, _heard) = wire();
    for at in 0..SAID.len() {
        wire.spoil_once(Flaw::Flipped { at: at as u64 });
        let mut expected = SAID.to_vec();
        expected[at] ^= 1;
        assert_eq!(answer(&mut ask(&wire)), (expected, None));
    }
    wire.spoil_once(Flaw::Repeated { at: 20, bytes: 4 });
    let expected = [&SAID[..20], &SAID[16..]].concat();
    assert_eq!(answer(&mut ask(&wire)), (expected, None));
}

#[test]
fn a_wire_begins_where_it_is_told() {
    let wire = Wire::at(Ipv6Addr::LOCALHOST).unwrap();
    assert!(wire.url().starts_with("http://[::1]:"), "{}", wire.url());
    let _heard = lead(&wire);
    assert_eq!(answer(&mut ask(&wire)), (SAID.to_vec(), None));
}

#[test]
fn a_wire_to_nowhere_or_none_at_all_is_soon_over() {
    let wire = Wire::new().unwrap();
    assert_eq!(answer(&mut ask(&wire)).0, b"");
    let address = wire.url().strip_prefix("http://").unwrap().to_owned();
    drop(wire);
    // The thread that listens has to look up first.
    let gone = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(&address).is_err()
    });
    assert!(gone);
}
