//! The same, with a person at a terminal.

use tensorgate_testhub::{Fault, Repository};

use crate::lobby::{CODE, CONFIG, Lobby, UNTIL};
use crate::terminal::Person;

fn person(lobby: &Lobby, options: &[&str]) -> Person {
    Person::at(&lobby.command(&[&UNTIL, options].concat()))
}

/// Up to the last question.
fn almost(lobby: &Lobby, options: &[&str]) -> Person {
    let mut person = person(lobby, options);
    person.sees("names \"ResNet18_Weights.IMAGENET1K_V1\", which loading");
    person
        .sees("absent, pinned, or neither? [a/p/N] ")
        .types("a\n");
    person
        .sees("why is it not needed? ")
        .types("the policy has its own\n");
    person
        .sees("states the licence \"apache-2.0\"; let it pass? [y/N] ")
        .types("y\n");
    person.sees("sign it as release 1 of acme/walk, type \"act\"");
    person.sees("[y/N] ");
    person
}

#[test]
fn a_person_decides_and_need_not_decide_again() {
    let lobby = Lobby::new();
    let mut person = almost(&lobby, &["--save-decisions", "saved.toml"]);
    person.types("y\n");
    let run = person.ends();
    run.expect(0)
        .says("verified: \"acme/walk@")
        .says("  next       ros2 launch tensorgate ");
    assert!(run.stdout.contains("store/policies/"));
    lobby
        .admit(&[&UNTIL[..], &["--yes", "--decisions", "saved.toml"]].concat())
        .expect(0)
        .says("  sequence   2\n");
    // On a terminal, too, what is answered is not asked.
    let mut person = self::person(&lobby, &["--decisions", "saved.toml"]);
    person
        .sees("sign it as release 3 of acme/walk")
        .sees("[y/N] ")
        .types("y\n");
    let run = person.ends();
    assert!(!run.expect(0).stderr.contains("let it pass?"));
}

#[test]
fn whoever_does_not_say_yes_signs_nothing() {
    for answer in ["\n", "n\n", "yess\n", "\x04", "\x03"] {
        let lobby = Lobby::new();
        let mut person = almost(
            &lobby,
            &["--save-decisions", "saved.toml", "--out", "out.dsse.json"],
        );
        person.types(answer);
        let run = person.ends();
        run.expect(2);
        run.says(match answer {
            "\x04" => "the input ended; nothing was signed",
            "\x03" => "error: stopped",
            _ => "declined: to sign; nothing was signed",
        });
        assert!(lobby.is_empty(), "{answer:?}");
        for name in ["saved.toml", "out.dsse.json", "policy.dsse.json"] {
            assert!(!lobby.workshop.path(name).exists(), "{answer:?}");
        }
    }
}

#[test]
fn an_artifact_is_pinned_to_what_its_hub_lists() {
    let lobby = Lobby::new();
    let weights = crate::support::weights();
    let files = [
        ("config.json", b"{}\n".to_vec()),
        ("model.safetensors", weights),
    ];
    let backbone = Repository::new("acme/backbone")
        .unwrap()
        .commit_files(files)
        .unwrap();
    let commit = backbone.commits()[0].clone();
    lobby.hub.serve(backbone);
    let mut person = person(&lobby, &["--save-decisions", "saved.toml"]);
    person.sees("[a/p/N] ").types("p\n");
    person
        .sees("pinned to REPO@REVISION: ")
        .types("acme/backbone@main\n");
    person.sees(&format!("pinned to acme/backbone@{commit}:"));
    // `printf '{}\n' | sha256sum`
    person.sees(
        "config.json sha256 ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356 3",
    );
    person.sees("declare that? [y/N] ").types("y\n");
    person.sees("let it pass? [y/N] ").types("y\n");
    person.sees("[y/N] ").types("y\n");
    person.ends().expect(0);
    let saved = String::from_utf8(lobby.workshop.read("saved.toml")).unwrap();
    assert!(saved.contains(&commit), "{saved}");
    let unasked = [&UNTIL[..], &["--yes", "--decisions", "saved.toml"]].concat();
    lobby.admit(&unasked).expect(0);
}

