//! A key that an ssh-agent keeps: it signs, and never hands the key out.
//!
//! The one message that is needed of `draft-ietf-sshm-ssh-agent` (section 3.6) is written here by
//! hand; the crates that speak the whole protocol bring 65 packages and more. An ed25519 signature of
//! an agent is that of RFC 8032 over the very data (RFC 8709, section 6), which is what an envelope
//! wants. Tokens come in through the agent: `ssh-add -s` for PKCS#11, gpg-agent for OpenPGP cards.
//!
//! What an agent says is not believed: `Signed` verifies the signature before anybody is given it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use tensorgate_verify::{KeyHolder, PublicKey};

use crate::failure::Failure;
use crate::openssh::{self, ALGORITHM, string};
use crate::output::say;
use crate::terminal;

const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Bytes of an answer: a signature takes 88.
const MAX_ANSWER: u32 = 1 << 10;
/// Time for a person to find the token and touch it, or to confirm (`ssh-add -c`).
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a message that OpenSSH's agent reads (`AGENT_MAX_LEN` in its `ssh-agent.c`).
const OPENSSH_READS: usize = 256 << 10;

/// A public key, and the agent that has the private one.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: PathBuf,
    key: PublicKey,
    patience: Duration,
}

impl Agent {
    /// The agent of this session, SSH_AUTH_SOCK; nothing is asked of it yet.
    pub(crate) fn holding(key: PublicKey) -> Result<Self, Failure> {
        Self::at(std::env::var_os("SSH_AUTH_SOCK"), key)
    }

    fn at(socket: Option<OsString>, key: PublicKey) -> Result<Self, Failure> {
        match socket.filter(|socket| !socket.is_empty()) {
            Some(socket) => Ok(Self {
                socket: socket.into(),
                key,
                patience: PATIENCE,
            }),
            None => {
                let detail = "there is no ssh-agent: SSH_AUTH_SOCK is not set";
                let hint = "`eval $(ssh-agent)` starts one, `ssh-add FILE` gives it a key";
                Err(Failure::about(Path::new("SSH_AUTH_SOCK"), detail).hint(hint))
            }
        }
    }
}

impl KeyHolder for Agent {
    fn public(&self) -> PublicKey {
        self.key.clone()
    }

    fn sign(&self, message: &[u8]) -> io::Result<[u8; 64]> {
        if terminal::is_there() {
            say("asking the ssh-agent to sign; a token may want to be touched");
        }
        let request = request(&self.key, message)?;
        let (socket, size) = (self.socket.clone(), request.len());
        let (answer, answered) = mpsc::channel();
        // A thread, since connecting, writing and reading may each hang, or drip.
        std::thread::spawn(move || answer.send(ask(&socket, &request)));
        match answered.recv_timeout(self.patience) {
            Ok(answer) => answer.map_err(|error| explain(error, size)),
            Err(_) => {
                let seconds = self.patience.as_secs();
                let detail = format!("the ssh-agent did not answer within {seconds} s");
                Err(io::Error::new(ErrorKind::TimedOut, detail))
            }
        }
    }
}

/// A length in front, then: the key's blob, the data, and no flags, which are for RSA.
fn request(key: &PublicKey, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut body = vec![SIGN_REQUEST];
    body.extend(string(&openssh::blob(key))?);
    body.extend(string(message)?);
    body.extend(0_u32.to_be_bytes());
    string(&body)
}

fn ask(socket: &Path, request: &[u8]) -> io::Result<[u8; 64]> {
    let mut agent = UnixStream::connect(socket)?;
    agent.write_all(request)?;
    read_signature(&mut agent)
}

fn read_signature(agent: &mut impl Read) -> io::Result<[u8; 64]> {
    let mut length = [0; 4];
    agent.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_ANSWER {
        return Err(malformed());
    }
    let mut body = Vec::new();
    agent.take(length.into()).read_to_end(&mut body)?;
    if u32::try_from(body.len()) != Ok(length) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    match body.split_first() {
        Some((&SIGN_RESPONSE, rest)) => signature(rest).ok_or_else(malformed),
        Some(_) => {
            let detail = "the ssh-agent does not sign with this key: it does not have it, or somebody declined";
            Err(io::Error::new(ErrorKind::PermissionDenied, detail))
        }
        None => Err(malformed()),
    }
}

fn signature(rest: &[u8]) -> Option<[u8; 64]> {
    let (signature, rest) = openssh::split(rest)?;
    let (algorithm, signature) = openssh::split(signature)?;
    let (bytes, end) = openssh::split(signature)?;
    let is_whole = rest.is_empty() && end.is_empty() && algorithm == ALGORITHM.as_bytes();
    bytes.try_into().ok().filter(|_| is_whole)
}

fn malformed() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "what the ssh-agent answered is no ed25519 signature",
    )
}

fn explain(error: io::Error, size: usize) -> io::Error {
    let cut = matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    );
    let detail = match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no ssh-agent at SSH_AUTH_SOCK: {error}")
        }
        _ if cut && size > OPENSSH_READS => format!(
            "the ssh-agent hung up: it was to sign {size} bytes, and that of OpenSSH reads {OPENSSH_READS}"
        ),
        _ if cut => "the ssh-agent hung up".to_owned(),
        _ => return error,
    };
    io::Error::new(error.kind(), detail)
}

#[cfg(test)]
mod tests;
