//! What configurations and processors are refused for.

use serde_json::{Value, json};
use tensorgate_verify::*;

use crate::lerobot::*;

#[test]
fn genuine_policies_pass_without_a_word() {
    Files::act().passes();
    Files::smolvla().passes();
    Files::pi0().passes();
}

#[test]
fn a_signature_excuses_nothing() {
    // The same rules hold on the robot, under any signature.
    let mut files = Files::act();
    let honest = files.write();
    let signer = Survey::new(&files.rules);
    let mut entries = signer
        .run(&crate::support::directory(honest.path()))
        .unwrap()
        .files;
    files.config()["auto_map"] = json!({"AutoModel": "modeling.Evil"});
    let hostile = files.write();
    let bytes = std::fs::read(hostile.path().join("config.json")).unwrap();
    let entry = entries
        .iter_mut()
        .find(|e| e.path.as_str() == "config.json");
    let entry = entry.unwrap();
    (entry.size, entry.sha256, entry.blake3) =
        (bytes.len() as u64, Sha256::of(&bytes), Blake3::of(&bytes));
    let manifest = Manifest::new(
        crate::support::repo(),
        1,
        crate::support::validity(),
        About::of_type("act"),
        entries,
    );
    let signed = crate::support::sign(&manifest, &[1]);
    let trust = crate::support::trust(1, &[1]);
    let manifest = trust.authenticate(&signed, &crate::support::context());
    let directory = crate::support::directory(hostile.path());
    let opened = manifest
        .unwrap()
        .open(&directory, Proof::Tensors, &Rules::default());
    assert_eq!(crate::support::refusal(opened), Rejection::ConfigNamesCode);
}

#[test]
fn fields_that_name_code_are_refused_wherever_they_stand() {
    let fields = [
        ("auto_map", json!({"AutoConfig": "modeling.Evil"})),
        ("custom_pipelines", json!({})),
        ("custom_pipeline", json!("acme/evil")),
        ("_target_", json!("os.system")),
        ("class", json!("os.system")),
        ("module", json!("os")),
        ("class_name", json!("Lambda")),
        ("chat_template", json!("{{ x }}")),
        ("_attn_implementation_internal", json!("acme/evil")),
        ("tokenizer_class", json!("evil.Tokenizer")),
        ("processor_class", json!(["A", "B"])),
        ("Auto_Map", json!("a")),
        ("parent_library", json!("os")),
        ("megatron_core", json!("evil")),
    ];
    for (field, value) in fields {
        for file in [
            "config.json",
            "train_config.json",
            "tokenizer/tokenizer_config.json",
        ] {
            let mut files = Files::act();
            let document = files.json.entry(file.into()).or_insert_with(|| json!({}));
            document["deep"] = json!([{"er~/": {field: value}}]);
            let subject = format!("{file}#/deep/0/er~0~1/{field}");
            let Err(Error::Rejected(found)) = files.survey() else {
                panic!("{subject} passes");
            };
            let first = found.first();
            assert_eq!(first.rejection, Rejection::ConfigNamesCode, "{first}");
            assert_eq!(*first.subject, subject);
        }
    }
}

#[test]
fn what_names_no_code_passes() {
    let mut files = Files::act();
    files.config()["auto_map"] = json!(null);
    files.config()["trust_remote_code"] = json!(false);
    files.json.insert(
        "tokenizer.json".into(),
        json!({"model": {"vocab": {"class": 1, "module": 2, "auto_map": 3}},
               "merges": ["diffusers", "UNet"]}),
    );
    files.json.insert(
        "tokenizer_config.json".into(),
        json!({"tokenizer_class": "GPT2Tokenizer", "chat_template": null}),
    );
    files.passes();
}

#[test]
fn remote_code_is_not_requested() {
    for value in [json!(true), json!("true"), json!(1), json!(null), json!({})] {
        let mut files = Files::act();
        files.config()["a"] = json!({"trust_remote_code": value});
        files.refused(
            Rejection::RemoteCodeRequested,
            "config.json#/a/trust_remote_code",
        );
    }
}

#[test]
fn a_pipeline_has_the_documented_form() {
    type Spoil = fn(&mut Value);
    let cases: &[(&str, Spoil, Rejection, &str)] = &[
        (
            "unknown step",
            |s| s["registry_name"] = json!("evil"),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "no name",
            |s| *s = json!({"config": {}}),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "a number",
            |s| *s = json!(7),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "a name of another type",
            |s| s["registry_name"] = json!(["to_batch_processor"]),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "unknown field",
            |s| s["overrides"] = json!({}),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "settings of another type",
            |s| s["config"] = json!([]),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "class beside the name",
            |s| s["class"] = json!("os.system"),
            Rejection::ConfigNamesCode,
            "/class",
        ),
        (
            "live",
            |s| s["registry_name"] = json!("inverse_kinematics_rl_step"),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "removed",
            |s| s["registry_name"] = json!("groot_pack_inputs_v3"),
            Rejection::ProcessorUnknown,
            "",
        ),
        (
            "state of a plain step",
            |s| s["state_file"] = json!(ACT_STATE),
            Rejection::ProcessorStateUnsafe,
            "/state_file",
        ),
        (
            "artifacts of a plain step",
            |s| s["artifacts"] = json!({"tokenizer_name": "tokenizer"}),
            Rejection::ProcessorStateUnsafe,
            "/artifacts",
        ),
    ];
    for (name, spoil, expected, inner) in cases {
        println!("{name}");
        let mut files = Files::act();
        spoil(&mut files.steps(PRE)[1]);
        files.refused(*expected, &format!("{PRE}#/steps/1{inner}"));
    }
}