#[test]
fn a_hub_that_lies_about_an_artifact_pins_nothing() {
    let lobby = Lobby::new();
    let files = [("notes.txt", b"ab\n".to_vec())];
    lobby.hub.serve(
        Repository::new("acme/backbone")
            .unwrap()
            .commit_files(files)
            .unwrap(),
    );
    let path = "notes.txt".to_owned();
    lobby.hub.inject(Fault::ByteFlipped { path, at: 0 });
    let mut person = person(&lobby, &[]);
    person.sees("[a/p/N] ").types("p\n");
    person
        .sees("pinned to REPO@REVISION: ")
        .types("acme/backbone@main\n");
    let run = person.ends();
    run.expect(1)
        .says("rejected: digest-mismatch: \"notes.txt\"");
    assert!(lobby.is_empty());
}

#[test]
fn code_is_shown_and_its_reviewer_asked() {
    let code = format!("{CODE}# gone\u{202e}\n");
    let lobby = Lobby::with(&[("step.py", code.as_bytes())]);
    lobby.allow_code();
    let mut person = person(&lobby, &["--save-decisions", "saved.toml"]);
    person.sees("code, which tensorgate never runs: \"step.py\", sha256 ");
    person.sees("  |     return x + 1");
    person.sees("  | # gone\\u{202e}");
    person
        .sees("let it pass to the robot's disk? [y/N] ")
        .types("y\n");
    person.sees("reviewed by: ").types("R. Viewer\n");
    person.sees("note: ").types("arithmetic\n");
    person.sees("[a/p/N] ").types("a\n");
    person.sees("why is it not needed? ").types("own\n");
    person.sees("let it pass? [y/N] ").types("y\n");
    person.sees("[y/N] ").types("y\n");
    person.ends().expect(0);
    let saved = String::from_utf8(lobby.workshop.read("saved.toml")).unwrap();
    assert!(saved.contains("reviewer = \"R. Viewer\""), "{saved}");
}

/// Cyrillic а, which no eye tells from a.
#[test]
fn a_letter_of_code_that_looks_like_another_is_shown_as_what_it_is() {
    let code = "def step(admin, \u{430}dmin=True):\n    if \u{430}dmin:\n        return 1\n";
    let lobby = Lobby::with(&[("step.py", code.as_bytes())]);
    lobby.allow_code();
    let mut person = person(&lobby, &[]);
    person.sees("  | def step(admin, \\u{430}dmin=True):");
    person.sees("  |     if \\u{430}dmin:");
    person
        .sees("let it pass to the robot's disk? [y/N] ")
        .types("n\n");
    let run = person.ends();
    run.expect(2).says("declined: the code \"step.py\"");
    assert!(!run.stderr.contains('\u{430}'), "{run:#?}");
}

#[test]
fn a_name_cannot_hide_from_a_reviewer() {
    let config = CONFIG.replace("ResNet18_Weights.IMAGENET1K_V1", r"x\u200by");
    let lobby = Lobby::with(&[("config.json", config.as_bytes())]);
    let mut person = person(&lobby, &[]);
    person.sees("[a/p/N] ").types("n\n");
    let run = person.ends();
    run.expect(2).says(r"x\u{200b}y");
    assert!(!run.stderr.contains('\u{200b}'), "{run:#?}");
}

#[test]
fn what_no_manifest_can_declare_is_not_asked_about() {
    for name in [r"x\u001b[2J", r"x\u202ey", &"x".repeat(1_025)] {
        let config = CONFIG.replace("ResNet18_Weights.IMAGENET1K_V1", name);
        let lobby = Lobby::with(&[("config.json", config.as_bytes())]);
        let run = person(&lobby, &[]).ends();
        run.expect(1)
            .says("rejected: external-unpinned: \"config.json#/pretrained_backbone_weights\": ");
        assert!(!run.stderr.contains(['\u{1b}', '\u{202e}']), "{run:#?}");
    }
}

