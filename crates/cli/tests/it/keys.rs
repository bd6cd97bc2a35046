//! Keys come and go: added, ended, revoked.

use crate::lobby::{Lobby, UNTIL};
use crate::support::{EXPIRES, Workshop};

const TRUST: &str = "\
# Whom the lab's robots believe.
threshold = 1        # one is enough here

[[keys]]
name = 'release'     # in the safe
public_key_file = 'release.pub.pem'

[freshness]
max_age_days = 400   # a year and a month
";

fn trust(workshop: &Workshop) -> String {
    String::from_utf8(workshop.read("trust.toml")).unwrap()
}

#[test]
fn a_key_is_added_and_nothing_else_changes() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.keygen("next");
    workshop.write("trust.toml", TRUST);
    workshop.chmod("trust.toml", 0o640);
    let add = [
        "trust",
        "add-key",
        "trust.toml",
        "next.pub.pem",
        "--name",
        "next",
    ];
    let limits = ["--not-after", EXPIRES, "--repos", "acme/*,other/walk"];
    workshop
        .run(add.iter().chain(&limits))
        .expect(0)
        .says("added to \"trust.toml\": \"next\"");
    let text = trust(&workshop);
    // Whatever was there is there, in its order, comments included.
    let (head, tail) = TRUST.split_once("\n[freshness]").unwrap();
    assert!(text.starts_with(head), "{text}");
    assert!(text.ends_with(tail), "{text}");
    let run = workshop.run(["trust", "check", "trust.toml"]);
    run.expect(0).says("\"release\", key ");
    run.says(&format!(
        "\"next\", key {}, until {EXPIRES}, for acme/* and other/walk",
        id(&workshop, "next")
    ));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(workshop.path("trust.toml"))
            .unwrap()
            .permissions(),
    );
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn what_would_not_be_read_is_not_written() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.keygen("next");
    workshop.write("trust.toml", TRUST);
    workshop.chmod("trust.toml", 0o644);
    let add = |key: &str, name: &str, options: &[&str]| {
        let add = ["trust", "add-key", "trust.toml", key, "--name", name];
        workshop.run(add.iter().chain(options))
    };
    add("release.pub.pem", "again", &[]).could_not_check("is there already, as \"release\"");
    add("next.pub.pem", "", &[]).could_not_check("a value is required for '--name <NAME>'");
    add("next.pub.pem", "release", &[]).could_not_check("another key is called \"release\"");
    add("next.pub.pem", "next", &["--repos", "no-owner"]).could_not_check("nothing was touched");
    add("next.key.pem", "next", &[]).could_not_check("it is a private key");
    let run = add("trust.toml", "next", &[]);
    run.could_not_check("cannot be used");
    run.says("hint: an ed25519 public key: in PEM as `tensorgate keygen` makes it, or the line of `ssh-keygen -t ed25519`\n");
    assert_eq!(trust(&workshop), TRUST);
    workshop.chmod("trust.toml", 0o666);
    add("next.pub.pem", "next", &[]).could_not_check("chmod go-w");
    workshop.chmod("trust.toml", 0o644);
    workshop.write("trust.toml", "threshold = 1\nkeys = []\n");
    add("next.pub.pem", "next", &[]).expect(2);
    let left = std::fs::read_dir(workshop.path("")).unwrap();
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".trust")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_name_is_written_as_toml_whatever_it_is() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.keygen("next");
    workshop.write("trust.toml", TRUST);
    workshop.chmod("trust.toml", 0o644);
    let name = "x\"\n[[keys]]\nname = '\u{1b}[2J";
    let add = [
        "trust",
        "add-key",
        "trust.toml",
        "next.pub.pem",
        "--name",
        name,
    ];
    let object = workshop.run(add.iter().chain(&["--json"])).json();
    assert_eq!(
        (&object["keys"], &object["threshold"]),
        (&2.into(), &1.into())
    );
    let object = workshop
        .run(["trust", "check", "trust.toml", "--json"])
        .json();
    assert_eq!(object["evidence"]["keys"][1]["name"], name);
    assert_eq!(object["evidence"]["keys"].as_array().unwrap().len(), 2);
}

