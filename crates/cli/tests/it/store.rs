//! `store check`, `store gc` and the quota, for an operator and for programs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::fixture::Fixture;
use crate::schema;
use crate::support::{Run, Workshop};

/// The object of the weights that were fetched.
fn weights(workshop: &Workshop, kept: &Path) -> PathBuf {
    let inode = fs::metadata(kept.join("model.safetensors")).unwrap().ino();
    let objects = fs::read_dir(workshop.path("store/objects")).unwrap();
    let mut objects = objects.map(|object| object.unwrap().path());
    objects
        .find(|object| fs::metadata(object).unwrap().ino() == inode)
        .unwrap()
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(file, bytes).unwrap();
}

fn kept(run: &Run) -> PathBuf {
    run.expect(0).stdout.trim_end().into()
}

fn store(fixture: &Fixture, arguments: &[&str]) -> Run {
    fixture.workshop.run(["store"].iter().chain(arguments))
}

/// A shell here, with the command on its path, as an operator has it.
fn shell(fixture: &Fixture, line: &str) -> Run {
    run_in("sh", fixture, line)
}

/// The same for what every `sh` knows only since POSIX 2024.
fn bash(fixture: &Fixture, line: &str) -> Run {
    run_in("bash", fixture, line)
}

fn run_in(shell: &str, fixture: &Fixture, line: &str) -> Run {
    let program = Path::new(env!("CARGO_BIN_EXE_tensorgate"));
    let mut command = fixture.workshop.command();
    let environment: Vec<_> = command.get_envs().map(owned).collect();
    let mut shell = Command::new(shell);
    shell
        .args(["-c", line])
        .env_clear()
        .current_dir(fixture.workshop.path(""));
    shell.envs(
        environment
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    shell.env(
        "PATH",
        format!("{}:/usr/bin:/bin", program.parent().unwrap().display()),
    );
    command = shell;
    command.env("HF_ENDPOINT", fixture.hub.endpoint());
    Run::of(&mut command)
}

fn owned(
    (name, value): (&std::ffi::OsStr, Option<&std::ffi::OsStr>),
) -> (std::ffi::OsString, Option<std::ffi::OsString>) {
    (name.to_owned(), value.map(ToOwned::to_owned))
}

/// What a run says to type, of a policy that is damaged.
fn printed_command(run: &Run) -> String {
    let hint = "hint: fetch it again: ";
    let mut lines = run.stderr.lines();
    let command = lines.find_map(|line| line.strip_prefix(hint));
    command.unwrap_or_else(|| panic!("{run:#?}")).to_owned()
}

#[test]
fn a_whole_store_passes() {
    let fixture = Fixture::new();
    kept(&fixture.fetch_signed(&[]));
    let run = store(&fixture, &["check"]);
    run.expect(0).says("whole: ").says("  policies   1\n");
    let object = store(&fixture, &["check", "--json"]).json();
    assert_eq!(object["verdict"], "passed");
    assert_eq!(
        (&object["objects"], &object["downloads"]),
        (&3.into(), &1.into())
    );
    assert_eq!(object["quota"], Value::Null);
}

#[test]
fn a_damaged_policy_is_found_refused_and_repaired_by_the_printed_command() {
    let fixture = Fixture::new();
    let workshop = &fixture.workshop;
    let policy = kept(&fixture.fetch_signed(&[]));
    let object = weights(workshop, &policy);
    flip(&object);
    let place = object
        .strip_prefix(workshop.path("store"))
        .unwrap()
        .display()
        .to_string();
    let run = store(&fixture, &["check"]);
    run.rejected("digest-mismatch", &place);
    let name = policy.file_name().unwrap().to_str().unwrap();
    run.says(&format!(
        "rejected: digest-mismatch: \"policies/{name}\": acme/walk@{} is damaged\n",
        fixture.files
    ));

    // Meanwhile nobody takes it.
    let verify = |directory: &Path| {
        let arguments = [
            "verify".as_ref(),
            directory.as_os_str(),
            "--trust".as_ref(),
            "trust.toml".as_ref(),
        ];
        workshop.run(arguments)
    };
    verify(&policy).rejected("digest-mismatch", "model.safetensors#gain");

    // What is damaged is damaged in the download, too, which shares its blocks.
    let command = printed_command(&run);
    shell(&fixture, &format!("{command} --offline")).could_not_check("damaged");
    store(&fixture, &["check"]).rejected("digest-mismatch", &place);

    shell(&fixture, &command).expect(0).says("verified: ");
    store(&fixture, &["check"]).expect(0);
    verify(&policy).expect(0);
}

#[test]
fn programs_get_the_command_too() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    flip(&weights(&fixture.workshop, &policy));
    let named = fixture.workshop.path("it's here");
    fs::rename(fixture.workshop.path("store"), &named).unwrap();
    let run = store(&fixture, &["check", "--json", "--store", "it's here"]);
    let object = run.expect(1).json();
    assert_eq!(
        (&object["verdict"], &object["code"]),
        (&"rejected".into(), &"digest-mismatch".into())
    );
    let rejections = object["rejections"].as_array().unwrap();
    assert_eq!(rejections.len(), 2);
    let hint = rejections[1]["hint"].as_str().unwrap();
    let command = hint.strip_prefix("fetch it again: ").unwrap();
    assert!(
        command.ends_with(r"--trust trust.toml --store 'it'\''s here'"),
        "{command}"
    );
    shell(&fixture, command).expect(0);
    store(&fixture, &["check", "--store", "it's here"]).expect(0);
}

