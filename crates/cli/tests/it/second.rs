//! A second signature on a list of revocations: nobody makes it unseen.

use tensorgate_verify::{Limits, SignedRevocations};

use crate::support::{EXPIRES, Run, Workshop};
use crate::terminal::Person;

const LIST: &str = "revocations.dsse.json";
const ADD: [&str; 6] = [
    "trust",
    "revoke",
    LIST,
    "--key",
    "second.key.pem",
    "--add-signature",
];

/// A list by the first key, and a second one.
fn ready() -> Workshop {
    let workshop = Workshop::signed();
    workshop.keygen("second");
    revoke(&workshop, '1', "falls on stairs").expect(0);
    workshop
}

/// The next list by the first key.
fn revoke(workshop: &Workshop, digit: char, reason: &str) -> Run {
    let digest = digit.to_string().repeat(64);
    let usual = ["trust", "revoke", LIST, "--key", "release.key.pem"];
    let what = ["--manifest", &digest, "--reason", reason];
    workshop.run(usual.into_iter().chain(["--expires", EXPIRES]).chain(what))
}

/// Of the list that is there.
fn digest(workshop: &Workshop) -> String {
    let signed = SignedRevocations::parse(&workshop.read(LIST), &Limits::default());
    signed.unwrap().digest().to_string()
}

fn signatures(workshop: &Workshop) -> usize {
    let envelope: serde_json::Value = serde_json::from_slice(&workshop.read(LIST)).unwrap();
    envelope["signatures"].as_array().unwrap().len()
}

fn person(workshop: &Workshop) -> Person {
    let mut command = workshop.command();
    command.args(ADD);
    Person::at(&command)
}

#[test]
fn the_list_is_shown_before_it_is_signed() {
    let workshop = ready();
    let digest = digest(&workshop);
    let mut person = person(&workshop);
    person
        .sees("\"revocations.dsse.json\" says, and nothing of it is proven:")
        .sees("  sequence   1")
        .sees(&format!("  list       sha256 {digest}"))
        .sees("1 was revoked: falls on stairs")
        .sees("  claims     a signature by key ")
        .sees("no list is remembered on this machine")
        .sees("sign it as list 1, 1 revocation, until 2099-01-01T00:00:00Z, with key ")
        .sees("[y/N] ");
    assert_eq!(signatures(&workshop), 1);
    person.types("y\n");
    person.ends().expect(0).says("signed: ");
    assert_eq!(signatures(&workshop), 2);
}

#[test]
fn whoever_does_not_say_yes_adds_no_signature() {
    let workshop = ready();
    let before = workshop.read(LIST);
    for (answer, why) in [
        ("\n", "declined: to sign; nothing was signed"),
        ("no\n", "declined: to sign; nothing was signed"),
        ("\x04", "the input ended; nothing was signed"),
        ("\x03", "error: stopped; nothing was signed"),
    ] {
        let mut person = person(&workshop);
        person.sees("[y/N] ").types(answer);
        person.ends().expect(2).says(why);
        assert_eq!(workshop.read(LIST), before, "{answer:?}");
    }
}

#[test]
fn where_nobody_can_be_asked_the_digest_says_which_list_is_meant() {
    let workshop = ready();
    let (before, digest) = (workshop.read(LIST), digest(&workshop));
    let run = workshop.run(ADD);
    run.expect(2)
        .says("falls on stairs")
        .says(&digest)
        .says("there is nobody to ask")
        .says("--add-signature=DIGEST");
    let json = [&ADD[..], &["--json"]].concat();
    let object = workshop.run(&json).json();
    let hint = "without --json it is shown; `--add-signature=DIGEST` then names it";
    assert_eq!(object["hint"], hint);
    assert_eq!(workshop.read(LIST), before);

    let with = |digest: &str| {
        let add = format!("--add-signature={digest}");
        let command = [&ADD[..5], &[&*add]].concat();
        workshop.run(command)
    };
    let other = with(&"0".repeat(64));
    other.expect(2).says("is not the list that was agreed to");
    // That of the list before is no answer to the next.
    revoke(&workshop, '2', "limps").expect(0);
    with(&digest).expect(2).says("nothing was signed");
    assert_eq!(signatures(&workshop), 1);
    with(&self::digest(&workshop)).expect(0).says("limps");
    assert_eq!(signatures(&workshop), 2);
}

#[test]
fn a_list_that_changes_under_the_question_is_not_signed() {
    let workshop = ready();
    let mut person = person(&workshop);
    person.sees("[y/N] ");
    revoke(&workshop, '2', "limps").expect(0);
    person.types("y\n");
    let run = person.ends();
    run.expect(2).says("is not the list that was agreed to");
    assert_eq!(signatures(&workshop), 1);
}

#[test]
fn what_was_revoked_before_and_is_no_more_is_told() {
    let workshop = ready();
    workshop.verify(&["--revocations", LIST]).expect(0);
    // The thief of one key begins anew, twice: the second list is the newer one.
    workshop.remove(LIST);
    revoke(&workshop, '2', "limps").expect(0);
    workshop
        .run(ADD)
        .expect(2)
        .says("list 1 is remembered on this machine, which does not give way to this one\n");
    revoke(&workshop, '2', "limps").expect(0);
    let mut person = person(&workshop);
    person
        .sees("list 1 is remembered on this machine")
        .sees("  no more    1 revocation")
        .sees("1 was revoked: falls on stairs")
        .sees("sign it as list 2, 1 revocation, without 1 of list 1, until ")
        .sees("[y/N] ")
        .types("n\n");
    person.ends().expect(2);
}

#[test]
fn a_memory_that_cannot_be_read_is_no_empty_one() {
    let workshop = ready();
    let before = workshop.read(LIST);
    workshop.verify(&["--revocations", LIST]).expect(0);
    workshop.write("store/state/revocations.dsse.json", "{");
    let run = workshop.run(ADD);
    run.could_not_check("cannot be compared: manifest-malformed: ")
        .says("; nothing was signed\n");
    assert_eq!(workshop.read(LIST), before);
}