#[test]
fn a_step_of_the_development_version_passes() {
    let mut files = Files::act();
    files.steps(PRE)[1]["registry_name"] = json!("vla_jepa_image_prep");
    files.passes();
}

#[test]
fn a_pipeline_has_steps_and_a_name() {
    let root = format!("{PRE}#");
    for pipeline in [
        json!({}),
        json!({"steps": {}}),
        json!({"steps": [], "extra": 1}),
        json!({"steps": [], "name": 1}),
        json!({"steps": vec![json!({"registry_name": "to_batch_processor"}); 65]}),
    ] {
        let mut files = Files::act();
        files.states.remove(ACT_STATE);
        files.json.insert(PRE.into(), pipeline);
        files.refused(Rejection::ProcessorUnknown, &root);
    }
}

#[test]
fn state_lies_beside_the_pipeline() {
    let subject = format!("{PRE}#/steps/3/state_file");
    for name in [
        "/etc/shadow",
        "../state.safetensors",
        "./policy_postprocessor_step_0_unnormalizer_processor.safetensors",
        "missing_processor_step_0.safetensors",
        "model.safetensors",
        "below/a_processor_step_0.safetensors",
        "",
    ] {
        let mut files = Files::act();
        let state = files.states.remove(ACT_STATE).unwrap();
        files
            .states
            .insert("below/a_processor_step_0.safetensors".into(), state);
        files.steps(PRE)[3]["state_file"] = json!(name);
        let Err(Error::Rejected(found)) = files.survey() else {
            panic!("{name} passes");
        };
        assert_eq!(found.first().rejection, Rejection::ProcessorStateUnsafe);
        assert_eq!(*found.first().subject, subject, "{name}");
    }
}

#[test]
fn state_that_no_step_loads_is_refused() {
    let mut files = Files::act();
    let state = files.states[POST_STATE].clone();
    files
        .states
        .insert("x_processor_step_0.safetensors".into(), state);
    files.refused(
        Rejection::ProcessorStateUnsafe,
        "x_processor_step_0.safetensors",
    );
}

#[test]
fn statistics_stand_in_the_state_file_alone() {
    for stats in [
        json!({}),
        json!(null),
        json!({"action": {"mean": [0], "std": [9]}}),
    ] {
        let mut files = Files::act();
        files.unnormalize()["stats"] = stats;
        files.refused(
            Rejection::ProcessorStateUnsafe,
            &format!("{POST}#/steps/0/config/stats"),
        );
    }
}

#[test]
fn renaming_keeps_observations_apart() {
    for map in [
        json!([]),
        json!({"a": "c", "b": "c"}),
        json!({"a": ""}),
        json!({"a": 1}),
        json!({"a": "\u{1b}"}),
    ] {
        let mut files = Files::act();
        files.steps(PRE)[0]["config"]["rename_map"] = map;
        files.refused(
            Rejection::ProcessorUnknown,
            &format!("{PRE}#/steps/0/config/rename_map"),
        );
    }
}

#[test]
fn a_tokenizer_may_lie_among_the_files() {
    let mut files = Files::pi0();
    files.externals.clear();
    let step = &mut files.steps(PRE)[1];
    step["config"]
        .as_object_mut()
        .unwrap()
        .remove("tokenizer_name");
    step["artifacts"] = json!({"tokenizer_name": "tokenizer"});
    let place = format!("{PRE}#/steps/1/artifacts");
    files.refused(Rejection::ProcessorStateUnsafe, &place);
    files
        .json
        .insert("tokenizer/tokenizer.json".into(), json!({}));
    files.passes();
    // Whatever else stands in its place is not what is loaded.
    files.steps(PRE)[1]["config"]["tokenizer_name"] = json!("gpt2");
    files.passes();
    files.steps(PRE)[1]["config"]["tokenizer_name"] = json!(null);
    for artifacts in [
        json!({"task_key": "tokenizer"}),
        json!({"action_tokenizer_name": "tokenizer"}),
        json!({"tokenizer_name": "../tokenizer"}),
        json!({"tokenizer_name": "/tokenizer"}),
        json!({"tokenizer_name": ""}),
        json!({"tokenizer_name": 1}),
    ] {
        files.steps(PRE)[1]["artifacts"] = artifacts;
        files.refused(Rejection::ProcessorStateUnsafe, &place);
    }
}

#[test]
fn a_million_refusals_cost_little() {
    let mut files = Files::act();
    let long = "k".repeat(1 << 20);
    let many = vec![json!({"class": "a/b"}); 200_000];
    files.config()[long] = json!(many);
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("passes");
    };
    assert_eq!(found.iter().count(), 1000);
}

#[test]
fn a_pipeline_loads_state_from_its_own_directory() {
    let mut files = Files::act();
    for (pipeline, _) in PIPELINES {
        let json = files.json[pipeline].clone();
        files.json.insert(format!("below/{pipeline}"), json);
    }
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("the state of another directory was taken");
    };
    let first = found.first();
    assert_eq!(first.rejection, Rejection::ProcessorStateUnsafe);
    assert_eq!(*first.subject, format!("below/{POST}#/steps/0/state_file"));
    for (_, state) in PIPELINES {
        let tensors = files.states[state].clone();
        files.states.insert(format!("below/{state}"), tensors);
    }
    files.passes();
}

const PIPELINES: [(&str, &str); 2] = [(PRE, ACT_STATE), (POST, POST_STATE)];
