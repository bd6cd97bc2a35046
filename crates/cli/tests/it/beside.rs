//! Files beside a verdict: what they may take the place of, and that none speaks for another run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::lobby::{Lobby, UNTIL};
use crate::support::{Run, Workshop};
use crate::terminal::Person;

/// Each command with each file that it writes beside its verdict; `FILE` stands for the file.
const LINES: [&str; 6] = [
    "verify walk --trust trust.toml --html FILE",
    "verify walk --trust trust.toml --sarif FILE",
    "verify walk --trust trust.toml --vsa FILE --vsa-key robot.key.pem",
    "audit walk --html FILE",
    "audit walk --sarif FILE",
    "diff walk next --html FILE",
];

/// A signed policy, another one, and a key of the machine's own.
fn workshop() -> Workshop {
    let workshop = Workshop::signed();
    workshop.keygen("robot");
    workshop.policy("next");
    workshop
}

fn command(workshop: &Workshop, line: &str, file: &str) -> Command {
    let mut command = workshop.command();
    command.args(line.split(' ').map(|word| match word {
        "FILE" => file,
        word => word,
    }));
    command
}

fn run(workshop: &Workshop, line: &str, file: &str) -> Run {
    Run::of(&mut command(workshop, line, file))
}

/// Verifies with all that can be written beside.
fn verify_all(workshop: &Workshop) -> Command {
    let line = "verify walk --trust trust.toml --html page --sarif findings --vsa FILE --vsa-key robot.key.pem";
    command(workshop, line, "summary")
}

/// Makes the next release the first that is remembered, for which a run waits.
fn forget(workshop: &Workshop) {
    fs::remove_dir_all(workshop.path("store")).ok();
    workshop.run(["store", "init"]).expect(0);
}

/// What a summary says, if there is one.
fn result(workshop: &Workshop) -> Option<String> {
    let envelope = fs::read(workshop.path("summary")).ok()?;
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    let statement = STANDARD.decode(envelope["payload"].as_str().unwrap());
    let statement: Value = serde_json::from_slice(&statement.unwrap()).unwrap();
    let result = &statement["predicate"]["verificationResult"];
    Some(result.as_str().unwrap().to_owned())
}

/// Every file below a folder, with what is in it.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(everything(&path)),
            false => all.push((path.display().to_string(), fs::read(&path).unwrap())),
        }
    }
    all.sort();
    all
}

#[test]
fn nothing_but_an_earlier_one_is_written_over() {
    let workshop = workshop();
    workshop.verify(&[]).expect(0);
    workshop.write("notes.html", "<!DOCTYPE html><html lang=\"en\">mine</html>");
    workshop.write("other.sarif", "{\"version\":\"2.1.0\",\"runs\":[]}");
    fs::copy(
        workshop.path("walk/policy.dsse.json"),
        workshop.path("manifest.json"),
    )
    .unwrap();
    let before = everything(&workshop.path(""));
    for line in LINES {
        for victim in [
            "trust.toml",
            "release.key.pem",
            "release.pub.pem",
            "manifest.json",
            "notes.html",
            "other.sarif",
            "store/state/rollback/model--acme--walk.json",
        ] {
            let run = run(&workshop, line, victim);
            run.could_not_check("could not write the ")
                .says(": another file has this name\n")
                .says("hint: it was not touched: name another file, or move that one away\n");
            assert_eq!(everything(&workshop.path("")), before, "{line} {victim}");
        }
    }
}

#[test]
fn one_kind_is_not_written_over_another() {
    let workshop = workshop();
    Run::of(&mut verify_all(&workshop)).expect(0);
    for (option, other) in [
        ("--html", "summary"),
        ("--sarif", "page"),
        ("--vsa", "findings"),
    ] {
        let before = workshop.read(other);
        let line = LINES.iter().find(|line| line.contains(option)).unwrap();
        run(&workshop, line, other).could_not_check(": another file has this name");
        assert_eq!(workshop.read(other), before);
    }
    // Each takes the place of its own, and of an empty file, as `mktemp` makes it.
    Run::of(&mut verify_all(&workshop)).expect(0);
    for file in ["page", "findings", "summary"] {
        workshop.write(file, "");
    }
    Run::of(&mut verify_all(&workshop)).expect(0);
    assert_eq!(result(&workshop).as_deref(), Some("PASSED"));
}

