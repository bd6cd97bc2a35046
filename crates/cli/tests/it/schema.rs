//! That what the command prints with `--json` is what the published schema says, and nothing else.
//! Every object that any test reads passes through [`described`].

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use tensorgate_verify::Rejection;

use crate::support::Workshop;

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
