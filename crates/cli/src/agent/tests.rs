//! Agents that are not what they should be; the real one is tried with the command.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use tensorgate_verify::SigningKey;

use super::*;

/// An agent that takes one request and gives this answer, then hangs or hangs up.
fn agent(answer: Vec<u8>, hangs: bool) -> (tempfile::TempDir, Agent, SigningKey) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        client.read_exact(&mut length).unwrap();
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        client.read_exact(&mut request).unwrap();
        client.write_all(&answer).ok();
        if hangs {
            client.read_exact(&mut length).ok();
        }
    });
    let key = SigningKey::from_seed(&[7; 32]);
    let mut agent = Agent::at(Some(socket.into()), key.public()).unwrap();
    agent.patience = Duration::from_secs(30);
    (folder, agent, key)
}

fn answer(algorithm: &str, signature: &[u8]) -> Vec<u8> {
    let parts = [string(algorithm.as_bytes()), string(signature)].map(Result::unwrap);
    let body = [vec![SIGN_RESPONSE], string(&parts.concat()).unwrap()].concat();
    string(&body).unwrap()
}

#[test]
fn what_is_no_signature_is_an_error() {
    let good = answer(ALGORITHM, &[1; 64]);
    let (_folder, honest, _) = agent(good.clone(), false);
    assert_eq!(honest.sign(b"message").unwrap(), [1; 64]);
    for (answer, why) in [
        (answer(ALGORITHM, &[1; 63]), "is no ed25519 signature"),
        (answer("ssh-rsa", &[1; 64]), "is no ed25519 signature"),
        (string(b"").unwrap(), "is no ed25519 signature"),
        (
            string(&[SIGN_RESPONSE, 0, 0]).unwrap(),
            "is no ed25519 signature",
        ),
        (
            string(&[&good[4..], &[0]].concat()).unwrap(),
            "is no ed25519 signature",
        ),
        // Four GiB, as it says.
        (vec![0xff; 4], "is no ed25519 signature"),
        (
            string(&[5]).unwrap(),
            "does not have it, or somebody declined",
        ),
        (good[..40].to_vec(), "hung up"),
        (Vec::new(), "hung up"),
    ] {
        let (_folder, agent, _) = agent(answer.clone(), false);
        let error = agent.sign(b"message").unwrap_err().to_string();
        assert!(error.contains(why), "{answer:?}: {error}");
    }
}

#[test]
fn an_agent_that_hangs_is_left() {
    for part in [Vec::new(), answer(ALGORITHM, &[1; 64])[..40].to_vec()] {
        let (_folder, mut agent, _) = agent(part, true);
        agent.patience = Duration::from_millis(300);
        let error = agent.sign(b"message").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}

#[test]
fn the_request_is_the_one_of_the_protocol() {
    let key = SigningKey::from_seed(&[7; 32]).public();
    let request = request(&key, b"message").unwrap();
    let head = [0, 0, 0, 75, 13, 0, 0, 0, 51, 0, 0, 0, 11];
    assert_eq!(request[..13], head);
    assert_eq!(request[13..24], *b"ssh-ed25519");
    assert_eq!(request[28..60], *key.as_bytes());
    assert_eq!(request[60..64], [0, 0, 0, 7]);
    assert_eq!(request[64..], *b"message\0\0\0\0");
}

#[test]
fn without_an_agent_it_is_said_how_to_have_one() {
    let key = SigningKey::from_seed(&[7; 32]).public();
    for nothing in [None, Some(OsString::new())] {
        assert!(Agent::at(nothing, key.clone()).is_err());
    }
    let nowhere = Some(PathBuf::from("/nonexistent/agent").into());
    let error = Agent::at(nowhere, key).unwrap().sign(b"x").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no ssh-agent at SSH_AUTH_SOCK: "),
        "{error}"
    );
}
