//! What an operator decides: trust, revocation, and the robot's memory.

use std::fs;

use tensorgate_store::State;
use tensorgate_verify::{Limits, SignedRevocations};

use crate::support::{EXPIRES, Workshop};

/// The workshop's trust policy with more in it.
fn trust_more(workshop: &Workshop, more: &str) {
    let text = fs::read_to_string(workshop.path("trust.toml")).unwrap();
    workshop.write("trust.toml", format!("{text}\n{more}"));
}

/// Revokes the signed manifest by a list of its own.
fn revoke(workshop: &Workshop, options: &[&str]) {
    let usual = [
        "trust",
        "revoke",
        "revocations.dsse.json",
        "--key",
        "release.key.pem",
        "--expires",
        EXPIRES,
    ];
    workshop.run(usual.iter().chain(options)).expect(0);
}

/// Adds a signature to the list.
fn second<'o>(key: &'o str, option: &'o str) -> [&'o str; 6] {
    let list = "revocations.dsse.json";
    ["trust", "revoke", list, "--key", key, option]
}

/// What says that this list is meant.
fn agreed_to(workshop: &Workshop, list: &str) -> String {
    let signed = SignedRevocations::parse(&workshop.read(list), &Limits::default()).unwrap();
    format!("--add-signature={}", signed.digest())
}

fn manifest_digest(workshop: &Workshop) -> String {
    let object = workshop.verify(&["--json"]).json();
    object["evidence"]["manifest"].as_str().unwrap().to_owned()
}

#[test]
fn a_revoked_release_is_refused_and_stays_so() {
    let workshop = Workshop::signed();
    let digest = manifest_digest(&workshop);
    revoke(
        &workshop,
        &["--manifest", &digest, "--reason", "falls on stairs"],
    );
    let run = workshop.verify(&["--revocations", "revocations.dsse.json"]);
    run.expect(1)
        .says("rejected: manifest-revoked: ")
        .says("falls on stairs");
    // It was remembered.
    workshop.verify(&[]).expect(1).says("manifest-revoked");
    // An empty list with a higher number gives it back; the old one does not come back then.
    let first = fs::read(workshop.path("revocations.dsse.json")).unwrap();
    workshop.write("first.dsse.json", first);
    revoke(&workshop, &[]);
    let again = workshop.verify(&["--revocations", "revocations.dsse.json"]);
    again.expect(1).says("manifest-revoked");
    fs::remove_file(workshop.path("revocations.dsse.json")).unwrap();
    revoke(&workshop, &[]);
    let older = workshop.verify(&["--revocations", "revocations.dsse.json"]);
    older.expect(1).says("rejected: manifest-rollback");
    let older = workshop.verify(&["--revocations", "first.dsse.json"]);
    older.expect(1).says("rejected: manifest-rollback");
}

#[test]
fn a_revoked_key_signs_nothing_not_even_the_next_list() {
    let workshop = Workshop::signed();
    workshop.keygen("ops");
    trust_more(
        &workshop,
        "[[keys]]\nname = 'ops'\npublic_key_file = 'ops.pub.pem'\n",
    );
    let show = workshop
        .run(["trust", "check", "trust.toml", "--json"])
        .json();
    let key = show["evidence"]["keys"][0]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = [
        "trust",
        "revoke",
        "list.json",
        "--key",
        "ops.key.pem",
        "--expires",
        EXPIRES,
    ];
    let what = ["--revoked-key", &key, "--reason", "laptop lost"];
    workshop.run(list.iter().chain(&what)).expect(0);
    let run = workshop.verify(&["--revocations", "list.json"]);
    run.expect(1)
        .says("rejected: key-revoked: ")
        .says("laptop lost");
    // Who has the key cannot take that back.
    let agreed = agreed_to(&workshop, "list.json");
    let add = ["--key", "release.key.pem", &*agreed];
    workshop.run(list[..3].iter().chain(&add)).expect(0);
    let digest = "0".repeat(64);
    let forged = [
        "trust",
        "revoke",
        "list.json",
        "--key",
        "release.key.pem",
        "--expires",
        EXPIRES,
    ];
    let what = ["--manifest", &digest, "--reason", "nothing"];
    workshop.run(forged.iter().chain(&what)).expect(0);
    let run = workshop.verify(&["--revocations", "list.json"]);
    run.expect(1).says("rejected: key-revoked");
}

