//! What loading would fetch is declared, and what runs code is never fetched unreviewed.

use serde_json::{Value, json};
use tensorgate_verify::*;

use crate::lerobot::*;
use crate::support::weights;

#[test]
fn every_external_is_declared() {
    let all = Files::smolvla().externals;
    for missing in 0..all.len() {
        let mut files = Files::smolvla();
        let field = files.externals.remove(missing).field;
        files.refused(Rejection::ExternalUnpinned, &field);
    }
    let mut files = Files::smolvla();
    files.config()["vlm_model_name"] = json!("acme/other");
    files.refused(Rejection::ExternalUnpinned, "config.json#/vlm_model_name");
}

#[test]
fn an_absent_field_loads_its_default() {
    let name = "ResNet18_Weights.IMAGENET1K_V1";
    let field = "config.json#/pretrained_backbone_weights";
    for policy_type in ["act", "diffusion", "vqbet"] {
        let mut files = Files::act();
        files.config()["type"] = json!(policy_type);
        let config = files.config().as_object_mut().unwrap();
        config.remove("pretrained_backbone_weights");
        files.refused(Rejection::ExternalUnpinned, field);
        files.externals = vec![absent(field, name)];
        files.passes();
    }
    let mut files = Files::act();
    files.json.insert(
        "config.json".into(),
        json!({"type": "lingbot_va", "wan_pretrained_path": null}),
    );
    files.passes();
}

#[test]
fn the_message_says_what_to_do() {
    let mut files = Files::act();
    let config = files.config().as_object_mut().unwrap();
    config.remove("pretrained_backbone_weights");
    let error = files.survey().unwrap_err().to_string();
    assert_eq!(
        error,
        "rejected: external-unpinned: \"config.json#/pretrained_backbone_weights\": loading would \
         fetch \"ResNet18_Weights.IMAGENET1K_V1\"; declare it as pinned or absent"
    );
}

#[test]
fn what_has_the_form_of_a_place_is_external_in_any_field() {
    for text in [
        "acme/evil",
        "/opt/weights",
        "..\\weights",
        "https://acme.example/a",
        "hf://acme/evil",
        "file:///etc/passwd",
    ] {
        let mut files = Files::act();
        files.config()["other"] = json!([{"a": text}]);
        files.refused(Rejection::ExternalUnpinned, "config.json#/other/0/a");
        let mut files = Files::act();
        files.steps(PRE)[2]["config"]["device"] = json!(text);
        let place = format!("{PRE}#/steps/2/config/device");
        files.refused(Rejection::ExternalUnpinned, &place);
    }
}

#[test]
fn an_unknown_type_says_for_each_name_what_it_is() {
    let config = |field: &str, value: Value| {
        let mut files = Files::act();
        files
            .json
            .insert("config.json".into(), json!({"type": "mlp", field: value}));
        files
    };
    config("activation", json!("elu")).passes();
    config("repo_id", json!("acme/walk")).passes();
    config("tokenizer_name", json!(null)).passes();
    for field in [
        "tokenizer_name",
        "vision_backbone",
        "base_model_id",
        "Encoder",
        "vlm",
    ] {
        let files = config(field, json!("gpt2"));
        files.refused(
            Rejection::ExternalUnpinned,
            &format!("config.json#/{field}"),
        );
    }
    // A name that nobody searches stands for the worst.
    let found = config(&"k".repeat(300), json!("gpt2")).survey();
    assert_eq!(
        found.unwrap_err().rejection(),
        Some(Rejection::ExternalUnpinned)
    );
    config(&"k".repeat(200), json!("gpt2")).passes();
    let mut files = config("backbones", json!({"left": ["gpt2"]}));
    files.passes();
    files
        .json
        .insert("config.json".into(), json!({"backbones": ["gpt2"]}));
    files.refused(Rejection::ExternalUnpinned, "config.json#/backbones/0");
    files.externals = vec![absent("config.json#/backbones/0", "gpt2")];
    files.passes();
}

