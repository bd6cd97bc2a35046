//! That what the command prints with `--json` is what the published schema says, and nothing else.
//! Every object that any test reads passes through [`described`].

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use tensorgate_verify::Rejection;

use crate::fixture::Fixture;
use crate::import::cached;
use crate::lobby::Lobby;
use crate::oms;
use crate::support::{EXPIRES, Workshop};

const SCHEMA: &str = include_str!("../../schema/tensorgate.schema.json");

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let options = jsonschema::options().with_draft(Draft::Draft202012);
    options.build(&schema()).unwrap()
});

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// One object that the command printed, which the schema must describe whole.
#[track_caller]
pub(crate) fn described(text: &str) -> Value {
    let object: Value = serde_json::from_str(text).unwrap();
    assert!(VALIDATOR.is_valid(&object), "{}\n{object:#}", why(&object));
    object
}

/// What is wrong by the description that comes nearest: `oneOf` alone says that none fits.
fn why(object: &Value) -> String {
    let schema = schema();
    let alternatives = schema["oneOf"].as_array().unwrap().iter();
    let errors = alternatives.map(|one| {
        let one = json!({ "$ref": one["$ref"], "$defs": schema["$defs"] });
        let validator = jsonschema::options().build(&one).unwrap();
        let errors = validator.iter_errors(object);
        let told: Vec<String> = errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        format!("{}:\n  {}", one["$ref"], told.join("\n  "))
    });
    errors.min_by_key(|told| told.lines().count()).unwrap()
}

#[test]
fn the_codes_are_all_codes() {
    let schema = schema();
    let listed = schema["$defs"]["code"]["enum"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|code| code.as_str().unwrap()).collect();
    let codes: Vec<_> = Rejection::ALL.iter().map(|one| one.code()).collect();
    assert_eq!(listed, codes);
}

/// Every part of the schema, with where it is.
fn parts(at: &str, part: &Value, seen: &mut Vec<(String, Value)>) {
    match part {
        Value::Object(fields) => {
            seen.push((at.to_owned(), part.clone()));
            for (name, inside) in fields {
                parts(&format!("{at}/{name}"), inside, seen);
            }
        }
        Value::Array(all) => {
            for (index, inside) in all.iter().enumerate() {
                parts(&format!("{at}/{index}"), inside, seen);
            }
        }
        _ => {}
    }
}

/// So that a field that is misspelt, or that nobody described, is noticed by the tests.
#[test]
fn every_object_says_which_fields_it_has() {
    let mut seen = Vec::new();
    parts("", &schema(), &mut seen);
    let is_object = |part: &Value| match &part["type"] {
        Value::String(name) => name == "object",
        Value::Array(names) => names.contains(&json!("object")),
        _ => false,
    };
    let objects = seen
        .iter()
        .filter(|(at, part)| !at.is_empty() && is_object(part));
    let mut number = 0;
    for (at, part) in objects {
        number += 1;
        let others = &part["additionalProperties"];
        let of_any_name = part["properties"].is_null() && others["type"].is_string();
        assert!(others == &json!(false) || of_any_name, "{at}: {others}");
    }
    assert!(number > 60, "only {number} were found");
    // What is the whole has its fields from the one description that fits.
    assert_eq!(seen[0].1["oneOf"].as_array().unwrap().len(), 34);
}

/// Codes are listed once: wherever else one stands, it would be forgotten.
#[test]
fn no_second_list_has_codes() {
    let mut seen = Vec::new();
    parts("", &schema(), &mut seen);
    let is_code = |value: &Value| Rejection::ALL.iter().any(|one| value == one.code());
    let lists: Vec<&str> = seen
        .iter()
        .filter(|(_, part)| {
            part["enum"]
                .as_array()
                .is_some_and(|all| all.iter().any(is_code))
        })
        .map(|(at, _)| at.as_str())
        .collect();
    assert_eq!(lists, ["/$defs/code"]);
    assert!(!seen.iter().any(|(_, part)| is_code(&part["const"])));
}