#[test]
fn a_lost_list_is_no_empty_list() {
    let workshop = Workshop::signed();
    revoke(&workshop, &["--revision", &"1".repeat(40), "--reason", "x"]);
    workshop
        .verify(&["--revocations", "revocations.dsse.json"])
        .expect(0);
    fs::remove_file(workshop.path("store/state/revocations.dsse.json")).unwrap();
    let run = workshop.verify(&[]);
    run.expect(2).says("revocations.dsse.json").says("lost");
}

#[test]
fn a_list_for_two_signers_takes_two() {
    let workshop = Workshop::signed();
    workshop.keygen("second");
    let text = fs::read_to_string(workshop.path("trust.toml")).unwrap();
    let text = text.replace("threshold = 1", "threshold = 2");
    workshop.write(
        "trust.toml",
        format!("{text}\n[[keys]]\nname = 'second'\npublic_key_file = 'second.pub.pem'\n"),
    );
    workshop.sign_as("second", &[]).expect(0);
    revoke(&workshop, &[]);
    let given = ["--revocations", "revocations.dsse.json"];
    workshop.verify(&given).expect(1).says("threshold-not-met");
    let agreed = agreed_to(&workshop, "revocations.dsse.json");
    workshop.run(second("second.key.pem", &agreed)).expect(0);
    workshop.verify(&given).expect(0);
}

#[test]
fn a_store_that_is_required_is_made_ready_once() {
    let workshop = Workshop::signed();
    trust_more(&workshop, "[rollback]\nrequire_state = true\n");
    let run = workshop.verify(&[]);
    run.expect(2)
        .says("requires one")
        .says("tensorgate store init");
    workshop
        .run(["store", "init"])
        .expect(0)
        .says("nothing was accepted yet");
    workshop.verify(&[]).expect(0);
    workshop
        .run(["store", "init"])
        .expect(0)
        .says("in use already");
    fs::remove_dir_all(workshop.path("store/state")).unwrap();
    workshop.verify(&[]).expect(2).says("requires one");
}

#[test]
fn only_an_operator_resets_a_damaged_memory() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    let record = "store/state/rollback/model--acme--walk.json";
    workshop.write(record, "{");
    workshop.verify(&[]).expect(2).says("damaged");
    workshop.run(["store", "ls"]).expect(2).says("damaged");
    let run = workshop.run(["store", "reset-state", "--repo", "acme/walk"]);
    run.expect(0)
        .says("forgot which releases of the model acme/walk");
    workshop.verify(&[]).expect(0);
    let listed = workshop.run(["store", "ls", "--json"]).json();
    assert_eq!(listed["accepted"][0]["repo"], "acme/walk");
    assert_eq!(listed["accepted"][0]["sequence"], 5);
    workshop.write("store/state/index.json", "{");
    workshop.verify(&[]).expect(2).says("damaged");
    workshop
        .run(["store", "reset-state", "--repo", "acme/walk"])
        .expect(2);
    workshop.write("store/state/revocations.dsse.json", "{");
    let run = workshop.run(["store", "reset-state", "--all"]);
    run.expect(0).says("the floor of the clock was forgotten");
    run.says("the list of revocations could not be read and was removed");
    workshop.verify(&[]).expect(0);
    workshop.run(["store", "reset-state"]).expect(2);
}

#[test]
fn the_clock_cannot_be_set_back_behind_what_was_accepted() {
    let workshop = Workshop::signed();
    workshop.verify(&[]).expect(0);
    // An instant before the manifest was issued: the floor is what counts, and the evidence says so.
    let object = workshop
        .verify(&["--now", "2001-01-01T00:00:00Z", "--json"])
        .json();
    assert_eq!(object["verdict"], "verified");
    assert_eq!(object["evidence"]["now_given"], true);
    let now = object["evidence"]["now"].as_str().unwrap();
    assert!(now > "2026", "{now}");
}

