//! What `audit` judges without a signature, and with whose declarations.

use serde_json::{Value, json};
use tensorgate_testhub::Repository;

use crate::fixture::Fixture;
use crate::support::{Run, Workshop};

const EXTERNALS: &str = r#"
[[externals]]
field = "config.json#/pretrained_backbone_weights"
name = "ResNet18_Weights.IMAGENET1K_V1"
decision = "absent"
reason = "the policy's own weights replace the backbone"

[[externals]]
field = "config.json#/vlm_model_name"
name = "acme/backbone"
decision = "pinned"
repo = "acme/backbone"
revision = "0123456789abcdef0123456789abcdef01234567"
files = [
    { path = "config.json", size = 2, sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" },
]
"#;

const REVIEW: &str = r#"
[[reviewed_code]]
path = "step.py"
sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
reviewer = "R. Viewer"
note = "arithmetic only"
"#;

fn audit(workshop: &Workshop, options: &[&str]) -> Run {
    workshop.run(["audit", "walk"].iter().chain(options))
}

#[test]
fn a_good_policy_passes_and_is_not_called_verified() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let run = audit(&workshop, &[]);
    run.expect(0)
        .says("passed: \"walk\", as far as content goes; nobody vouches for it\n")
        .says("  files      3 files, ");
    let object = audit(&workshop, &["--json"]).json();
    assert_eq!(object["verdict"], "passed");
    assert_eq!(object["evidence"]["authenticated"], false);
    assert_eq!(object["evidence"]["repo_type"], "model");
    assert_eq!(object["files"][2]["path"], "model.safetensors");
    assert_eq!(object["files"][2]["kind"], "weights");
    for empty in ["rejections", "notices", "waived"] {
        assert_eq!(object[empty], json!([]), "{empty}");
    }
}

#[test]
fn what_vouches_for_the_files_is_none_of_them() {
    let workshop = Workshop::signed();
    audit(&workshop, &[])
        .expect(0)
        .says("  files      3 files, ");
    workshop.write("walk/model.sig", "{}");
    audit(&workshop, &[]).rejected("file-kind-forbidden", "model.sig");
    workshop.remove("walk/policy.dsse.json");
    audit(&workshop, &[])
        .expect(0)
        .says("  files      3 files, ");
}

#[test]
fn every_rejection_is_listed() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.write("walk/weights.pt", b"\x80\x02}q\0.");
    workshop.write("walk/config.json", "type: act");
    workshop.write("walk/model.safetensors", [0xff; 64]);
    let run = audit(&workshop, &["--json"]);
    run.expect(1);
    let object = run.json();
    let found = object["rejections"].as_array().unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|one| {
            (
                one["code"].as_str().unwrap(),
                one["subject"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("json-malformed", "config.json"),
            ("header-too-large", "model.safetensors"),
            ("format-pickle", "weights.pt"),
        ]
    );
    audit(&workshop, &[]).rejected("json-malformed", "config.json");
}

#[test]
fn a_trust_policy_decides_which_rules_hold() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    workshop.trust(1, &["release"]);
    audit(&workshop, &["--trust", "trust.toml"]).expect(0);
    audit(&workshop, &["--trust", "missing.toml"]).could_not_check("No such file");
}

#[test]
fn a_data_set_is_judged_as_one() {
    let workshop = Workshop::new();
    workshop.write("walk/meta/info.json", "{}");
    workshop.write("walk/data/episode.parquet", "PAR1....PAR1");
    audit(&workshop, &[]).rejected("file-kind-forbidden", "data/episode.parquet");
    let object = audit(&workshop, &["--repo-type", "dataset", "--json"]).json();
    assert_eq!(object["evidence"]["repo_type"], "dataset");
    assert_eq!(object["files"][0]["kind"], "table");
}

#[test]
fn declarations_come_from_the_file_that_is_named() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.write("externals.toml", EXTERNALS);
    let run = audit(&workshop, &["--externals", "externals.toml", "--json"]);
    let object = run.expect(0).json();
    assert_eq!(object["evidence"]["externals"], 2);
    assert_eq!(object["evidence"]["reviewed_code"], 0);
    assert_eq!(object["notices"], json!([]));
}

#[test]
fn else_from_the_manifest_that_lies_there_with_a_word_on_it() {
    let workshop = Workshop::signed();
    assert_eq!(audit(&workshop, &["--json"]).json()["notices"], json!([]));
    workshop.write("externals.toml", EXTERNALS);
    workshop
        .sign(&["--externals", "externals.toml", "--replace"])
        .expect(0);
    let run = audit(&workshop, &[]);
    run.expect(0)
        .says("note: externals and reviewed code are as policy.dsse.json declares, which was not");
    let object = audit(&workshop, &["--json"]).json();
    assert_eq!(object["evidence"]["externals"], 2);
    workshop.write("walk/policy.dsse.json", "{}");
    let run = audit(&workshop, &[]);
    run.expect(0)
        .says("note: policy.dsse.json was not judged and declares nothing: manifest-malformed: ");
}

