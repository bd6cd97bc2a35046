//! A forward proxy on loopback that knows names of its own, and writes down what it was asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) struct Forward {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// What it does with a request.
#[derive(Clone)]
pub(crate) enum Rule {
    /// Passes it on to one of these hosts.
    To(HashMap<&'static str, SocketAddr>),
    /// Answers this itself.
    Answer(&'static str),
}

impl Forward {
    pub(crate) fn start(rule: Rule) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        thread::spawn(move || {
            for client in socket.incoming() {
                let (rule, log) = (rule.clone(), Arc::clone(&log));
                // Whoever gives up closes the connection.
                thread::spawn(move || drop(rule.serve(client.unwrap(), &log)));
            }
        });
        Self { address, heads }
    }

    /// To a hub and its CDN, by the names `hub.example` and `cdn.example`.
    pub(crate) fn to(hub: SocketAddr, cdn: SocketAddr) -> Self {
        let hosts = HashMap::from([("hub.example", hub), ("cdn.example", cdn)]);
        Self::start(Rule::To(hosts))
    }

    /// The head of each request so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Rule {
    fn serve(&self, mut client: TcpStream, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let mut from = BufReader::new(client.try_clone()?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        log.lock().unwrap().push(head.clone());
        let hosts = match self {
            Self::Answer(answer) => return write!(client, "{answer}"),
            Self::To(hosts) => hosts,
        };
        let target = head.split_whitespace().nth(1).unwrap();
        let tunnel = head.starts_with("CONNECT ");
        let (authority, path) = match target.strip_prefix("http://") {
            Some(rest) => rest.split_once('/').unwrap(),
            None => (target, ""),
        };
        let host = authority.split(':').next().unwrap();
        let Some(address) = hosts.get(host) else {
            return write!(
                client,
                "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
            );
        };
        let mut server = TcpStream::connect(address)?;
        if tunnel {
            write!(client, "HTTP/1.1 200 OK\r\n\r\n")?;
        } else {
            // One request a connection: the next may be for another host.
            let head = head.replace(target, &format!("/{path}"));
            let own = |line: &&str| !line.to_ascii_lowercase().starts_with("proxy-");
            let lines: Vec<_> = head.trim_end().lines().filter(own).collect();
            write!(
                server,
                "{}\r\nConnection: close\r\n\r\n",
                lines.join("\r\n")
            )?;
        }
        let mut back = (server.try_clone()?, client.try_clone()?);
        let answers = thread::spawn(move || {
            drop(copy(&mut back.0, &mut back.1));
            drop(back.1.shutdown(Shutdown::Write));
        });
        copy(&mut from.by_ref().chain(&mut client), &mut server)?;
        server.shutdown(Shutdown::Write)?;
        answers.join().unwrap();
        Ok(())
    }
}