/// Whatever the store is called, the line is one that a shell reads as it was meant.
#[test]
fn the_printed_command_is_for_this_store_however_it_is_called() {
    let names = [
        "with space",
        "it's \"quoted\" $HOME `id`",
        "-store",
        "line\nbreak \u{1b}[31m",
    ];
    for name in names {
        let fixture = Fixture::new();
        let policy = kept(&fixture.fetch_signed(&[]));
        flip(&weights(&fixture.workshop, &policy));
        let named = fixture.workshop.path(name);
        fs::rename(fixture.workshop.path("store"), named).unwrap();
        let check = format!("--store={name}");
        let run = store(&fixture, &["check", &check]);
        assert!(!run.expect(1).stderr.contains('\u{1b}'));
        bash(&fixture, &printed_command(&run)).expect(0);
        store(&fixture, &["check", &check]).expect(0);
    }
}

#[test]
fn no_name_in_a_store_breaks_a_line_of_what_is_said() {
    let fixture = Fixture::new();
    store(&fixture, &["init"]).expect(0);
    let place = "store/quarantine/x\nremoved: all\u{1b}[2J/acme/walk";
    let place = fixture.workshop.path(place).join("0".repeat(40));
    fs::create_dir_all(place).unwrap();
    let run = store(&fixture, &["gc", "--dry-run"]);
    run.expect(0)
        .says("would remove: 1 download")
        .says("\n  to remove  quarantine/x\\nremoved: all\\u{1b}[2J/acme/walk/000");
}

#[test]
fn what_was_never_accepted_is_not_forgotten() {
    let fixture = Fixture::new();
    kept(&fixture.fetch_signed(&[]));
    store(&fixture, &["reset-state", "--repo", "acme/wlak"])
        .expect(0)
        .says("nothing was accepted of the model acme/wlak");
    store(&fixture, &["reset-state", "--repo", "acme/walk"])
        .expect(0)
        .says("forgot which releases of the model acme/walk were accepted");
}

/// A file that the owner may not read is like one on bad blocks: fetching again makes it anew.
#[test]
fn what_cannot_be_read_is_repaired_by_the_printed_command() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    let object = weights(&fixture.workshop, &policy);
    fs::set_permissions(&object, fs::Permissions::from_mode(0o000)).unwrap();
    // Root, too, is denied what a mode denies.
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let deny = match root {
        true => "setpriv --bounding-set=-dac_override,-dac_read_search ",
        false => "",
    };
    let run = shell(&fixture, &format!("{deny}tensorgate store check"));
    run.expect(1).says("(os error 13)\n");
    let command = printed_command(&run);
    let run = shell(&fixture, &format!("{deny}{command}"));
    run.expect(0)
        .says("is made again: \"model.safetensors\" cannot be read")
        .says("verified: ");
    shell(&fixture, &format!("{deny}tensorgate store check")).expect(0);
}

/// An older release is refused, so there is no command that fetches it.
#[test]
fn what_is_damaged_and_superseded_is_not_to_be_fetched_again() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    flip(&weights(&fixture.workshop, &policy));
    let record = fixture
        .workshop
        .path("store/state/rollback/model--acme--walk.json");
    let text = fs::read_to_string(&record).unwrap();
    let newer = text.replace("\"sequence\":", "\"sequence\":9");
    assert_ne!(text, newer);
    let manifest = policy.file_name().unwrap().to_str().unwrap();
    fs::write(&record, newer.replace(manifest, &"0".repeat(64))).unwrap();

    let run = store(&fixture, &["check"]);
    run.expect(1)
        .says("hint: a newer release was accepted, so this one is not fetched again");
    assert!(!run.stderr.contains("fetch it again"), "{run:#?}");
    store(&fixture, &["gc", "--keep", "0"]).expect(0);
    store(&fixture, &["check"]).expect(0);
}