fn id(workshop: &Workshop, name: &str) -> String {
    let object = workshop
        .run(["trust", "show", &format!("{name}.pub.pem"), "--json"])
        .json();
    object["key"].as_str().unwrap().to_owned()
}

/// Replaces the table of the key `ops`, which the operator edits by hand.
fn edit(lobby: &Lobby, more: &str) {
    let text = trust(&lobby.workshop);
    let line = "public_key_file = \"ops.pub.pem\"\n";
    assert!(text.contains(line), "{text}");
    lobby
        .workshop
        .write("trust.toml", text.replace(line, &format!("{line}{more}")));
}

/// A new key that counts beside the others.
fn add_next(workshop: &Workshop) {
    workshop.keygen("next");
    let add = ["trust", "add-key", "trust.toml", "next.pub.pem"];
    workshop
        .run(add.iter().chain(&["--name", "next"]))
        .expect(0);
}

#[test]
fn a_key_is_rotated() {
    let lobby = Lobby::new();
    let workshop = &lobby.workshop;
    let verify = |path: &str| workshop.run(["verify", path.trim_end(), "--trust", "trust.toml"]);
    let old = lobby.admit_unasked(&UNTIL).expect(0).stdout.clone();
    // Both count for a while.
    add_next(workshop);
    verify(&old).expect(0);
    let next = [&UNTIL[..], &["--key", "next.key.pem"]].concat();
    let new = lobby.admit_unasked(&next).expect(0).stdout.clone();
    verify(&new).expect(0).says("signed by  \"next\", key ");
    // The old one ends: what it signed counts no more, and it signs nothing that would.
    edit(&lobby, "not_after = '2020-01-01T00:00:00Z'\n");
    verify(&new).expect(0);
    workshop
        .run(["store", "reset-state", "--repo", "acme/walk"])
        .expect(0);
    verify(&old).rejected("key-expired", "signatures");
    lobby.admit_unasked(&UNTIL).could_not_check("key-expired");
}

#[test]
fn a_stolen_key_is_revoked_and_the_release_admitted_again() {
    let lobby = Lobby::new();
    let workshop = &lobby.workshop;
    let old = lobby.admit_unasked(&UNTIL).expect(0).stdout.clone();
    add_next(workshop);
    let stolen = id(workshop, "ops");
    let revoke = [
        "trust",
        "revoke",
        "list.json",
        "--key",
        "next.key.pem",
        "--reason",
        "laptop lost",
    ];
    workshop
        .run(
            revoke
                .iter()
                .chain(&UNTIL)
                .chain(&["--revoked-key", stolen.as_str()]),
        )
        .expect(0);
    let list = ["--trust", "trust.toml", "--revocations", "list.json"];
    let run = workshop.run(["verify", old.trim_end()].iter().chain(&list));
    run.rejected("key-revoked", "signatures");
    // The list is not remembered by a verdict that refused: the next that passes does.
    let next = [&UNTIL[..], &["--key", "next.key.pem"]].concat();
    let new = lobby.admit_unasked(&next).expect(0).stdout.clone();
    workshop
        .run(["verify", new.trim_end()].iter().chain(&list))
        .expect(0);
    // From then on the stolen key admits nothing, here or on the robot.
    lobby.hub.clear_requests();
    let run = lobby.admit_unasked(&UNTIL);
    run.rejected("key-revoked", &stolen);
    run.says("hint: sign with another key: `tensorgate trust check FILE` lists them\n");
    assert!(lobby.hub.requests().is_empty());
    let object = workshop.run(["store", "ls", "--json"]).json();
    assert_eq!(object["accepted"][0]["sequence"], 2);
}
