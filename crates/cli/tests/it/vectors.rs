//! The test vectors of `docs/vectors`, as the command judges them: verdict, code, subject and status.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tensorgate_store::State;
use tensorgate_verify::{Context, SignedManifest, TrustPolicy};

use crate::support::Workshop;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/cases")
}

/// A copy of the case: whatever the umask of a checkout, its trust policy is its owner's alone.
fn copied(case: &Path) -> Workshop {
    let workshop = Workshop::new();
    for entry in fs::read_dir(case.join("policy")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        workshop.write(&format!("policy/{name}"), fs::read(&path).unwrap());
    }
    for name in ["trust.toml", "revocations.dsse.json"] {
        if let Ok(bytes) = fs::read(case.join(name)) {
            workshop.write(name, bytes);
            workshop.chmod(name, 0o644);
        }
    }
    workshop
}

/// `--now` leaves nothing behind, so that what a case comes after is recorded by hand.
fn remember(name: &str, workshop: &Workshop) {
    let case = cases().join(name);
    let head: Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
    let text = fs::read_to_string(case.join("trust.toml")).unwrap();
    let trust = TrustPolicy::parse(&text, |_| panic!("keys are inline")).unwrap();
    let envelope = fs::read(case.join("policy/policy.dsse.json")).unwrap();
    let signed = SignedManifest::parse(&envelope, trust.limits()).unwrap();
    let context = Context::new(head["now"].as_str().unwrap().parse().unwrap());
    let manifest = trust.authenticate(&signed, &context).unwrap();
    let state = State::open(workshop.path("state")).unwrap();
    state.record_accepted(manifest.evidence()).unwrap();
}

#[test]
fn the_command_judges_every_case_as_it_says() {
    let mut judged = 0;
    for entry in fs::read_dir(cases()).unwrap() {
        let case = entry.unwrap().path();
        let head: Value =
            serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
        let workshop = copied(&case);
        for name in head["after"].as_array().into_iter().flatten() {
            remember(name.as_str().unwrap(), &workshop);
        }
        let mut arguments = vec!["verify", "policy", "--trust", "trust.toml", "--json"];
        arguments.extend(["--state", "state", "--now", head["now"].as_str().unwrap()]);
        for (key, flag) in [("repo", "--repo"), ("revision", "--revision")] {
            arguments.extend(
                head[key]
                    .as_str()
                    .map(|value| [flag, value])
                    .into_iter()
                    .flatten(),
            );
        }
        if workshop.path("revocations.dsse.json").exists() {
            arguments.extend(["--revocations", "revocations.dsse.json"]);
        }
        let run = workshop.run(&arguments);
        let object = run.json();
        let expected = &head["expect"];
        let found = match object["verdict"].as_str().unwrap() {
            "verified" => json!({"verdict": "verified"}),
            verdict => {
                json!({"verdict": verdict, "code": object["code"], "subject": object["subject"]})
            }
        };
        assert_eq!(found, *expected, "{case:?}: {run:?}");
        run.expect(i32::from(expected["verdict"] == "rejected"));
        judged += 1;
    }
    assert!(judged > 50, "{judged}");
}
