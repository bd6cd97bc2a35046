//! Help and wrong usage, word for word, and the rules of every output.

use std::process::Stdio;

use crate::support::{Run, Workshop};

#[test]
fn help_and_usage_errors() {
    trycmd::TestCases::new()
        .default_bin_name("tensorgate")
        .env("COLUMNS", "100")
        .case("tests/cmd/*.trycmd");
}

#[test]
fn wrong_usage_is_json_where_json_was_asked_for() {
    let workshop = Workshop::new();
    let run = workshop.run(["verify", "walk", "--json"]);
    run.expect(2);
    let object = run.json();
    assert_eq!(
        (&object["verdict"], &object["code"]),
        (&"error".into(), &"usage".into())
    );
    assert!(
        object["detail"]
            .as_str()
            .unwrap()
            .contains("--trust <FILE>")
    );
    assert_eq!(object["hint"], "see `tensorgate --help`");
    for arguments in [["--json", "--help"], ["--json", "--version"]] {
        let run = workshop.run(arguments);
        let help = run.expect(0).json()["help"].clone();
        assert!(help.as_str().unwrap().contains("tensorgate"), "{help}");
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let workshop = Workshop::signed();
    let mut child = workshop
        .command()
        .args(["inspect", "walk"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_full_disk_under_standard_output_is_one() {
    let workshop = Workshop::signed();
    let full = std::fs::File::create("/dev/full").unwrap();
    let run = Run::of(workshop.command().args(["inspect", "walk"]).stdout(full));
    run.expect(2).says("could not write to standard output");
}