#[test]
fn one_file_for_two_is_an_error_beside_the_verdict() {
    let workshop = workshop();
    let run = workshop.verify(&["--sarif", "both", "--html", "both"]);
    run.could_not_check("could not write the report \"both\": another file has this name")
        .says("; the verdict is: verified\n");
    let findings: Value = serde_json::from_slice(&workshop.read("both")).unwrap();
    assert_eq!(findings["version"], "2.1.0");
    workshop.remove("both");
    workshop.flip("walk/README.md", 0);
    let run = workshop.verify(&["--sarif", "both", "--html", "both"]);
    run.could_not_check("; the verdict is: rejected: digest-mismatch: \"README.md\"\n");
    // Neither takes the place of the summary, and the verdict is said once.
    let mut all = command(&workshop, LINES[2], "all");
    let run = Run::of(all.args(["--sarif", "all", "--html", "all"]));
    run.could_not_check("could not write the report \"all\": another file has this name; ")
        .says(
            "; could not write the findings \"all\": another file has this name; the verdict is: ",
        );
    assert_eq!(run.stderr.matches("the verdict is").count(), 1);
}

#[test]
fn what_is_no_file_is_left_alone() {
    let workshop = workshop();
    workshop.write("folder/file", "mine");
    symlink("folder/file", workshop.path("link")).unwrap();
    symlink("nowhere", workshop.path("dangling")).unwrap();
    Run::of(Command::new("mkfifo").arg(workshop.path("fifo"))).expect(0);
    for line in LINES {
        for (place, why) in [
            ("folder", "something that is no regular file has this name"),
            ("link", "something that is no regular file has this name"),
            (
                "dangling",
                "something that is no regular file has this name",
            ),
            ("fifo", "something that is no regular file has this name"),
            (
                "/dev/null",
                "something that is no regular file has this name",
            ),
            (
                "/dev/full",
                "something that is no regular file has this name",
            ),
            (
                "/dev/stdout",
                "something that is no regular file has this name",
            ),
            ("..", "no file name"),
            ("missing/file", "No such file or directory"),
            ("trust.toml/file", "Not a directory"),
        ] {
            run(&workshop, line, place).could_not_check(why);
        }
    }
    assert_eq!(workshop.read("folder/file"), b"mine");
    assert!(!workshop.path("nowhere").exists());
    assert!(
        fs::symlink_metadata(workshop.path("link"))
            .unwrap()
            .is_symlink()
    );
}

/// It would be one more file than was signed.
#[test]
fn nothing_is_put_among_the_files_that_are_judged() {
    let workshop = workshop();
    workshop.write("walk/deep/vocab.json", "{}");
    symlink("walk", workshop.path("alias")).unwrap();
    let before = everything(&workshop.path("walk"));
    for line in LINES {
        for place in [
            "walk/new.html",
            "walk/config.json",
            "walk/policy.dsse.json",
            "walk/model.safetensors",
            "walk/deep/new.html",
            "alias/new.html",
            "next/../walk/new.html",
        ] {
            let run = run(&workshop, line, place);
            run.could_not_check(" would be one of the files of \"walk\", which are judged\n")
                .says("hint: name a file outside of the policy's directory\n");
        }
    }
    run(&workshop, LINES[5], "next/new.html").could_not_check("one of the files of \"next\"");
    let here = ["audit", ".", "--sarif", "new.sarif"];
    let run = Run::of(
        workshop
            .command()
            .args(here)
            .current_dir(workshop.path("next")),
    );
    run.could_not_check("\"new.sarif\" would be one of the files of \".\"");
    assert_eq!(everything(&workshop.path("walk")), before);
    for name in ["new.html", "new.sarif"] {
        assert!(!workshop.path("next").join(name).exists());
    }
}

#[test]
fn no_verdict_outlives_a_run_that_came_to_none() {
    let workshop = workshop();
    let good = workshop.read("trust.toml");
    let passed = || {
        workshop.write("trust.toml", &good);
        workshop.chmod("robot.key.pem", 0o600);
        Run::of(&mut verify_all(&workshop)).expect(0);
        assert_eq!(result(&workshop).as_deref(), Some("PASSED"));
    };
    let nothing_passed = |run: &Run| {
        run.expect(2);
        assert_eq!(result(&workshop), None);
        for file in ["page", "findings"] {
            let text = fs::read_to_string(workshop.path(file)).unwrap_or_default();
            let good = ["<h1>Verified</h1>", "\"executionSuccessful\":true"];
            assert!(!good.iter().any(|word| text.contains(word)), "{text}");
        }
    };
    passed();
    workshop.write("trust.toml", "threshold = 1\n");
    nothing_passed(&Run::of(&mut verify_all(&workshop)));
    passed();
    workshop.chmod("robot.key.pem", 0o644);
    nothing_passed(&Run::of(&mut verify_all(&workshop)));
    passed();
    // One of the files cannot be written: the others are gone all the same.
    workshop.write("page", "mine");
    nothing_passed(&Run::of(&mut verify_all(&workshop)));
    assert_eq!(workshop.read("page"), b"mine");
    workshop.remove("page");
    passed();
    let away = (workshop.path("walk"), workshop.path("away"));
    fs::rename(&away.0, &away.1).unwrap();
    nothing_passed(&Run::of(&mut verify_all(&workshop)));
    fs::rename(&away.1, &away.0).unwrap();
    passed();
    fs::remove_file(workshop.path("walk/policy.dsse.json")).unwrap();
    let run = Run::of(&mut verify_all(&workshop));
    run.rejected("manifest-missing", "policy.dsse.json");
    assert_eq!(result(&workshop), None);
}

