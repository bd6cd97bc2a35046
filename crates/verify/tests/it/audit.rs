//! What configurations, processors, externals, code and shards are refused for.

use serde_json::{Value, json};
use tensorgate_verify::*;

use crate::lerobot::*;
use crate::support::weights;

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
fn statistics_in_the_configuration_would_shadow_the_state() {
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