#[test]
fn what_a_declaration_must_not_say_is_told_with_the_line() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let declared = format!("{EXTERNALS}{REVIEW}");
    let cases = [
        (
            declared.replace("reason", "reasons"),
            "line 6",
            "unknown field `reasons`",
        ),
        (
            declared.replace("note", "notes"),
            "line 22",
            "unknown field `notes`",
        ),
        (
            declared.replace("size", "bytes"),
            "line 15",
            "unknown field `bytes`",
        ),
        (
            declared.replace("[[reviewed_code]]", "[[code]]"),
            "line 18",
            "unknown field `code`",
        ),
        (
            declared.replace("\"absent\"", "\"ignored\""),
            "line 5",
            "unknown variant `ignored`",
        ),
        (
            declared.replace("\"absent\"", "\"pinned\""),
            "line 2",
            "`pinned` has `repo`",
        ),
        (
            declared.replace("\"pinned\"", "\"absent\""),
            "line 8",
            "`absent` has `reason`",
        ),
        (
            declared.replace("01234567\"", "0123456\""),
            "line 13",
            "40 lower-case",
        ),
        (
            declared.replace("\"step.py\"", "\"../step.py\""),
            "line 19",
            "file-name-unsafe",
        ),
        ("=".into(), "line 1", "TOML"),
    ];
    for (text, line, why) in cases {
        workshop.write("externals.toml", &text);
        let run = audit(&workshop, &["--externals", "externals.toml"]);
        run.could_not_check(why);
        run.says(line)
            .says("hint: `tensorgate audit --help` shows an example");
    }
    workshop.write("externals.toml", vec![b'#'; (1 << 20) + 1]);
    audit(&workshop, &["--externals", "externals.toml"]).could_not_check("more than 1 MiB");
    audit(&workshop, &["--externals", "missing"]).could_not_check("No such file");
}

#[test]
fn a_repository_is_fetched_first() {
    let fixture = Fixture::new();
    let target = format!("acme/walk@{}", fixture.files);
    let arguments = ["audit", &target, "--endpoint", fixture.hub.endpoint()];
    let run = fixture.workshop.run(arguments);
    run.expect(0)
        .says("note: not fetched and not judged: run.exe: no file of a policy has this name\n");
    let object = fixture
        .workshop
        .run(arguments.iter().chain(&["--json"]))
        .json();
    assert_eq!(
        (&object["verdict"], &object["subject"]),
        (&"passed".into(), &target.into())
    );
    assert!(object["path"].as_str().unwrap().contains("/quarantine/"));
    let run = fixture
        .workshop
        .run(["audit", "acme/walk@main", "--offline"]);
    run.expect(2);
}

#[test]
fn what_is_neither_a_directory_nor_a_commit_cannot_be_judged() {
    let workshop = Workshop::new();
    let audit = |target: &str| workshop.run(["audit", target]);
    audit("missing").could_not_check("could not open the directory \"missing\"");
    audit("walk@main").could_not_check("OWNER/NAME@");
    audit("acme/walk@0123456").rejected("revision-not-pinned", "0123456");
}

#[test]
fn what_is_fetched_and_audited_is_a_data_set_if_one_is_asked_for() {
    let fixture = Fixture::new();
    fixture.workshop.write("set/meta/info.json", "{}");
    let set = Repository::new("datasets/acme/set").unwrap();
    let set = set.commit_dir(fixture.workshop.path("set")).unwrap();
    let commit = set.commits()[0].clone();
    fixture.hub.serve(set);
    let endpoint = ["--endpoint", fixture.hub.endpoint(), "--json"];
    for (target, options) in [
        (
            format!("acme/set@{commit}"),
            &["--repo-type", "dataset"][..],
        ),
        (
            format!("datasets/acme/set@{commit}"),
            &["--repo-type", "dataset"],
        ),
        (format!("datasets/acme/set@{commit}"), &[]),
    ] {
        for command in ["fetch", "audit"] {
            let run = fixture
                .workshop
                .run([&[command, &target], options, &endpoint].concat());
            let object = run.expect(0).json();
            assert_eq!(object["subject"], format!("datasets/acme/set@{commit}"));
            assert_eq!(object["files"][0]["path"], "meta/info.json");
        }
    }
    let target = format!("datasets/acme/set@{commit}");
    let run = fixture
        .workshop
        .run(["fetch", &target, "--repo-type", "model"]);
    run.could_not_check("names a dataset, --repo-type a model");
    let object: Value = fixture
        .workshop
        .run(["fetch", &target, "--repo-type", "x", "--json"])
        .json();
    assert_eq!(object["code"], "usage");
}

/// Who leaves out where in its history.
#[test]
fn a_directory_that_could_be_a_repository_is_told_as_one() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    let verify = ["verify", "acme/walk", "--trust", "trust.toml"];
    for (line, command) in [
        (&["audit", "acme/walk"][..], "audit"),
        (&["inspect", "acme/walk@main"], "fetch"),
        (&verify, "fetch"),
    ] {
        let run = workshop.run(line);
        run.could_not_check("No such file or directory");
        let hint = format!("\nhint: if it is on a Hub: `tensorgate {command} acme/walk@main`\n");
        assert!(run.stderr.ends_with(&hint), "{run:#?}");
    }
    let run = workshop.run(["audit", "nowhere"]);
    assert!(!run.could_not_check("nowhere").stderr.contains("hint"));
}
