//! What `verify` remembers, so that no older release comes back.

use crate::support::{Run, Workshop};

#[test]
fn an_older_release_does_not_come_back() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    workshop.verify(&[]).expect(0);
    workshop.sign(&["--sequence", "4", "--replace"]).expect(0);
    workshop
        .verify(&[])
        .rejected("manifest-rollback", "sequence");
    // The same number with other content is no better.
    workshop.write("walk/README.md", "# other\n");
    workshop.sign(&["--replace"]).expect(0);
    workshop
        .verify(&[])
        .rejected("manifest-rollback", "sequence");
    workshop.sign(&["--sequence", "6", "--replace"]).expect(0);
    workshop.verify(&[]).expect(0);
    // Another place remembers for itself.
    workshop.sign(&["--sequence", "2", "--replace"]).expect(0);
    workshop
        .verify(&[])
        .rejected("manifest-rollback", "sequence");
    workshop.verify(&["--state", "other"]).expect(0);
}

#[test]
fn a_release_that_a_newer_one_overtakes_is_rejected() {
    for more in [&[][..], &["--state", "store/state"]] {
        let workshop = Workshop::signed();
        workshop.verify(&[]).expect(0);
        workshop.sign(&["--sequence", "6", "--replace"]).expect(0);
        let mut command = workshop.command();
        command.args(["verify", "walk", "--trust", "trust.toml"]);
        let run = workshop.overtaken(command.args(more));
        run.rejected("manifest-rollback", "sequence");
        run.says("note: another process has ")
            .says("lock\"; waiting for it");
    }
}

#[test]
fn the_first_release_at_a_place_is_told() {
    let workshop = Workshop::signed();
    let first = "note: first release remembered in ";
    let run = workshop.verify(&[]);
    run.expect(0).says(first).says("store/state\"");
    assert!(!workshop.verify(&[]).expect(0).stderr.contains("note: "));
    // A slip of the pen makes another place, which has seen nothing.
    let object = workshop.verify(&["--state", "stroe/state", "--json"]);
    let notices = object.json()["notices"].clone();
    assert!(
        notices[0].as_str().unwrap().contains("stroe/state"),
        "{notices}"
    );
    assert_eq!(notices.as_array().unwrap().len(), 1);
}

#[test]
fn a_store_that_others_can_write_to_remembers_nothing() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    workshop.chmod("store", 0o777);
    let run = workshop.verify(&[]);
    run.could_not_check("could be changed by others");
    run.says("\nhint: ");
    workshop.chmod("store", 0o700);
    workshop.verify(&[]).expect(0);
}

#[test]
fn a_directory_of_other_things_is_no_memory_and_stays_as_it_is() {
    let workshop = Workshop::signed();
    for mine in ["project/tmp/mine", "project/lock/mine"] {
        workshop.write(mine, "mine");
    }
    workshop.chmod("project", 0o700);
    let run = workshop.verify(&["--state", "project"]);
    run.could_not_check("name an empty or new directory");
    assert_eq!(workshop.read("project/tmp/mine"), b"mine");
    assert_eq!(workshop.read("project/lock/mine"), b"mine");
}

#[test]
fn only_what_was_verified_in_full_is_remembered() {
    let workshop = Workshop::signed();
    workshop.sign(&["--sequence", "9", "--replace"]).expect(0);
    workshop.flip("walk/README.md", 0);
    workshop
        .verify(&[])
        .rejected("digest-mismatch", "README.md");
    workshop.flip("walk/README.md", 0);
    // Nor what only counts at another time.
    workshop
        .verify(&["--now", "2098-01-01T00:00:00Z"])
        .expect(0);
    workshop.sign(&["--sequence", "5", "--replace"]).expect(0);
    workshop.verify(&[]).expect(0);
}

#[test]
fn a_damaged_or_lost_memory_is_no_verdict() {
    let workshop = Workshop::signed();
    workshop.verify(&["--state", "state"]).expect(0);
    let record = "state/rollback/model--acme--walk.json";
    let before = workshop.read(record);
    for bytes in ["", "{}", "{\"sequence\":1}"] {
        workshop.write(record, bytes);
        let run = workshop.verify(&["--state", "state"]);
        run.could_not_check("is damaged");
        run.says("hint: ");
    }
    workshop.remove(record);
    workshop
        .verify(&["--state", "state"])
        .could_not_check("is lost");
    let object = workshop.verify(&["--state", "state", "--json"]);
    assert_eq!(object.expect(2).json()["subject"], record);
    workshop.write(record, before);
    workshop.verify(&["--state", "state"]).expect(0);
    workshop.chmod("state", 0o777);
    workshop
        .verify(&["--state", "state"])
        .could_not_check("could be changed by others");
}

#[test]
fn where_nothing_may_be_remembered_the_verdict_stands() {
    let workshop = Workshop::signed();
    // sysfs takes no directories from anybody, root included.
    let run = workshop.verify(&["--state", "/sys/tensorgate"]);
    run.expect(0)
        .says("note: not remembered, so a later rollback will not be noticed here");
    let object = workshop
        .verify(&["--state", "/sys/tensorgate", "--json"])
        .json();
    assert_eq!(object["verdict"], "verified");
    assert_eq!(object["notices"].as_array().unwrap().len(), 1);
    let mut command = workshop.command();
    command.args(["verify", "walk", "--trust", "trust.toml"]);
    Run::of(command.env("TENSORGATE_STORE", "/sys/tensorgate"))
        .expect(0)
        .says("note: not remembered");
    // Where something is, or it fails for another reason, there may be a memory.
    for (place, why) in [
        ("/sys/kernel", "\"/sys/kernel\" is no place of tensorgate's"),
        ("/proc/tensorgate", "could not make"),
    ] {
        workshop.verify(&["--state", place]).could_not_check(why);
    }
}
