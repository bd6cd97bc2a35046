//! A wire between a client and a server: TCP connections, forwarded byte by byte, and spoiled in
//! exactly the way that is asked for.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::error::Error;

/// What is wrong with a connection. Places are counted in bytes of what the server sends on it,
/// heads included, from the first one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// The connection ends after `after` bytes, in good order (FIN).
    Closed {
        /// How many bytes pass.
        after: u64,
    },
    /// The connection breaks after `after` bytes (RST).
    Reset {
        /// How many bytes pass.
        after: u64,
    },
    /// The server's side ends after `after` bytes; what the client sends is still taken.
    HalfClosed {
        /// How many bytes pass.
        after: u64,
    },
    /// The client's side ends behind its first bytes, which for a small request is all of it.
    RequestEnds,
    /// Nothing comes any more after `after` bytes; the connection stays open.
    Stalled {
        /// How many bytes pass.
        after: u64,
    },
    /// `bytes` come, then there is a pause, and so on.
    Trickled {
        /// How many bytes come at a time; at least 1.
        bytes: usize,
        /// How long the pauses are.
        pause: Duration,
    },
    /// Byte `at` has its lowest bit turned over.
    Flipped {
        /// Which byte.
        at: u64,
    },
    /// The `bytes` bytes before `at` come again, as if a segment was taken twice.
    Repeated {
        /// Where they come again.
        at: u64,
        /// How many, at most 16 KiB.
        bytes: usize,
    },
    /// The server is reached after a while only.
    Delayed {
        /// How long it takes.
        by: Duration,
    },
}

/// A port on this machine that leads to another one. Dropping it closes all connections.
///
/// ```
/// use tensorgate_testhub::{Flaw, Port, TestHub, Wire};
///
/// let wire = Wire::new()?;
/// let hub = TestHub::builder().seen_as(Port::Cdn, wire.url()).start()?;
/// wire.lead_to(hub.address(Port::Cdn));
/// wire.spoil_once(Flaw::Reset { after: 1000 });
/// // ... a client of this hub has its first LFS file cut off after 1,000 bytes, head included.
/// # Ok::<(), tensorgate_testhub::Error>(())
/// ```
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    address: SocketAddr,
    url: String,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    leads_to: Option<SocketAddr>,
    always: Option<Flaw>,
    once: Vec<Flaw>,
    /// Bytes that the server sent, by connection.
    carried: Vec<u64>,
    /// Both ends of each connection that is open.
    open: BTreeMap<usize, [TcpStream; 2]>,
}

/// As much as passes at once, and as much as can come again.
const CHUNK: usize = 16 << 10;

impl Wire {
    /// A wire from a free port of 127.0.0.1; it [leads](Self::lead_to) nowhere yet.
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub fn new() -> Result<Self, Error> {
        Self::at(Ipv4Addr::LOCALHOST)
    }

    /// The same from another address of this machine, such as `::1`.
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub fn at(host: impl Into<IpAddr>) -> Result<Self, Error> {
        let error = |source| Error::Bind { port: 0, source };
        let socket = TcpListener::bind((host.into(), 0)).map_err(error)?;
        let address = socket.local_addr().map_err(error)?;
        let shared = Arc::new(Shared::default());
        let connections = Arc::clone(&shared);
        thread::spawn(move || connections.accept(&socket));
        Ok(Self {
            shared,
            address,
            url: format!("http://{address}"),
        })
    }

    /// Where connections go from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        self.shared.state().leads_to = Some(server);
    }

    /// `http://ADDRESS:PORT` of this end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Spoils every connection from now on, until it is [mended](Self::mend).
    pub fn spoil(&self, flaw: Flaw) {
        self.shared.state().always = Some(flaw);
    }

    /// Spoils the next connection; several flaws come one after the other.
    pub fn spoil_once(&self, flaw: Flaw) {
        self.shared.state().once.push(flaw);
    }

    /// Lets all that is new pass as it is.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        (state.always, state.once) = (None, Vec::new());
    }

    /// How many bytes the server sent on each connection, in the order of their beginnings.
    pub fn carried(&self) -> Vec<u64> {
        self.shared.state().carried.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.state().open.values().flatten() {
            // It may have ended before.
            stream.shutdown(Shutdown::Both).ok();
        }
        // Whoever waits for connections looks up.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, socket: &TcpListener) {
        for client in socket.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            let shared = Arc::clone(&self);
            // A connection that breaks is what this is for.
            thread::spawn(move || shared.connection(client).ok());
        }
    }

    fn connection(&self, client: TcpStream) -> io::Result<()> {
        let (number, leads_to, flaw) = self.begin();
        let Some(leads_to) = leads_to else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let Some(Flaw::Delayed { by }) = flaw {
            thread::sleep(by);
        }
        let server = TcpStream::connect(leads_to)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
        }
        let ends = [client.try_clone()?, server.try_clone()?];
        self.state().open.insert(number, ends);
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        let once = flaw == Some(Flaw::RequestEnds);
        thread::spawn(move || requests(from, to, once).ok());
        let answers = Answers {
            client,
            number,
            flaw,
            sent: 0,
            last: Vec::new(),
        };
        let ended = answers.forward(server, self);
        self.state().open.remove(&number);
        ended
    }

    fn begin(&self) -> (usize, Option<SocketAddr>, Option<Flaw>) {
        let mut state = self.state();
        let number = state.carried.len();
        state.carried.push(0);
        let flaw = match state.once.is_empty() {
            true => state.always,
            false => Some(state.once.remove(0)),
        };
        (number, state.leads_to, flaw)
    }
}

