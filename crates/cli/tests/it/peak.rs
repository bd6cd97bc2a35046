//! What a hostile Hub can make a fetch hold in memory before it is refused.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::resume::peak;
use crate::support::{REVISION, Workshop};

/// The longest listing that is taken, of files that lie as deep as any may, each in directories of
/// its own. Of the one file that a policy has, nothing comes.
fn longest_listing() -> String {
    let row = |path: &str, size: u64| {
        let oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        format!(r#"{{"type":"file","oid":"{oid}","size":{size},"path":"{path}"}}"#)
    };
    let path = |n| format!("{}z", format!("{}{n:05}/", "y".repeat(40)).repeat(15));
    let deep = (0..9_999).map(|n| row(&path(n), 1));
    let rows: Vec<String> = deep.chain([row("README.md", 2)]).collect();
    format!("[{}]", rows.join(","))
}

/// The longest envelope that a channel may have, and as much in it as its signature could be for.
fn longest_manifest() -> String {
    // White space, in base64.
    let payload = "ICAg".repeat((8 << 20) / 4 - 1000);
    let rest = "A".repeat((8 << 20) - payload.len() - 100);
    format!(
        r#"{{"payloadType":"application/vnd.in-toto+json","payload":"{payload}","signatures":[{{"sig":"{rest}"}}]}}"#
    )
}

/// A Hub that has these answers for requests with these words in them, and none for others for as
/// long as anybody waits.
fn hub(answers: Vec<(&'static str, String)>) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let (stream, answers) = (stream.unwrap(), answers.clone());
            std::thread::spawn(move || drop(answer(stream, &answers)));
        }
    });
    endpoint
}

fn answer(mut stream: TcpStream, answers: &[(&str, String)]) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let mut head = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let request = head.next().unwrap_or_default();
    head.for_each(drop);
    let found = answers.iter().find(|(word, _)| request.contains(word));
    match found.map(|(_, body)| body) {
        None => std::thread::sleep(Duration::from_secs(60)),
        Some(body) if body.is_empty() => {
            let head = "HTTP/1.1 404 x\r\nConnection: close\r\nContent-Length: 0";
            write!(stream, "{head}\r\n\r\n")?;
        }
        Some(body) => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
            write!(stream, "{head} {}\r\n\r\n{body}", body.len())?;
        }
    }
    Ok(())
}

/// The most memory that a command had when it says this; it goes on.
fn peak_at(command: &mut Command, word: &str) -> u64 {
    let mut child: Child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let heard = said.find(|line| line.as_ref().unwrap().contains(word));
    let most = peak(&child).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(heard.is_some(), "it does not say {word:?}");
    println!("{most} KiB");
    most
}

#[test]
fn a_listing_as_long_and_as_deep_as_any_takes_no_more_than_sixty_four_mebibytes() {
    let listing = longest_listing();
    assert!((7 << 20..=8 << 20).contains(&listing.len()));
    let endpoint = hub(vec![("/tree/", listing)]);
    let workshop = Workshop::new();
    let target = format!("acme/walk@{REVISION}");
    let mut command = workshop.command();
    command.args(["fetch", &target, "--endpoint", &endpoint]);
    let most = peak_at(&mut command, "fetching 1 file");
    assert!((1..=64 << 10).contains(&most), "{most} KiB");
}

#[test]
fn a_manifest_as_long_as_any_takes_no_more_than_sixty_four_mebibytes() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    let named = format!(r#"{{"sha":"{REVISION}"}}"#);
    for (more, word) in [
        (0, "rejected: manifest-malformed"),
        (101, "and the limit is 8388608"),
    ] {
        let manifest = longest_manifest() + &" ".repeat(more);
        let endpoint = hub(vec![
            ("/revision/", named.clone()),
            ("/revocations.dsse.json", String::new()),
            ("/policy.dsse.json", manifest),
        ]);
        let mut command = workshop.command();
        command.args(["fetch", "acme/walk", "--manifest", "acme/walk@main"]);
        command.args(["--trust", "trust.toml", "--watch", "60s", "--endpoint"]);
        let most = peak_at(command.arg(&endpoint), word);
        assert!((1..=64 << 10).contains(&most), "{most} KiB");
    }
}