/// A policy whose manifest is gone cannot name itself, and fetching the release puts it right.
#[test]
fn a_damaged_manifest_is_found_and_repaired() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    fs::write(policy.join("policy.dsse.json"), "{}").unwrap();
    let name = policy.file_name().unwrap().to_str().unwrap();
    let run = store(&fixture, &["check"]);
    run.rejected(
        "manifest-malformed",
        &format!("policies/{name}/policy.dsse.json"),
    );
    run.says("it is not known what it is of")
        .says("with a manifest from elsewhere");
    kept(&fixture.fetch_signed(&[]));
    store(&fixture, &["check"]).expect(0);
}

#[test]
fn a_damaged_memory_is_no_verdict() {
    let fixture = Fixture::new();
    kept(&fixture.fetch_signed(&[]));
    fixture.workshop.write("store/state/index.json", "{");
    store(&fixture, &["check"]).could_not_check("index.json\" is damaged");
    store(&fixture, &["gc"]).could_not_check("index.json\" is damaged");
}

#[test]
fn a_link_to_a_store_says_what_to_name() {
    let fixture = Fixture::new();
    kept(&fixture.fetch_signed(&[]));
    std::os::unix::fs::symlink("store", fixture.workshop.path("link")).unwrap();
    store(&fixture, &["check", "--store", "link"])
        .could_not_check("\"link\" is a link: name the directory that it leads to");
    store(&fixture, &["check", "--store", "link/"]).expect(0);
}

#[test]
fn a_mistyped_name_makes_nothing_and_says_how_one_is_made() {
    let fixture = Fixture::new();
    for command in ["check", "gc"] {
        let run = store(&fixture, &[command, "--store", "stroe"]);
        run.could_not_check("\"stroe\" is not there");
    }
    assert!(!fixture.workshop.path("stroe").exists());
}

#[test]
fn what_is_not_wanted_goes_and_is_said() {
    let fixture = Fixture::new();
    let workshop = &fixture.workshop;
    let first = kept(&fixture.fetch_signed(&[]));
    let manifest = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    for sequence in ["6", "7", "8"] {
        let release = [
            "--sequence",
            sequence,
            "--revision",
            &fixture.files,
            "--replace",
        ];
        workshop.sign(&release).expect(0);
        fixture.fetch(&fixture.files, &manifest).expect(0);
    }
    let dry = store(&fixture, &["gc", "--dry-run"]);
    let line = format!(
        "  to remove  acme/walk@{}, release 5: policies/{}",
        fixture.files,
        first.file_name().unwrap().to_str().unwrap()
    );
    dry.expect(0)
        .says("would remove: 2 releases, 1 download, ")
        .says(&line);
    assert!(first.exists());
    assert_eq!(dry.stdout, "");

    let object = store(&fixture, &["gc", "--json"]).json();
    assert_eq!(
        (&object["verdict"], &object["dry_run"]),
        (&"done".into(), &false.into())
    );
    let removed = object["removed"].as_array().unwrap();
    let mut sequences: Vec<_> = removed
        .iter()
        .filter_map(|one| one["release"]["sequence"].as_u64())
        .collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [5, 6]);
    assert!(!first.exists());
    assert!(object["bytes"].as_u64().unwrap() > 0);
    let run = store(&fixture, &["gc"]);
    run.expect(0)
        .says("removed: nothing, 0 bytes on the disk\n");
    // Only the accepted one is left then, and it is whole.
    store(&fixture, &["gc", "--keep", "0"])
        .expect(0)
        .says("removed: 1 release, ");
    let left = fs::read_dir(workshop.path("store/policies")).unwrap();
    assert_eq!(left.count(), 1);
    store(&fixture, &["check"]).expect(0);
}

#[test]
fn what_is_in_use_stays_and_is_said() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    store(&fixture, &["reset-state", "--all"]).expect(0);
    let reader = fs::File::open(&policy).unwrap();
    reader.lock_shared().unwrap();
    let run = store(&fixture, &["gc", "--keep", "0"]);
    run.expect(0).says("  in use     acme/walk@");
    let object = store(&fixture, &["gc", "--keep", "0", "--json"]).json();
    assert_eq!(object["left"][0]["fate"], "in-use");
    assert!(policy.exists());
    drop(reader);
    store(&fixture, &["gc", "--keep", "0"])
        .expect(0)
        .says("removed: 1 release, 3 objects, ");
    assert!(!policy.exists());
}