/// So that whoever ends it, whenever, leaves none.
#[test]
fn an_earlier_verdict_is_gone_while_a_run_goes_on() {
    let workshop = workshop();
    Run::of(&mut verify_all(&workshop)).expect(0);
    forget(&workshop);
    let run = workshop.meanwhile(&mut verify_all(&workshop), || {
        for file in ["page", "findings", "summary"] {
            assert!(!workshop.path(file).exists(), "{file}");
        }
    });
    run.expect(0);
    assert_eq!(result(&workshop).as_deref(), Some("PASSED"));
}

#[test]
fn what_another_process_puts_there_meanwhile_stays() {
    let workshop = workshop();
    forget(&workshop);
    let run = workshop.meanwhile(&mut verify_all(&workshop), || {
        workshop.write("summary", "mine");
    });
    run.could_not_check("could not write the summary \"summary\": another file has this name")
        .says("; the verdict is: verified\n");
    assert_eq!(workshop.read("summary"), b"mine");
}

#[test]
fn a_write_that_fails_leaves_no_earlier_verdict() {
    let workshop = workshop();
    let line = LINES[2];
    fs::create_dir(workshop.path("out")).unwrap();
    run(&workshop, line, "out/summary").expect(0);
    let mut again = command(&workshop, line, "out/summary");
    forget(&workshop);
    let run = workshop.meanwhile(&mut again, || {
        fs::remove_dir(workshop.path("out")).unwrap();
    });
    run.could_not_check("could not write the summary \"out/summary\": No such file or directory")
        .says("; the verdict is: verified\n");
}

#[test]
fn what_admit_writes_is_written_over_nothing_else() {
    let lobby = Lobby::new();
    let workshop = &lobby.workshop;
    workshop.write("notes", "mine");
    for option in ["--html", "--save-decisions"] {
        for victim in ["notes", "trust.toml", "decisions.toml", "ops.key.pem"] {
            let before = workshop.read(victim);
            let run = lobby.admit_unasked(&[option, victim]);
            run.could_not_check(": another file has this name\n")
                .says("hint: it was not touched: name another file, or move that one away\n");
            assert_eq!(workshop.read(victim), before);
        }
    }
    assert!(lobby.hub.requests().is_empty(), "that was known before");
    let both = ["--html", "page", "--save-decisions", "saved.toml"];
    for _ in 0..2 {
        lobby.admit_unasked(&both).expect(0);
    }
    workshop.write("decisions.toml", "[accept]\nlicences = []\n");
    lobby.admit_unasked(&both).expect(2);
    let page = String::from_utf8(workshop.read("page")).unwrap();
    assert!(!page.contains("<h1>Admitted</h1>"), "{page}");
}

#[test]
fn another_signers_signature_is_not_lost() {
    let lobby = Lobby::new();
    lobby.workshop.keygen("second");
    lobby.workshop.trust(2, &["ops", "second"]);
    lobby.admit_unasked(&UNTIL).expect(0);
    let options = ["--key", "second.key.pem", "--manifest", "policy.dsse.json"];
    let mut person = Person::at(&lobby.command(&[&options[..], &["--store", "second"]].concat()));
    person.sees("do you? [y/N] ").types("y\n");
    person.sees("let it pass? [y/N] ").types("y\n");
    person.sees(", with key ").sees("[y/N] ");
    lobby.workshop.write("policy.dsse.json", "another's");
    person.types("y\n");
    let run = person.ends();
    run.expect(2)
        .says("could not write the manifest \"policy.dsse.json\": another file has this name")
        .says("the policy is in the store all the same");
    assert_eq!(lobby.workshop.read("policy.dsse.json"), b"another's");
}