/// What stands behind the marks of the rows that are shown.
fn shown(stderr: &str) -> String {
    let marks = ["  | ", "  … "];
    let text = |row: &str| {
        marks
            .iter()
            .find_map(|mark| row.strip_prefix(mark))
            .map(str::to_owned)
    };
    stderr.lines().filter_map(text).collect()
}

#[test]
fn a_long_value_is_shown_whole_before_it_is_asked_about() {
    let value = format!("[\"{}\"]", "0123456789".repeat(400));
    let config = CONFIG.replace('}', &format!(r#", "my_field": {value}}}"#));
    let lobby = Lobby::with(&[("config.json", config.as_bytes())]);
    let mut person = person(&lobby, &["--save-decisions", "saved.toml"]);
    person.sees("[a/p/N] ").types("a\n");
    person.sees("not needed? ").types("own\n");
    for _page in 0..2 {
        person.sees("  there is more: press Enter ").types("\n");
    }
    person.sees("no known type has the field \"config.json#/my_field\": [\"0123");
    person.sees("let it pass? [y/N] ").types("y\n");
    person.sees("let it pass? [y/N] ").types("y\n");
    person.sees("[y/N] ").types("y\n");
    let run = person.ends();
    let whole = format!("\"config.json#/my_field\": {value}");
    assert_eq!(shown(&run.expect(0).stderr), whole);
    // What is saved answers it, and no other value.
    let unasked = [&UNTIL[..], &["--yes", "--decisions", "saved.toml"]].concat();
    lobby.admit(&unasked).expect(0);
    let saved = String::from_utf8(lobby.workshop.read("saved.toml")).unwrap();
    let other = saved.replacen("9012", "9013", 1);
    lobby.workshop.write("saved.toml", other);
    lobby
        .admit(&unasked)
        .could_not_check("no known type has the field");
}

#[test]
fn what_is_saved_answers_whatever_was_asked() {
    let nasty = r#""a'''\"\\": "\"''' é \u202e \u0000", "ключ~/": [1e-7, {"k": null}], "": 1.50"#;
    let config = CONFIG.replace('}', &format!(", {nasty}}}"));
    let card = "---\nlicense: [other, \"it's 'so'\\n\\\"\"]\nlicense_name: x\n---\n";
    let lobby = Lobby::with(&[
        ("config.json", config.as_bytes()),
        ("README.md", card.as_bytes()),
    ]);
    let mut person = person(&lobby, &["--save-decisions", "saved.toml"]);
    person.sees("[a/p/N] ").types("a\n");
    person.sees("not needed? ").types("own\n");
    for _question in 0..5 {
        person.sees("let it pass? [y/N] ").types("y\n");
    }
    person.sees("sign it as ").sees("[y/N] ").types("y\n");
    person.ends().expect(0);
    let unasked = [&UNTIL[..], &["--yes", "--decisions", "saved.toml"]].concat();
    let again = [&unasked[..], &["--save-decisions", "again.toml"]].concat();
    lobby.admit(&again).expect(0);
    let read = |name| String::from_utf8(lobby.workshop.read(name)).unwrap();
    assert_eq!(read("saved.toml"), read("again.toml"));
}

#[test]
fn what_cannot_be_shown_whole_is_asked_of_nobody() {
    let ends = |path: &str, bytes: &[u8]| {
        let lobby = Lobby::with(&[(path, bytes)]);
        lobby.allow_code();
        person(&lobby, &[]).ends()
    };
    let config = format!(r#"{{"type": "{}"}}"#, "x".repeat(100_000));
    let run = ends("config.json", config.as_bytes());
    run.expect(2)
        .says(
            "the policy's type has 100,000 bytes, and a manifest takes 1024; nothing was signed\n",
        )
        .says("hint: give --policy-type\n");
    assert!(run.stderr.len() < 10_000, "{}", run.stderr.len());
    ends("step.py", "x = 1\n".repeat(1_001).as_bytes())
        .expect(2)
        .says("the code \"step.py\" takes more than 1,000 lines, and no more are shown here\n")
        .says("hint: read it where it lies, and answer in a file: --decisions\n");
    ends("step.py", b"# -*- coding: latin-1 -*-\nx = '\xe9'\n")
        .rejected("format-unknown", "step.py");
}

/// Of the weights in quarantine, one bit.
fn flip(lobby: &Lobby) {
    let path = format!(
        "store/quarantine/model/acme/walk/{}/model.safetensors",
        lobby.commit
    );
    lobby.workshop.chmod(&path, 0o644);
    let last = lobby.workshop.read(&path).len() - 1;
    lobby.workshop.flip(&path, last);
}

#[test]
fn bytes_that_change_under_the_review_are_not_signed() {
    let lobby = Lobby::new();
    let mut person = person(&lobby, &[]);
    person.sees("[a/p/N] ");
    flip(&lobby);
    person
        .types("a\n")
        .sees("why is it not needed? ")
        .types("own\n");
    person.sees("let it pass? [y/N] ").types("y\n");
    let run = person.ends();
    run.expect(2)
        .says("the files changed while they were reviewed; nothing was signed");
    assert!(lobby.is_empty());
}

#[test]
fn a_hub_that_sends_other_bytes_after_the_review_admits_nothing() {
    let lobby = Lobby::new();
    let mut person = almost(&lobby, &["--out", "out.dsse.json"]);
    flip(&lobby);
    let path = "model.safetensors".to_owned();
    lobby.hub.inject(Fault::ByteFlipped { path, at: 4_000 });
    person.types("y\n");
    let run = person.ends();
    run.expect(1)
        .says("rejected: digest-mismatch: \"model.safetensors\"");
    assert!(lobby.is_empty());
    assert!(!lobby.workshop.path("out.dsse.json").exists());
    // An honest one sends what was reviewed, and what was damaged here is replaced.
    lobby.hub.clear_faults();
    let mut person = almost(&lobby, &[]);
    flip(&lobby);
    person.types("y\n");
    person
        .ends()
        .expect(0)
        .says("is damaged in the store, it is fetched again");
}

#[test]
fn a_passphrase_is_asked_for_and_not_shown() {
    let lobby = Lobby::new();
    lobby.workshop.secret("passphrase", "correct horse\n");
    lobby
        .workshop
        .run([
            "keygen",
            "--out",
            "locked",
            "--passphrase-file",
            "passphrase",
        ])
        .expect(0);
    lobby.workshop.trust(1, &["locked"]);
    let answers = ["--key", "locked.key.pem", "--decisions", "decisions.toml"];
    let mut person = person(&lobby, &answers);
    // A wrong key, taken back.
    person
        .sees("passphrase of \"locked.key.pem\": ")
        .types("correct horsf\x7fe\n");
    person
        .sees("sign it as release 1")
        .sees("[y/N] ")
        .types("y\n");
    let run = person.ends();
    assert!(!run.expect(0).stderr.contains("correct"), "{run:#?}");
    for (typed, why) in [
        ("wrong\n", "wrong passphrase, or a damaged key"),
        (
            "wrong\n",
            "hint: try it by `openssl pkey -in FILE -noout`; ",
        ),
        ("\n", "no passphrase: nothing was typed"),
        ("half\x03", "no passphrase: stopped"),
        ("\x04", "no passphrase: the input ended"),
    ] {
        let mut person = self::person(&lobby, &answers);
        person
            .sees("passphrase of \"locked.key.pem\": ")
            .types(typed);
        let run = person.ends();
        run.expect(2).says(why);
        assert!(!run.stderr.contains("half"), "{run:#?}");
    }
    // Where nobody is, as before.
    lobby
        .admit_unasked(&["--key", "locked.key.pem"])
        .could_not_check("it is encrypted");
}