#[test]
fn what_the_documentation_shows_is_described() {
    let page = include_str!("../../../../docs/json.md");
    let blocks = page.split("```json\n").skip(1);
    let shown: Vec<Value> = blocks
        .map(|block| described(block.split("```").next().unwrap()))
        .collect();
    let verdicts: Vec<&Value> = shown.iter().map(|object| &object["verdict"]).collect();
    assert_eq!(
        verdicts,
        ["verified", "rejected", "error", "passed", "done"]
    );
}

#[test]
fn what_is_not_described_is_refused() {
    let workshop = Workshop::signed();
    let genuine = workshop.verify(&["--json"]).json();
    let objects: [(&str, Value); 6] = [
        ("/surplus", json!(1)),
        ("/evidence/surplus", json!(1)),
        ("/evidence/signers/0/surplus", json!(1)),
        ("/schema", json!(2)),
        ("/command", json!("audit")),
        ("/verdict", json!("passed")),
    ];
    for (pointer, value) in objects {
        let mut object = genuine.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value;
        assert!(!VALIDATOR.is_valid(&object), "{pointer}");
    }
    for name in genuine.as_object().unwrap().keys() {
        let mut object = genuine.clone();
        object.as_object_mut().unwrap().remove(name);
        assert!(!VALIDATOR.is_valid(&object), "{name}");
    }
}

/// The descriptions that fit, by their names.
fn fitting(object: &Value) -> Vec<String> {
    let schema = schema();
    let alternatives = schema["oneOf"].as_array().unwrap().iter();
    let fits = alternatives.filter(|one| {
        let one = json!({ "$ref": one["$ref"], "$defs": schema["$defs"] });
        jsonschema::options().build(&one).unwrap().is_valid(object)
    });
    fits.map(|one| one["$ref"].as_str().unwrap().replace("#/$defs/", ""))
        .collect()
}

