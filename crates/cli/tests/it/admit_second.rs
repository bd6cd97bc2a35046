//! Two people who do not trust one machine: each fetches, judges and decides, and then signs.

use std::fs;

use crate::lobby::{DECISIONS, Lobby, UNTIL};
use crate::support::{EXPIRES, Run};
use crate::terminal::Person;

/// With a trust policy that wants both, and the first one's signature.
fn proposed() -> Lobby {
    let lobby = Lobby::new();
    lobby.workshop.keygen("second");
    lobby.workshop.keygen("third");
    lobby.workshop.trust(2, &["ops", "second", "third"]);
    let run = lobby.admit_unasked(&UNTIL);
    run.expect(0)
        .says("signed, not yet admitted: \"policy.dsse.json\"")
        .says("  signed by  \"ops\", key ")
        .says("  missing    1 of 2: one of\n             \"second\", key ")
        .says("tensorgate admit acme/walk@");
    assert_eq!(run.stdout, "policy.dsse.json\n");
    assert!(lobby.is_empty());
    lobby
}

/// On a machine of its own.
fn second(lobby: &Lobby, options: &[&str]) -> Run {
    let usual = [
        "--key",
        "second.key.pem",
        "--yes",
        "--decisions",
        "decisions.toml",
    ];
    let manifest = ["--manifest", "policy.dsse.json", "--store", "second"];
    lobby.admit(&[&usual[..], &manifest, options].concat())
}

#[test]
fn the_second_signature_admits() {
    let lobby = proposed();
    let first = lobby.workshop.read("policy.dsse.json");
    let run = second(&lobby, &UNTIL);
    run.expect(0)
        .says("verified: \"acme/walk@")
        .says("  written    \"policy.dsse.json\", which the other machines take");
    let path = run.stdout.trim_end();
    assert!(path.starts_with("second/policies/"), "{path}");
    let launched = lobby.workshop.path(path);
    run.says(&format!("policy:={} trust:=", launched.display()));
    // The payload is kept as it was, and the first machine takes the manifest as everybody does.
    let payload = |bytes: &[u8]| {
        let envelope: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        envelope["payload"].clone()
    };
    let both = lobby.workshop.read("policy.dsse.json");
    assert_eq!(payload(&first), payload(&both));
    let target = lobby.target();
    let fetch = ["fetch", &target, "--endpoint", lobby.hub.endpoint()];
    let signed = ["--manifest", "policy.dsse.json", "--trust", "trust.toml"];
    let object = lobby
        .workshop
        .run(fetch.iter().chain(&signed).chain(&["--json"]))
        .json();
    assert_eq!(object["evidence"]["signers"].as_array().unwrap().len(), 2);
}

#[test]
fn a_person_sees_what_the_first_one_decided() {
    let lobby = proposed();
    let options = ["--key", "second.key.pem", "--manifest", "policy.dsse.json"];
    let command = lobby.command(&[&options[..], &["--store", "second"]].concat());
    let mut person = Person::at(&command);
    person.sees("  absent, because \"the policy has its own\"");
    person
        .sees("the manifest declares that; do you? [y/N] ")
        .types("y\n");
    person.sees("let it pass? [y/N] ").types("y\n");
    person
        .sees(&format!("until {EXPIRES}, with key "))
        .sees("[y/N] ")
        .types("y\n");
    person.ends().expect(0).says("verified: ");
    // And may see it otherwise.
    let lobby = proposed();
    let before = lobby.workshop.read("policy.dsse.json");
    let mut person = Person::at(&lobby.command(&options));
    person.sees("do you? [y/N] ").types("n\n");
    person.ends().expect(2).says("declined: ");
    assert_eq!(lobby.workshop.read("policy.dsse.json"), before);
}