#[test]
fn a_trust_policy_is_explained() {
    let workshop = Workshop::signed();
    let run = workshop.run(["trust", "check", "trust.toml"]);
    run.expect(0).says("\"trust.toml\" can be used\n");
    run.says("\"release\", key ").says("for all repositories");
    run.says("refuses    what is expired\n")
        .says("refuses    code, reviewed or not\n");
    trust_more(
        &workshop,
        "repos = ['acme/walk-*']\nnot_after = '2099-01-01T00:00:00Z'\n[freshness]\nexpires = 'warn'\nmax_age_days = 9\n[rollback]\nmax_jump = 7\n[content]\ndtypes = ['F32']\n",
    );
    let run = workshop.run(["trust", "check", "trust.toml", "--repo", "acme/walk-2"]);
    run.expect(0)
        .says("until 2099-01-01T00:00:00Z, for acme/walk-*\n");
    run.says("lets pass  what is expired, with a note\n");
    run.says("signed 9 days ago")
        .says("more than 7 above")
        .says("other types than F32");
    let run = workshop.run(["trust", "check", "trust.toml", "--repo", "acme/walk"]);
    run.expect(2)
        .says("accepts nothing of acme/walk: 0 keys count, 1 must sign");
    run.says("does not count: key-out-of-scope");
    let late = ["--now", "2100-01-01T00:00:00Z"];
    let run = workshop.run(["trust", "check", "trust.toml"].iter().chain(&late));
    run.expect(2).says("key-expired: at 2099");
}

#[test]
fn a_list_that_another_key_signed_is_not_signed_on_unseen() {
    let workshop = Workshop::signed();
    workshop.keygen("stranger");
    let digest = manifest_digest(&workshop);
    let list = "revocations.dsse.json";
    let usual = ["trust", "revoke", list, "--expires", EXPIRES];
    let by = |key: &'static str| usual.iter().copied().chain(["--key", key]);
    let what = ["--manifest", &digest, "--reason", "falls on stairs"];
    workshop.run(by("stranger.key.pem").chain(what)).expect(0);
    let planted = workshop.read(list);
    let run = workshop.run(by("release.key.pem"));
    run.expect(2)
        .says("was not signed by this key")
        .says("--add-signature");
    assert_eq!(workshop.read(list), planted);
    // Whoever looked at it signs it as it is; from then on it is theirs.
    let agreed = agreed_to(&workshop, list);
    let run = workshop.run(second("release.key.pem", &agreed));
    run.expect(0).says("falls on stairs");
    workshop.run(by("release.key.pem")).expect(0);
}

#[test]
fn what_is_judged_as_of_another_instant_is_not_remembered() {
    let workshop = Workshop::signed();
    let digest = manifest_digest(&workshop);
    revoke(&workshop, &["--manifest", &digest, "--reason", "x"]);
    let later = [
        "--revocations",
        "revocations.dsse.json",
        "--now",
        "2098-01-01T00:00:00Z",
    ];
    workshop
        .verify(&later)
        .rejected("manifest-revoked", "manifest");
    assert!(!workshop.path("store/state/revocations.dsse.json").exists());
    workshop.verify(&[]).expect(0);
}

#[test]
fn a_trust_policy_is_explained_as_it_is_applied() {
    let workshop = Workshop::signed();
    workshop.keygen("second");
    let check = ["trust", "check", "trust.toml"];
    workshop.run(check).expect(0).says(
        "accepts    lists of revocations signed by 1 of 1 key that counts for all repositories\n",
    );
    let scoped = |key: &str, repos: &str| {
        format!(
            "[[keys]]\nname = '{key}'\npublic_key_file = '{key}.pub.pem'\nrepos = ['{repos}']\n"
        )
    };
    let keys = scoped("release", "acme/*") + &scoped("second", "other/*");
    workshop.write("trust.toml", format!("threshold = 2\n{keys}"));
    let run = workshop.run(check);
    run.expect(0).says(
        "refuses    every list of revocations: 0 keys count for all repositories, 2 must sign",
    );
    run.says("keys count together where each speaks for the repository");
    // What `verify --oms` could not use is told before.
    let oms = "[[oms]]\nrepos = ['acme/*']\npublic_key_file = 'second.pub.pem'\n";
    workshop.write("trust.toml", format!("threshold = 1\n{keys}{oms}"));
    workshop
        .run(check)
        .expect(2)
        .says("[[oms]] for acme/*: not a key on P-256");
}

#[test]
fn a_sequence_that_jumped_too_far_is_not_answered_with_a_higher_one() {
    let workshop = Workshop::signed();
    trust_more(&workshop, "[rollback]\nmax_jump = 7\n");
    workshop.verify(&[]).expect(0);
    workshop.sign(&["--sequence", "13", "--replace"]).expect(0);
    let run = workshop.verify(&[]);
    run.rejected("manifest-fast-forward", "sequence");
    run.says("hint: `max_jump` is exceeded: ask the publisher");
    assert!(!run.stderr.contains("higher --sequence"), "{run:#?}");
}

