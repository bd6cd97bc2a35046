//! Code, shards, and files that no robot needs.

use serde_json::{Value, json};
use tensorgate_verify::*;

use crate::lerobot::*;
use crate::support::weights;

#[test]
fn code_passes_only_as_it_was_reviewed() {
    let code = b"def act(): ...";
    let mut files = Files::act();
    files.bytes.insert("act.py".into(), code.into());
    files.refused(Rejection::CodeUnreviewed, "act.py");
    files.reviewed_code = vec![reviewed("act.py", code)];
    files.refused(Rejection::CodeUnreviewed, "act.py");
    files.rules.content.reviewed_code = Code::Allow;
    files.passes();
    files
        .bytes
        .insert("act.py".into(), b"def act(): 1/0".into());
    files.refused(Rejection::CodeChanged, "act.py");
    files.bytes.remove("act.py");
    files.refused(Rejection::FileMissing, "act.py");
    files.bytes.insert("other.py".into(), code.into());
    files.reviewed_code = vec![reviewed("act.py", code)];
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("passes");
    };
    assert_eq!(found.first().rejection, Rejection::CodeUnreviewed);
}

fn sharded() -> Files {
    let mut files = Files::act();
    files.bytes.remove("model.safetensors");
    for (name, tensors) in [
        (
            "model-00001-of-00002.safetensors",
            &[("a", 2), ("b", 3)][..],
        ),
        ("model-00002-of-00002.safetensors", &[("c", 4)]),
    ] {
        files.bytes.insert(name.into(), weights(tensors));
    }
    let first = "model-00001-of-00002.safetensors";
    let index = json!({"metadata": {"total_size": 36}, "weight_map":
        {"a": first, "b": first, "c": "model-00002-of-00002.safetensors"}});
    files
        .json
        .insert("model.safetensors.index.json".into(), index);
    files
}

#[test]
fn an_adapter_is_no_shard() {
    let mut files = sharded();
    files
        .bytes
        .insert("adapter_model.safetensors".into(), weights(&[("lora", 1)]));
    files.passes();
}

#[test]
fn shards_hold_what_their_index_says() {
    sharded().passes();
    type Spoil = fn(&mut Files);
    fn index(files: &mut Files) -> &mut Value {
        files.json.get_mut("model.safetensors.index.json").unwrap()
    }
    let cases: &[(Spoil, &str)] = &[
        (
            |f| index(f)["weight_map"]["d"] = json!("model-00002-of-00002.safetensors"),
            "/weight_map/d",
        ),
        (
            |f| index(f)["weight_map"]["c"] = json!("model-00001-of-00002.safetensors"),
            "/weight_map/c",
        ),
        (
            |f| index(f)["weight_map"]["c"] = json!("../model-00002-of-00002.safetensors"),
            "/weight_map/c",
        ),
        (
            |f| index(f)["weight_map"]["c"] = json!("config.json"),
            "/weight_map/c",
        ),
        (|f| index(f)["weight_map"]["c"] = json!(2), "/weight_map/c"),
        (
            |f| drop(index(f)["weight_map"].as_object_mut().unwrap().remove("a")),
            "/weight_map/a",
        ),
        (
            |f| index(f)["metadata"]["total_size"] = json!(35),
            "/metadata/total_size",
        ),
        (
            |f| index(f)["metadata"] = json!(null),
            "/metadata/total_size",
        ),
        (|f| index(f)["weight_map"] = json!([]), ""),
        (|f| index(f)["more"] = json!([]), ""),
        (
            |f| {
                drop(
                    f.bytes
                        .insert("model.safetensors".into(), weights(&[("e", 1)])),
                )
            },
            "",
        ),
    ];
    for (spoil, inner) in cases {
        let mut files = sharded();
        spoil(&mut files);
        let subject = format!("model.safetensors.index.json#{inner}");
        files.refused(Rejection::WeightsIndexInvalid, &subject);
    }
}

#[test]
fn shards_have_an_index() {
    let mut files = sharded();
    files.json.remove("model.safetensors.index.json");
    files.refused(
        Rejection::WeightsIndexInvalid,
        "model-00001-of-00002.safetensors",
    );
}

#[test]
fn only_files_that_a_robot_needs_have_a_kind() {
    for name in [
        "optimizer_state.safetensors",
        "rng_state.safetensors",
        "model-1-of-2.safetensors",
        "scheduler_state.json",
        "training_step.json",
        "optimizer_param_groups.json",
        "eval_info.json",
        "model_index.json",
        "camera.mp4",
    ] {
        let mut files = Files::act();
        files.bytes.insert(name.into(), weights(&[("a", 1)]));
        files.refused(Rejection::FileKindForbidden, name);
    }
}

#[test]
fn a_data_set_is_judged_for_its_formats_only() {
    let mut files = Files::act();
    files.json.clear();
    files.states.clear();
    files.bytes.remove("model.safetensors");
    files
        .json
        .insert("meta/info.json".into(), json!({"class": "a/b"}));
    let surveyed = files.survey_of(RepoType::Dataset).unwrap();
    assert_eq!(surveyed.files.len(), 2);
}