#[test]
fn what_is_missing_is_told_to_programs() {
    let lobby = proposed();
    let object = lobby.admit_unasked(&[&UNTIL[..], &["--out", "other.json", "--json"]].concat());
    let object = object.expect(0).json();
    assert_eq!(
        (&object["verdict"], &object["admitted"]),
        (&"done".into(), &false.into())
    );
    assert_eq!(object["evidence"]["threshold"], 2);
    assert_eq!(object["evidence"]["signers"][0]["name"], "ops");
    let may: Vec<_> = object["evidence"]["may_sign"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(
        (&may[0]["name"], &may[1]["name"]),
        (&"second".into(), &"third".into())
    );
    assert_eq!(object["written"], "other.json");
}

#[test]
fn a_key_counts_once_however_often_it_signs() {
    let lobby = proposed();
    let before = lobby.workshop.read("policy.dsse.json");
    let again = ["--manifest", "policy.dsse.json"];
    let run = lobby.admit_unasked(&[&UNTIL[..], &again].concat());
    run.could_not_check("this key has signed the manifest before, and a key counts once");
    run.says(&format!(
        "hint: another key must sign; once all have, `tensorgate fetch {} --manifest FILE --trust FILE` takes it\n",
        lobby.target()
    ));
    assert_eq!(lobby.workshop.read("policy.dsse.json"), before);
    // Nor is a manifest that somebody waits for written over.
    let run = lobby.admit_unasked(&UNTIL);
    run.could_not_check("\"policy.dsse.json\" is there");
    assert!(lobby.is_empty());
}

#[test]
fn what_this_review_does_not_say_is_not_signed() {
    let lobby = proposed();
    let before = lobby.workshop.read("policy.dsse.json");
    let nothing_else = |run: &Run, what: &str| {
        run.could_not_check(what);
        assert_eq!(lobby.workshop.read("policy.dsse.json"), before);
        assert!(
            !lobby.workshop.path("second/policies").exists()
                || fs::read_dir(lobby.workshop.path("second/policies"))
                    .unwrap()
                    .next()
                    .is_none()
        );
    };
    lobby.decide("the policy has its own", "I do not know");
    let run = second(&lobby, &UNTIL);
    nothing_else(&run, "than the manifest (externals); nothing was signed");
    run.says("hint: compare with whoever signed first: `tensorgate inspect FILE` shows what the manifest says\n");
    lobby.workshop.write("decisions.toml", DECISIONS);
    for (options, what) in [
        (&["--expires", "2098-01-01T00:00:00Z"][..], "(expires)"),
        (&["--sequence", "3", UNTIL[0], UNTIL[1]], "(sequence)"),
        (
            &["--robot", "go2", UNTIL[0], UNTIL[1]],
            "(policy type or robot)",
        ),
    ] {
        nothing_else(&second(&lobby, options), what);
    }
    // Longer than the decisions allow, and nobody said that it is meant.
    let run = second(&lobby, &[]);
    nothing_else(&run, "`valid_days` allows ");
    run.says("hint: give --expires if that is meant\n");
}

#[test]
fn a_release_far_ahead_is_not_signed_unasked() {
    let lobby = proposed();
    let ahead = ["--sequence", "9000000000000000", "--out", "ahead.json"];
    lobby
        .admit_unasked(&[&UNTIL[..], &ahead].concat())
        .expect(0);
    lobby
        .workshop
        .write("policy.dsse.json", lobby.workshop.read("ahead.json"));
    second(&lobby, &UNTIL)
        .could_not_check("the manifest is of release 9000000000000000, and 1 is the next here")
        .says("hint: give --sequence if that is meant");
    assert_eq!(
        lobby.workshop.read("policy.dsse.json"),
        lobby.workshop.read("ahead.json")
    );
    // Where it is meant, somebody said so.
    second(&lobby, &[&UNTIL[..], &ahead[..2]].concat()).expect(0);
}

#[test]
fn a_manifest_of_other_bytes_is_not_signed() {
    let lobby = proposed();
    // What the first signer says the commit holds, and it does not.
    let workshop = &lobby.workshop;
    workshop.policy("walk");
    workshop.write("walk/config.json", crate::lobby::CONFIG);
    workshop.write("walk/README.md", "# other\n");
    let sign = [
        "sign",
        "walk",
        "--key",
        "ops.key.pem",
        "--repo",
        "acme/walk",
        "--sequence",
        "1",
    ];
    let at = [
        "--revision",
        &lobby.commit,
        "--externals",
        "externals.toml",
        "--out",
        "forged.json",
    ];
    let (_, externals) = DECISIONS.split_once("\n\n").unwrap();
    workshop.write("externals.toml", externals);
    workshop.run(sign.iter().chain(&at).chain(&UNTIL)).expect(0);
    let run = second(&lobby, &["--manifest", "forged.json"]);
    assert_eq!(run.status, 2, "clap takes one manifest: {run:#?}");
    workshop.write("policy.dsse.json", workshop.read("forged.json"));
    second(&lobby, &UNTIL).could_not_check("than the manifest (files); nothing was signed");
    // Of another commit, or another repository.
    let elsewhere = "0123456789abcdef0123456789abcdef01234567";
    for (option, value, code, subject) in [
        ("--revision", elsewhere, "revision-mismatch", "revision"),
        ("--repo", "acme/other", "repo-mismatch", "repo"),
    ] {
        let mut all: Vec<&str> = sign.iter().chain(&at).chain(&UNTIL).copied().collect();
        let place = all.iter().position(|given| *given == option).unwrap();
        all[place + 1] = value;
        all.push("--replace");
        workshop.run(&all).expect(0);
        workshop.write("policy.dsse.json", workshop.read("forged.json"));
        second(&lobby, &UNTIL).rejected(code, subject);
    }
}

#[test]
fn a_stranger_proposes_and_one_signature_is_not_two() {
    let lobby = proposed();
    lobby.workshop.trust(2, &["second", "third"]);
    let run = second(&lobby, &UNTIL);
    run.expect(0)
        .says("signed, not yet admitted: ")
        .says("  missing    1 of 2: one of\n             \"third\"");
    let third = ["--key", "third.key.pem", "--manifest", "policy.dsse.json"];
    lobby
        .admit_unasked(&[&third[..], &UNTIL].concat())
        .expect(0)
        .says("verified: ");
}
