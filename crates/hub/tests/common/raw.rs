//! Servers that say what no Hub does, byte by byte.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use tensorgate_hub::{FetchError, FetchLimits, Hub, Request, Silent, fetch};

use super::{ID, config};

pub(crate) const TOKEN: &str = "hf_secret";

/// A server that reads a request and then says what it likes; where it listens.
pub(crate) fn serve(
    answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Clone + Send + 'static,
) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let head = lines.map_while(Result::ok);
                let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
                // Whoever gives up closes the connection.
                drop(answer(head.first().unwrap(), &mut stream));
            });
        }
    });
    endpoint
}

/// What a fetch from there ends with.
pub(crate) async fn end_of(endpoint: &str, limit: impl FnOnce(&mut FetchLimits)) -> FetchError {
    let mut config = config(endpoint, Some(TOKEN));
    config.limits.retries = 0;
    limit(&mut config.limits);
    let hub = Hub::new(&config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = tensorgate_store::Store::open(dir.path().join("store")).unwrap();
    let target = format!("{ID}@{}", "a".repeat(40)).parse().unwrap();
    let ended = fetch(&store, Some(&hub), Request::new(&target), &Silent).await;
    ended.unwrap_err()
}

/// One file that the listing has, and what is answered when it is asked for.
pub(crate) async fn end_of_file(head: &str, limit: impl FnOnce(&mut FetchLimits)) -> FetchError {
    let head = head.to_owned();
    let endpoint = serve(move |request, stream| match request.contains("/tree/") {
        true => whole(stream, LISTING),
        false => write!(stream, "HTTP/1.1 {head}"),
    });
    end_of(&endpoint, limit).await
}

/// A README of two bytes, `{}`.
pub(crate) const LISTING: &str = r#"[{"type":"file","oid":"9e26dfeeb6e641a33dae4961196235bdb965b21b","size":2,"path":"README.md"}]"#;

/// It is the connection's last answer, and says so: a client may not ask again on it.
pub(crate) fn whole(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

pub(crate) fn assert_malformed(error: &FetchError, what: &str) {
    assert!(matches!(error, FetchError::Malformed { .. }), "{error:?}");
    assert!(error.to_string().contains(what), "{error}");
}