#[test]
fn a_quota_is_set_said_honoured_and_lifted() {
    let fixture = Fixture::new();
    store(&fixture, &["init", "--quota", "64KiB"])
        .expect(0)
        .says("of the quota of 65,536 bytes\n");
    fixture
        .fetch_signed(&[])
        .could_not_check("of its quota of 65536 bytes are in use");
    fixture
        .fetch_signed(&[])
        .says("hint: run `tensorgate store gc`, or allow more with ");
    let object = store(&fixture, &["init", "--quota", "1MiB", "--json"]).json();
    assert_eq!(
        (&object["quota"], &object["new"]),
        (&(1 << 20).into(), &false.into())
    );
    kept(&fixture.fetch_signed(&[]));
    store(&fixture, &["check"])
        .expect(0)
        .says("of the quota of 1,048,576 bytes\n");
    // Without the option it stays as it is.
    store(&fixture, &["init"]).expect(0);
    assert_eq!(
        store(&fixture, &["check", "--json"]).json()["quota"],
        1 << 20
    );
    store(&fixture, &["init", "--quota", "off"])
        .expect(0)
        .says("without a quota\n");
    assert_eq!(
        store(&fixture, &["check", "--json"]).json()["quota"],
        Value::Null
    );
    store(&fixture, &["init", "--quota", "20GB"]).could_not_check("as in 20GiB, or `off`");
    let both = ["init", "--quota", "off", "--state", "elsewhere"];
    store(&fixture, &both).could_not_check("cannot be used with '--state <DIR>'");
}

/// A store that was filled elsewhere and is mounted read-only serves whoever keeps the memory
/// elsewhere. Mounts in a namespace of its own; where that is not to be had, the test fails.
#[test]
fn a_store_on_read_only_media_is_listed_checked_and_verified() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    let policy = policy.display();
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    let root = fs::metadata("/proc/self").unwrap();
    if root.uid() != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!(
        "set -e; mount --bind store store; mount -o remount,bind,ro store
         ! touch store/state/x 2>/dev/null
         \"$0\" store ls --json; \"$0\" store check --json
         \"$0\" verify {policy} --trust trust.toml --state elsewhere --json
         \"$0\" verify {policy} --trust trust.toml --state elsewhere --json
         set +e; \"$0\" store gc --json; \"$0\" store init --quota off --json"
    );
    let environment: Vec<_> = fixture.workshop.command().get_envs().map(owned).collect();
    unshare
        .args(["sh", "-c", &script, env!("CARGO_BIN_EXE_tensorgate")])
        .env_clear()
        .envs(
            environment
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .current_dir(fixture.workshop.path(""));
    let run = Run::of(&mut unshare);
    let said: Vec<Value> = run.stdout.lines().map(schema::described).collect();
    let verdicts: Vec<_> = said
        .iter()
        .map(|object| object["verdict"].as_str().unwrap())
        .collect();
    let expected = ["done", "passed", "verified", "verified", "error", "error"];
    assert_eq!(verdicts, expected, "{run:#?}");
    assert_eq!(said[0]["accepted"][0]["repo"], "acme/walk");
    let first = said[2]["notices"][0].as_str().unwrap();
    assert!(first.starts_with("first release remembered in "), "{first}");
    for error in &said[4..] {
        let hint = error["hint"].as_str().unwrap();
        assert!(
            hint.starts_with("it is on a read-only file system"),
            "{hint}"
        );
    }
}

/// The policy that is read by its name is one of the store.
#[test]
fn what_is_being_verified_stays() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    store(&fixture, &["reset-state", "--all"]).expect(0);
    let mut verify = fixture.workshop.command();
    verify
        .arg("verify")
        .arg(&policy)
        .args(["--trust", "trust.toml"]);
    let run = fixture.workshop.meanwhile(&mut verify, || {
        let run = store(&fixture, &["gc", "--keep", "0"]);
        run.expect(0).says("  in use     acme/walk@");
    });
    run.expect(0).says("verified: ");
    assert!(policy.exists());
}

/// Half of a directory, of which the rest was removed meanwhile, is signed by nobody.
#[test]
fn what_is_being_signed_stays() {
    let fixture = Fixture::new();
    let policy = kept(&fixture.fetch_signed(&[]));
    store(&fixture, &["reset-state", "--all"]).expect(0);
    let options = "--key release.key.pem --repo acme/walk --sequence 2 --out new.json \
        --expires 2036-01-01T00:00:00Z --revision";
    let mut sign = fixture.workshop.command();
    sign.arg("sign").arg(&policy);
    sign.args(options.split_whitespace()).arg(&fixture.files);
    let beside = fs::File::open(fixture.workshop.path("")).unwrap();
    let run = Workshop::while_locked(&beside, &mut sign, || {
        let run = store(&fixture, &["gc", "--keep", "0"]);
        run.expect(0).says("  in use     acme/walk@");
    });
    run.expect(0).says("signed: ");
    assert!(policy.exists());
}
