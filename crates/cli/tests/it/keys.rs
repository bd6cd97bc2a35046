//! Keys come and go: added, ended, revoked.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::process::Command;

use crate::lobby::{Lobby, UNTIL};
use crate::support::{EXPIRES, Run, Workshop};

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
        &fs::metadata(workshop.path("trust.toml"))
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
    assert_eq!(drafts(&workshop), 0);
}

/// Files that nobody named, and that a failure must not leave.
fn drafts(workshop: &Workshop) -> usize {
    let entries = fs::read_dir(workshop.path("")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.as_encoded_bytes().starts_with(b"."))
        .count()
}

#[test]
fn a_trust_policy_that_cannot_be_replaced_as_a_whole_stays() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.keygen("next");
    workshop.write("trust.toml", TRUST);
    workshop.chmod("trust.toml", 0o644);
    let add = |trust: &str| {
        let mut command = workshop.command();
        command.args(["trust", "add-key", trust, "next.pub.pem", "--name", "next"]);
        command
    };
    // A disk that takes no byte more: the shell's limit, of which a write says that it failed.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    shell.arg(env!("CARGO_BIN_EXE_tensorgate"));
    shell.args(add("trust.toml").get_args());
    let run = Run::of(shell.current_dir(workshop.path("")));
    run.could_not_check("could not write \"trust.toml\": File too large");
    assert_eq!((trust(&workshop).as_str(), drafts(&workshop)), (TRUST, 0));
    // A link stays one, and whoever follows it is told to.
    symlink("trust.toml", workshop.path("link.toml")).unwrap();
    let run = Run::of(&mut add("link.toml"));
    run.could_not_check("it is a link: name the file itself");
    run.says("hint: name the file itself: a link could lead to where others write\n");
    assert!(workshop.path("link.toml").is_symlink());
    assert_eq!((trust(&workshop).as_str(), drafts(&workshop)), (TRUST, 0));
    // The directory may be one.
    symlink(".", workshop.path("here")).unwrap();
    let group = a_group_of_ours();
    chown(workshop.path("trust.toml"), None, group).unwrap();
    Run::of(&mut add("here/trust.toml")).expect(0);
    assert!(workshop.path("here").is_symlink());
    let after = fs::metadata(workshop.path("trust.toml")).unwrap();
    assert!(group.is_none_or(|group| after.gid() == group));
    assert_eq!(drafts(&workshop), 0);
}

/// Another than the one that new files get, if this user has one to give.
fn a_group_of_ours() -> Option<u32> {
    if rustix::process::geteuid().is_root() {
        return Some(4242);
    }
    let own = rustix::process::getegid();
    let groups = rustix::process::getgroups().unwrap();
    let other = groups.into_iter().find(|group| *group != own);
    other.map(rustix::process::Gid::as_raw)
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