#[test]
fn a_memory_without_a_store_has_the_same_commands() {
    let workshop = Workshop::signed();
    trust_more(&workshop, "[rollback]\nrequire_state = true\n");
    let state = ["--state", "mine"];
    workshop.verify(&state).expect(2).says("requires one");
    workshop.run(["store", "init", "--state", "mine"]).expect(0);
    workshop.verify(&state).expect(0);
    workshop.write("mine/rollback/model--acme--walk.json", "{");
    workshop.verify(&state).expect(2).says("damaged");
    let reset = ["store", "reset-state", "--all", "--state", "mine"];
    workshop.run(reset).expect(0);
    workshop.verify(&state).expect(0);
    // A mistyped name makes nothing, and resets nothing.
    for command in [&["ls"][..], &["reset-state", "--all"]] {
        let typo = ["--store", "stroe"];
        let run = workshop.run(["store"].iter().chain(command).chain(&typo));
        run.expect(2).says("\"stroe\" is not there");
        assert!(!workshop.path("stroe").exists());
    }
}

/// What the node's service `~/revoke` records.
fn revoke_here(workshop: &Workshop, digest: &str, reason: &str) {
    let state = State::open(workshop.path("store/state")).unwrap();
    state.revoke(&digest.parse().unwrap(), reason).unwrap();
}

#[test]
fn what_was_revoked_on_this_machine_is_refused_until_that_is_taken_back() {
    let workshop = Workshop::signed();
    let digest = manifest_digest(&workshop);
    workshop.run(["store", "ls"]).expect(0);
    revoke_here(&workshop, &digest, "falls\non stairs");
    let run = workshop.verify(&[]);
    run.rejected("manifest-revoked", "manifest");
    run.says("was revoked on this machine")
        .says("`tensorgate store ls` shows");
    let run = workshop.run(["store", "ls"]);
    run.expect(0)
        .says("  revoked    1 release on this machine\n");
    let row = format!("{digest}  falls\u{fffd}on stairs\n");
    assert!(run.stdout.contains(&row), "{run:#?}");
    let object = workshop.run(["store", "ls", "--json"]).json();
    assert_eq!(object["revoked"][0]["manifest"], *digest);
    // It stands in no other memory.
    workshop.verify(&["--state", "mine"]).expect(0);

    let unrevoke = ["store", "unrevoke", &digest];
    workshop.run(unrevoke).expect(0).says("took back: ");
    workshop.verify(&[]).expect(0);
    workshop
        .run(unrevoke)
        .expect(0)
        .says("was not revoked here");
    let object = workshop.run(["store", "ls", "--json"]).json();
    assert_eq!(object["revoked"].as_array().unwrap().len(), 0);
}

#[test]
fn to_take_back_here_takes_nothing_back_that_was_signed() {
    let workshop = Workshop::signed();
    let digest = manifest_digest(&workshop);
    revoke(
        &workshop,
        &["--manifest", &digest, "--reason", "falls on stairs"],
    );
    let list = ["--revocations", "revocations.dsse.json"];
    workshop
        .verify(&list)
        .rejected("manifest-revoked", "manifest");
    workshop
        .run(["store", "unrevoke", &digest])
        .expect(0)
        .says("was not revoked here");
    workshop
        .verify(&[])
        .rejected("manifest-revoked", "manifest");
}

#[test]
fn revocations_of_this_machine_that_cannot_be_read_are_no_verdict() {
    let workshop = Workshop::signed();
    let digest = manifest_digest(&workshop);
    revoke_here(&workshop, &digest, "falls on stairs");
    workshop.write("store/state/revoked.json", "{");
    workshop
        .verify(&[])
        .could_not_check("revoked.json\" is damaged");
    for command in [&["ls"][..], &["check"], &["unrevoke", &digest]] {
        let run = workshop.run(["store"].iter().chain(command));
        run.could_not_check("revoked.json\" is damaged");
    }
    // As a list that cannot be read, it goes with everything, and that is said.
    let run = workshop.run(["store", "reset-state", "--all"]);
    run.expect(0)
        .says("note: what was revoked on this machine could not be read and was removed");
    workshop.verify(&[]).expect(0);
}
