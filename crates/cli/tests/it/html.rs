//! `--html FILE`: a page for people, whatever the verdict.

use std::fs;

use crate::support::{REVISION, Workshop, safetensors_of};

fn page(workshop: &Workshop) -> String {
    String::from_utf8(workshop.read("report.html")).unwrap()
}

#[track_caller]
fn has(page: &str, words: &[&str]) {
    for words in words {
        assert!(page.contains(words), "{words}\n{page}");
    }
}

#[test]
fn an_audit_shows_what_is_in_a_policy() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.write("walk/README.md", "---\nlicense: apache-2.0\n---\n# walk\n");
    let told = workshop.run(["audit", "walk"]);
    let run = workshop.run(["audit", "walk", "--html", "report.html"]);
    // The report comes beside what is told, not in place of it.
    assert_eq!(run.expect(0).stderr, told.stderr);
    let words = [
        "Passed, still untrusted",
        "nobody vouches for it",
        "apache-2.0",
        "gain",
        "1,202 numbers",
        "model.safetensors",
        concat!("Made by tensorgate ", env!("CARGO_PKG_VERSION")),
    ];
    has(&page(&workshop), &words);
}

#[test]
fn what_was_proven_is_shown_with_who_signed_it() {
    let workshop = Workshop::signed();
    workshop.verify(&["--html", "report.html"]).expect(0);
    let words = [
        "<h1>Verified</h1>",
        "Signed by",
        "release",
        REVISION,
        "gain",
    ];
    has(&page(&workshop), &words);
}

#[test]
fn a_rejection_is_reported_without_what_was_refused() {
    let workshop = Workshop::signed();
    workshop.write("walk/run.sh", "#!/bin/sh\n");
    workshop
        .verify(&["--html", "report.html"])
        .rejected("file-unexpected", "run.sh");
    let text = page(&workshop);
    has(
        &text,
        &["<h1>Rejected</h1>", "file-unexpected", "run.sh", "Hint: "],
    );
    assert!(!text.contains("gain"), "nothing was proven");

    workshop.write("walk/config.json", r#"{"type": "mlp", "auto_map": {}}"#);
    let run = workshop.run(["audit", "walk", "--html", "report.html"]);
    run.rejected("format-executable", "run.sh");
    let text = page(&workshop);
    has(
        &text,
        &[
            "format-executable",
            "config-names-code",
            "gain",
            "Of the files that were not refused",
        ],
    );
    let sizes = text.split("<h2>Files</h2>").nth(1).unwrap();
    assert!(!sizes.contains("config.json"), "{sizes}");
}

#[test]
fn what_could_not_be_checked_leaves_no_older_report() {
    let workshop = Workshop::signed();
    workshop.verify(&["--html", "report.html"]).expect(0);
    workshop.remove("trust.toml");
    workshop.verify(&["--html", "report.html"]).expect(2);
    has(&page(&workshop), &["Could not be checked", "trust.toml"]);
}

#[test]
fn a_comparison_is_shown_with_how_far_tensors_moved() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.policy("run");
    let header = r#"{"gain":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let weights = |values: [f32; 2]| safetensors_of(header, &values.map(f32::to_le_bytes).concat());
    workshop.write("walk/model.safetensors", weights([3.0, 4.0]));
    workshop.write("run/model.safetensors", weights([3.0, 4.5]));
    workshop.write("run/config.json", r#"{"type": "<b>mlp</b>"}"#);
    workshop
        .run(["diff", "walk", "run", "--html", "report.html"])
        .expect(0);
    let text = page(&workshop);
    has(
        &text,
        &[
            "They differ",
            "Nothing below was verified",
            ">0.5<",
            ">0.1<",
            "#/type",
        ],
    );
    has(&text, &["&lt;b&gt;mlp&lt;/b&gt;"]);
    workshop
        .run(["diff", "walk", "walk", "--html", "report.html"])
        .expect(0);
    has(&page(&workshop), &["They are the same"]);
}

#[test]
fn one_object_of_json_stays_one() {
    let workshop = Workshop::signed();
    let run = workshop.verify(&["--json", "--html", "report.html"]);
    assert_eq!(run.json()["verdict"], "verified");
    has(&page(&workshop), &["Verified"]);
}

#[test]
fn a_report_is_put_in_place_as_a_whole() {
    let workshop = Workshop::signed();
    workshop.verify(&["--html", "report.html"]).expect(0);
    let (old, text) = (
        fs::File::open(workshop.path("report.html")).unwrap(),
        page(&workshop),
    );
    workshop.flip("walk/README.md", 0);
    workshop.verify(&["--html", "report.html"]).expect(1);
    // Whoever had the old one open still has it, whole.
    assert_eq!(std::io::read_to_string(old).unwrap(), text);
    has(&page(&workshop), &["<h1>Rejected</h1>"]);
    let names = fs::read_dir(workshop.path("")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().starts_with('.')),
        "{names:?}"
    );
}