#[test]
fn each_description_is_of_something_that_is_printed() {
    let fixture = Fixture::new();
    cached(&fixture);
    let (hub, commit) = (
        fixture.hub.endpoint(),
        format!("acme/walk@{}", fixture.files),
    );
    let release = [
        "--key",
        "release.key.pem",
        "--repo",
        "acme/walk",
        "--revision",
        &fixture.files,
        "--sequence",
        "5",
        "--expires",
        EXPIRES,
    ];
    let signed = [
        "--manifest",
        "walk/policy.dsse.json",
        "--trust",
        "trust.toml",
    ];
    let import = [
        "store",
        "import-hf-cache",
        "acme/walk@main",
        "--cache",
        "hub",
    ];
    let revoke = [
        "trust",
        "revoke",
        "list.json",
        "--key",
        "release.key.pem",
        "--expires",
        EXPIRES,
    ];
    let zeros = "0".repeat(64);
    let lobby = Lobby::new();
    let admitted = lobby.admit_unasked(&["--json"]);
    lobby.workshop.keygen("second");
    lobby.workshop.trust(2, &["ops", "second"]);
    let pending = lobby.admit_unasked(&["--json"]);
    let bundles = oms::workshop();
    bundles.policy("plain");
    fixture.workshop.policy("next");
    let run = |expected: &str, line: &[&str]| {
        (
            expected.to_owned(),
            fixture.workshop.run(line.iter().chain(&["--json"])),
        )
    };
    let of_bundles = |expected: &str, line: &[&str]| {
        (
            expected.to_owned(),
            bundles.run(line.iter().chain(&["--json"])),
        )
    };
    let runs = [
        run("help", &["fetch", "--help"]),
        run("error", &["fetch"]),
        run("rejected", &["verify", "next", "--trust", "trust.toml"]),
        run("keygen", &["keygen", "--out", "new"]),
        run("sign", &[&["sign", "walk"], &release[..]].concat()),
        run("audit", &["audit", "walk"]),
        run("verify", &["verify", "walk", "--trust", "trust.toml"]),
        run(
            "dry_run",
            &["fetch", &commit, "--endpoint", hub, "--dry-run"],
        ),
        run("fetched", &["fetch", &commit, "--endpoint", hub]),
        run(
            "admitted",
            &[&["fetch", &commit, "--endpoint", hub], &signed[..]].concat(),
        ),
        run("fetched", &import),
        run("admitted", &[&import[..], &signed].concat()),
        run("store_init", &["store", "init", "--quota", "20GiB"]),
        run("store_ls", &["store", "ls"]),
        run("store_check", &["store", "check"]),
        run("store_gc", &["store", "gc"]),
        run("store_unrevoke", &["store", "unrevoke", &zeros]),
        run("trust_check", &["trust", "check", "trust.toml"]),
        run(
            "trust_revoke",
            &[&revoke[..], &["--manifest", &zeros, "--reason", "falls"]].concat(),
        ),
        run("inspect_tensors", &["inspect", "walk/model.safetensors"]),
        run("inspect_manifest", &["inspect", "walk/policy.dsse.json"]),
        run("inspect_directory", &["inspect", "walk"]),
        run("diff", &["diff", "acme/walk", "walk"]),
        run("trust_show", &["trust", "show", "release.pub.pem"]),
        run(
            "trust_add_key",
            &[
                "trust",
                "add-key",
                "trust.toml",
                "new.pub.pem",
                "--name",
                "new",
            ],
        ),
        ("admit".to_owned(), admitted),
        ("admit_pending".to_owned(), pending),
        run("doctor", &["doctor", "--trust", "trust.toml", "--offline"]),
        run(
            "doctor_failed",
            &["doctor", "--trust", "nowhere.toml", "--offline"],
        ),
        run("completions", &["completions", "bash"]),
        run("man", &["man"]),
        run("man_pages", &["man", "pages"]),
        run("store_reset_state", &["store", "reset-state", "--all"]),
        of_bundles(
            "verify_oms",
            &[&["verify", "walk", "--trust", "trust.toml"], &oms::OMS[..]].concat(),
        ),
        of_bundles(
            "sign_oms",
            &["sign", "plain", "--format", "oms", "--key", "ec.key.pem"],
        ),
    ];
    let mut printed = BTreeSet::new();
    for (expected, run) in runs {
        assert_eq!(fitting(&run.json()), [expected.as_str()], "{run:#?}");
        printed.insert(expected);
    }
    // By `watch::`, which has somebody to stop it.
    printed.insert("watch".to_owned());
    let schema = schema();
    let all = schema["oneOf"].as_array().unwrap().iter();
    let all: BTreeSet<String> = all
        .map(|one| one["$ref"].as_str().unwrap().replace("#/$defs/", ""))
        .collect();
    assert_eq!(printed, all);
}

/// A description of what no command prints would be a promise that nobody keeps.
#[test]
fn every_command_is_described_once_by_its_name() {
    let schema = schema();
    let commands = schema["$defs"]["command"]["enum"].as_array().unwrap();
    let named: BTreeSet<&str> = commands.iter().filter_map(Value::as_str).collect();
    let help = Workshop::new().run(["--help", "--json"]).json();
    assert_eq!(
        (&help["schema"], &help["command"]),
        (&json!(1), &Value::Null)
    );
    let top = names(help["help"].as_str().unwrap());
    let of = |name: &str| {
        let help = Workshop::new().run([name, "--help", "--json"]).json();
        let all = names(help["help"].as_str().unwrap());
        all.into_iter()
            .map(move |sub| format!("{name} {sub}"))
            .collect::<Vec<_>>()
    };
    let nested = ["trust", "store"];
    let typed = top
        .iter()
        .filter(|name| !nested.contains(&name.as_str()))
        .cloned();
    let typed: BTreeSet<String> = typed
        .chain(nested.iter().flat_map(|name| of(name)))
        .collect();
    assert_eq!(named, typed.iter().map(String::as_str).collect());
}

/// The names in the table of commands of a help text.
fn names(help: &str) -> Vec<String> {
    let (_, table) = help.split_once("Commands:\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let lines = table
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}