/// What the client says; that it has ended is passed on.
fn requests(mut client: TcpStream, mut server: TcpStream, once: bool) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        let read = client.read(&mut buffer)?;
        server.write_all(buffer.get(..read).unwrap_or_default())?;
        if read == 0 || once {
            server.shutdown(Shutdown::Write)?;
            return Ok(());
        }
    }
}

/// What the server says, on its way.
struct Answers {
    client: TcpStream,
    number: usize,
    flaw: Option<Flaw>,
    sent: u64,
    /// The last bytes that passed.
    last: Vec<u8>,
}

impl Answers {
    fn forward(mut self, mut server: TcpStream, shared: &Shared) -> io::Result<()> {
        let mut buffer = [0; CHUNK];
        loop {
            let most = self.most();
            if most == 0 {
                return self.end(&server);
            }
            let room = buffer.get_mut(..most).unwrap_or_default();
            let read = server.read(room)?;
            let chunk = buffer.get_mut(..read).unwrap_or_default();
            if chunk.is_empty() {
                self.client.shutdown(Shutdown::Write)?;
                return Ok(());
            }
            if let Some(carried) = shared.state().carried.get_mut(self.number) {
                *carried += chunk.len() as u64;
            }
            self.pass(chunk)?;
        }
    }

    /// Bytes that may pass as they are before something happens.
    fn most(&self) -> usize {
        let until = |place: u64| usize::try_from(place.saturating_sub(self.sent)).unwrap_or(CHUNK);
        let most = match self.flaw {
            Some(
                Flaw::Closed { after }
                | Flaw::Reset { after }
                | Flaw::HalfClosed { after }
                | Flaw::Stalled { after },
            ) => until(after),
            Some(Flaw::Repeated { at, .. }) if at > self.sent => until(at),
            Some(Flaw::Trickled { bytes, .. }) => bytes.max(1),
            _ => CHUNK,
        };
        most.min(CHUNK)
    }

    fn pass(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        let offset = |at: u64| usize::try_from(at.checked_sub(self.sent)?).ok();
        if let Some(Flaw::Flipped { at }) = self.flaw
            && let Some(byte) = offset(at).and_then(|at| chunk.get_mut(at))
        {
            *byte ^= 1;
        }
        self.client.write_all(chunk)?;
        self.sent += chunk.len() as u64;
        self.last.extend_from_slice(chunk);
        self.last.drain(..self.last.len().saturating_sub(CHUNK));
        match self.flaw {
            Some(Flaw::Repeated { at, bytes }) if at == self.sent => {
                let from = self.last.len().saturating_sub(bytes);
                let again = self.last.get(from..).unwrap_or_default();
                self.client.write_all(again)
            }
            Some(Flaw::Trickled { pause, .. }) => {
                thread::sleep(pause);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the connection as the flaw has it.
    fn end(mut self, server: &TcpStream) -> io::Result<()> {
        match self.flaw {
            Some(Flaw::Reset { .. }) => {
                set_socket_linger(&self.client, Some(Duration::ZERO))?;
                // A socket is closed once all its handles are: the other half has to let go, too.
                self.client.shutdown(Shutdown::Read)?;
                server.shutdown(Shutdown::Both)
            }
            Some(Flaw::Stalled { .. }) => {
                // Until the client has had enough, or the wire is taken away.
                let _end = self.client.read(&mut [0; CHUNK])?;
                server.shutdown(Shutdown::Both)
            }
            Some(Flaw::HalfClosed { .. }) => self.client.shutdown(Shutdown::Write),
            _ => {
                self.client.shutdown(Shutdown::Both)?;
                server.shutdown(Shutdown::Both)
            }
        }
    }
}
