//! Questions to a person: asked on standard error, answered on standard input, where both are a
//! terminal.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::signals::{END, Held};
use crate::text::plain;

/// Bytes of an answer; a terminal in its usual mode takes 4,095 in a line.
const MAX_LINE: u64 = 8 << 10;
/// Bytes of a passphrase.
const MAX_SECRET: usize = 1 << 10;

/// Whether there is somebody to ask.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for one line. It can be stopped while it waits: nobody waits for the thread that reads.
///
/// # Errors
/// The input ended, or the line has what cannot be shown again as it is.
pub(crate) async fn line(question: &str) -> Result<String, Failure> {
    write!(io::stderr(), "{}", plain(question)).ok();
    let (answer, answered) = oneshot::channel();
    std::thread::spawn(move || answer.send(read_line()));
    let read = answered.await.unwrap_or_else(|_| Ok(String::new()));
    let text = read.map_err(|error| unanswered(question, &error))?;
    match text.strip_suffix('\n') {
        Some(text) => Ok(text.trim().to_owned()),
        None => {
            writeln!(io::stderr()).ok();
            Err(unanswered(question, &"the input ended"))
        }
    }
}

/// Asks for a yes; anything else is a no.
pub(crate) async fn agree(question: &str, subject: &str) -> Result<(), Failure> {
    match &*line(question).await? {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(declined(subject)),
    }
}

/// That somebody said no.
pub(crate) fn declined(subject: &str) -> Failure {
    let detail = format!("declined: {subject}; nothing was signed");
    Failure::about(Path::new(""), detail)
}

fn read_line() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().lock().take(MAX_LINE).read_line(&mut text)?;
    Ok(text)
}

fn unanswered(question: &str, why: &dyn std::fmt::Display) -> Failure {
    let question = question.trim();
    let detail = format!("no answer to {question:?}: {why}; nothing was signed");
    Failure::about(Path::new("terminal"), detail)
}

/// Asks for a line that is not shown while it is typed.
///
/// # Errors
/// The input ended, Ctrl-C was typed, or nothing was.
pub(crate) fn secret(question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::about(Path::new("terminal"), format!("no passphrase: {why}"))
    };
    let typed = unseen(question).map_err(|error| failed(&error))?;
    match typed.is_empty() {
        true => Err(failed(&"nothing was typed")),
        false => Ok(typed),
    }
}

fn unseen(question: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    // Outlives the silence: a signal ends the process at a terminal that is as it was.
    let held = Held::back(&END)?;
    let silence = Silence::begin()?;
    // Whoever sees the question is heard, and not seen.
    write!(io::stderr(), "{}", plain(question)).ok();
    silence.read(&held)
}

/// A terminal that shows nothing, hands over each key at once and sends no signal, until it is
/// dropped: whoever gives up at the question finds it as it was, in a line of its own.
struct Silence {
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }

    fn read(&self, held: &Held) -> io::Result<Zeroizing<Vec<u8>>> {
        // Reserved at once: bytes that move leave copies behind that nobody wipes.
        let mut typed = Zeroizing::new(Vec::with_capacity(MAX_SECRET));
        loop {
            match self.key(held)? {
                b'\n' | b'\r' => return Ok(typed),
                key if self.is(SpecialCodeIndex::VINTR, key) => return Err(stopped()),
                key if self.is(SpecialCodeIndex::VEOF, key) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the input ended",
                    ));
                }
                key if self.is(SpecialCodeIndex::VERASE, key) => erase(&mut typed),
                key if self.is(SpecialCodeIndex::VKILL, key) => typed.clear(),
                key if typed.len() < MAX_SECRET => typed.push(key),
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        "it is too long",
                    ));
                }
            }
        }
    }

    /// Past the buffer of `io::stdin`, which nobody would wipe.
    fn key(&self, held: &Held) -> io::Result<u8> {
        let stdin = io::stdin();
        let waits = PollFlags::IN;
        let mut either = [PollFd::new(&stdin, waits), PollFd::new(held, waits)];
        rustix::io::retry_on_intr(|| poll(&mut either, None))?;
        if !either[1].revents().is_empty() {
            return Err(stopped());
        }
        let mut key = [0];
        match rustix::io::retry_on_intr(|| rustix::io::read(&stdin, &mut key))? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the input ended",
            )),
            _ => Ok(key[0]),
        }
    }

    fn is(&self, special: SpecialCodeIndex, key: u8) -> bool {
        self.before.special_codes[special] == key
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.before).ok();
        writeln!(io::stderr()).ok();
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "stopped")
}

/// The last character, of however many bytes.
fn erase(typed: &mut Vec<u8>) {
    while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}