#[test]
fn a_step_names_nothing_but_what_its_table_says() {
    let mut files = Files::smolvla();
    files.steps(PRE)[3]["config"]["cache"] = json!("acme/cache");
    let field = format!("{PRE}#/steps/3/config/cache");
    files.refused(Rejection::ExternalUnpinned, &field);
    files.externals.push(pinned(&field, "acme/cache"));
    files.passes();
    // A name without a slash is one as well, where the table says so.
    let field = format!("{PRE}#/steps/3/config/tokenizer_name");
    files.steps(PRE)[3]["config"]["tokenizer_name"] = json!("gpt2");
    files.refused(Rejection::ExternalUnpinned, &field);
}

#[test]
fn an_adapter_names_its_base() {
    let mut files = Files::act();
    files.config()["use_peft"] = json!(true);
    files.refused(Rejection::ExternalUnpinned, "config.json#/use_peft");
    files.bytes.remove("model.safetensors");
    let adapter = weights(&[("lora_A.weight", 4)]);
    files
        .bytes
        .insert("adapter_model.safetensors".into(), adapter);
    files.json.insert(
        "adapter_config.json".into(),
        json!({"base_model_name_or_path": "lerobot/act_base", "megatron_core": "megatron.core",
               "auto_mapping": {"base_model_class": "ACTPolicy",
                                "parent_library": "lerobot.policies.act.modeling_act"}}),
    );
    let field = "adapter_config.json#/base_model_name_or_path";
    files.refused(Rejection::ExternalUnpinned, field);
    files.externals = vec![pinned(field, "lerobot/act_base")];
    files.passes();
}

#[test]
fn code_that_comes_with_an_artifact_is_never_run_unreviewed() {
    let mut files = Files::act();
    let config = json!({"type": "gaussian_actor", "vision_encoder_name": "acme/encoder"});
    files.json.insert("config.json".into(), config);
    let field = "config.json#/vision_encoder_name";
    files.externals = vec![pinned(field, "acme/encoder")];
    files.refused(Rejection::RemoteCodeRequested, field);
    let code = b"def encode(): ...";
    files.bytes.insert("encoder.py".into(), code.into());
    files.reviewed_code = vec![reviewed("encoder.py", code)];
    files.rules.content.reviewed_code = Code::Allow;
    files.passes();
    files.externals.clear();
    files.refused(Rejection::ExternalUnpinned, field);
}

#[test]
fn steps_that_run_code_are_never_run_unreviewed() {
    let mut files = Files::act();
    files.steps(PRE)[1] =
        json!({"registry_name": "reward_classifier_processor", "config": {"device": "cpu"}});
    let place = format!("{PRE}#/steps/1");
    files.refused(Rejection::RemoteCodeRequested, &place);
    // That code would be let through is not enough: somebody must have looked at some.
    files.rules.content.reviewed_code = Code::Allow;
    files.refused(Rejection::RemoteCodeRequested, &place);
    let code = b"def classify(): ...";
    files.bytes.insert("classify.py".into(), code.into());
    files.reviewed_code = vec![reviewed("classify.py", code)];
    files.rules.content.reviewed_code = Code::Allow;
    files.passes();
    files.steps(PRE)[1]["config"]["pretrained_path"] = json!("acme/reward");
    files.refused(
        Rejection::ExternalUnpinned,
        &format!("{place}/config/pretrained_path"),
    );
}

#[test]
fn the_types_that_name_artifacts_by_themselves() {
    let mut files = Files::act();
    files.json.insert(
        "config.json".into(),
        json!({"type": "groot", "base_model_path": null}),
    );
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("passes");
    };
    let unpinned: Vec<&str> = found
        .iter()
        .filter(|found| found.rejection == Rejection::ExternalUnpinned)
        .map(|found| &*found.subject)
        .collect();
    assert_eq!(
        unpinned,
        ["config.json#/base_model_path", "config.json#/type"]
    );
}
