//! Who ends the command at the question for a passphrase finds the terminal as it was, and who ends it
//! later is not kept from it.

use std::fs::File;

use rustix::process::Signal;

use crate::support::{EXPIRES, REVISION, Workshop};
use crate::terminal::Person;

const QUESTION: &str = "passphrase of \"locked.key.pem\": ";

/// A policy, and a key that wants a passphrase.
fn ready() -> Workshop {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.secret("passphrase", "correct horse\n");
    let made = [
        "keygen",
        "--out",
        "locked",
        "--passphrase-file",
        "passphrase",
    ];
    workshop.run(made).expect(0);
    workshop
}

fn signer(workshop: &Workshop) -> Person {
    let mut command = workshop.command();
    command.args([
        "sign",
        "walk",
        "--key",
        "locked.key.pem",
        "--repo",
        "acme/walk",
    ]);
    command.args([
        "--revision",
        REVISION,
        "--sequence",
        "1",
        "--expires",
        EXPIRES,
    ]);
    Person::at(&command)
}

#[test]
fn a_signal_at_the_question_leaves_the_terminal_as_it_was() {
    let workshop = ready();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut person = signer(&workshop);
        person.sees(QUESTION).types("half");
        assert!(!person.types_as_before());
        person.is_interrupted_by(signal);
        // A shell makes 128 and the number of it.
        assert_eq!(person.dies(), Some(signal.as_raw()), "{signal:?}");
    }
    assert!(!workshop.path("walk/policy.dsse.json").exists());
}

#[test]
fn behind_the_question_ctrl_c_ends_the_command_as_any() {
    let workshop = ready();
    let lock = File::open(workshop.path("walk")).unwrap();
    lock.lock().unwrap();
    let waiting = || {
        let mut person = signer(&workshop);
        person.sees(QUESTION).types("correct horse\n");
        person.sees("another process has \"walk\"; waiting for it");
        assert!(person.types_as_before());
        person
    };
    let mut person = waiting();
    person.types("\x03");
    assert_eq!(person.dies(), Some(Signal::INT.as_raw()));
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
        let mut person = waiting();
        person.is_interrupted_by(signal);
        assert_eq!(person.dies(), Some(signal.as_raw()));
    }
    lock.unlock().unwrap();
    let mut person = signer(&workshop);
    person.sees(QUESTION).types("correct horse\n");
    person.ends().expect(0);
}
