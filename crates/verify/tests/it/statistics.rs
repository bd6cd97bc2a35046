//! The numbers that scale what the motors get.

use serde_json::{Value, json};
use tensorgate_verify::*;

use crate::lerobot::*;

const DEGENERATE: Rejection = Rejection::NormalizerDegenerate;

#[test]
fn numbers_that_no_data_set_has_are_refused() {
    for (name, values) in [
        ("action.min", [f32::NAN, 0.0, 0.0]),
        ("action.max", [1.0, f32::INFINITY, 1.0]),
        ("action.q50", [f32::NEG_INFINITY, 0.0, 0.0]),
        ("observation.state.std", [0.1, -0.1, 0.1]),
        ("action.min", [2.5, 0.0, 0.0]),
        ("action.q01", [0.0, 1.95, 0.0]),
        ("action.q10", [0.0, 0.0, 1.6]),
    ] {
        let mut files = Files::act();
        files.set(name, &values);
        files.refused(DEGENERATE, &format!("{ACT_STATE}#{name}"));
        if name.starts_with("action.") {
            files.refused(DEGENERATE, &format!("{POST_STATE}#{name}"));
        }
    }
}

#[test]
fn constant_dimensions_are_for_the_trust_policy_to_decide() {
    for (name, values) in [
        ("observation.state.std", [0.0, 0.1, 0.0]),
        ("action.min", [0.0, 2.0, 0.0]),
    ] {
        let mut files = Files::act();
        files.set(name, &values);
        // The step after the network scales actions only.
        files.noticed(name);
        files.rules.content.constant_statistics = Severity::Deny;
        files.refused(DEGENERATE, &format!("{ACT_STATE}#{name}"));
    }
}

#[test]
fn the_dimensions_are_named() {
    let mut files = Files::act();
    files.set("observation.state.std", &[0.0, 0.1, 0.0]);
    let notices = files.survey().unwrap().notices;
    assert!(notices.iter().any(|notice| {
        *notice.subject == *format!("{ACT_STATE}#observation.state.std")
            && &*notice.detail == "std = 0, or as good as, in dimension 0, 2"
    }));
}

#[test]
fn index_columns_are_only_noticed() {
    let mut files = Files::act();
    files.rules.content.constant_statistics = Severity::Deny;
    files.set("episode_index.std", &[0.0]);
    files.set("episode_index.max", &[-1.0]);
    files.noticed("episode_index.");
}

#[test]
fn a_used_statistic_is_there_and_in_shape() {
    let feature = format!("{PRE}#/steps/3/config/features/action");
    for missing in ["action.min", "action.max"] {
        let mut files = Files::act();
        files.states.get_mut(ACT_STATE).unwrap().remove(missing);
        files.refused(DEGENERATE, &feature);
    }
    for (name, shape) in [
        ("action.mean", vec![1]),
        ("observation.state.std", vec![1, 3]),
        ("observation.images.top.mean", vec![1, 1, 1]),
    ] {
        let mut files = Files::act();
        for state in files.states.values_mut() {
            let len = shape.iter().product();
            state.insert(name.into(), (shape.clone(), vec![0.5; len]));
        }
        files.refused(DEGENERATE, &format!("{ACT_STATE}#{name}"));
    }
    let mut files = Files::act();
    for state in files.states.values_mut() {
        for (name, (shape, _)) in state {
            if name.contains("images") && !name.ends_with("count") {
                *shape = vec![3];
            }
        }
    }
    files.passes();
}

#[test]
fn a_step_without_its_state_scales_nothing() {
    let mut files = Files::act();
    files.states.remove(ACT_STATE);
    let step = files.steps(PRE)[3].as_object_mut().unwrap();
    step.remove("state_file");
    files.refused(
        DEGENERATE,
        &format!("{PRE}#/steps/3/config/features/observation.state"),
    );
    let identity = json!({"VISUAL": "IDENTITY", "STATE": "IDENTITY", "ACTION": "IDENTITY"});
    files.config()["normalization_mapping"] = identity.clone();
    files.normalize()["norm_map"] = identity;
    files.unnormalize()["norm_map"] = json!({"ACTION": "IDENTITY"});
    files.passes();
}

#[test]
fn names_and_types_of_statistics_are_known() {
    for name in ["mean", "action.median", "action.mask", "action."] {
        let mut files = Files::act();
        for state in files.states.values_mut() {
            state.insert(name.into(), (vec![3], vec![0.5; 3]));
        }
        files.refused(DEGENERATE, &format!("{ACT_STATE}#{name}"));
    }
}

#[test]
fn wide_numbers_are_judged_as_the_loader_narrows_them() {
    use safetensors::{Dtype, tensor::TensorView};
    let policy = |max: f64| {
        let mut files = Files::act();
        files.json.remove(POST);
        files.states.clear();
        let features = json!({"observation.state": {"type": "STATE", "shape": [1]}});
        files.config()["input_features"] = features.clone();
        *files.normalize() = json!({"features": features, "norm_map": {"STATE": "MIN_MAX"}});
        let (min, max) = (0.0_f64.to_le_bytes(), max.to_le_bytes());
        let view = |bytes| TensorView::new(Dtype::F64, vec![1], bytes).unwrap();
        let count = 7_i64.to_le_bytes();
        let count = TensorView::new(Dtype::I64, vec![1], &count).unwrap();
        let bytes = safetensors::serialize(
            [
                ("observation.state.min", view(&min)),
                ("observation.state.max", view(&max)),
                ("observation.state.count", count),
            ],
            None,
        );
        files.bytes.insert(ACT_STATE.into(), bytes.unwrap());
        files
    };
    policy(1.0).passes();
    policy(1e300).refused(DEGENERATE, &format!("{ACT_STATE}#observation.state.max"));
    policy(1e-300).noticed("observation.state.min");
}

#[test]
fn numbers_of_another_type_are_no_statistics() {
    use safetensors::{Dtype, tensor::TensorView};
    let mut files = Files::act();
    let halves = [0_u8; 6];
    let halves = TensorView::new(Dtype::F16, vec![3], &halves).unwrap();
    let bytes = safetensors::serialize([("action.q50", halves)], None).unwrap();
    files.states.remove(ACT_STATE);
    files.bytes.insert(ACT_STATE.into(), bytes);
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("halves passed");
    };
    let subject = format!("{ACT_STATE}#action.q50");
    let found = found.iter().find(|found| *found.subject == subject);
    let detail = &found.unwrap().detail;
    assert!(detail.contains("of 32 or 64 bit numbers"), "{detail}");
}

#[test]
fn what_a_normaliser_declares_has_the_documented_form() {
    type Spoil = fn(&mut Value);
    let cases: &[(&str, Spoil)] = &[
        ("/eps", |c| c["eps"] = json!(0)),
        ("/eps", |c| c["eps"] = json!(-1e-8)),
        ("/eps", |c| c["eps"] = json!(0.1)),
        ("/eps", |c| c["eps"] = json!("1e-8")),
        ("/dtype", |c| c["dtype"] = json!("float16")),
        ("/features", |c| c["features"] = json!([])),
        ("/features/action", |c| {
            c["features"]["action"]["type"] = json!("MOTOR")
        }),
        ("/features/action", |c| {
            c["features"]["action"]["shape"] = json!([-1])
        }),
        ("/norm_map", |c| c["norm_map"] = json!(null)),
        ("/norm_map", |c| c["norm_map"]["ACTION"] = json!("LOG")),
        ("/norm_map", |c| c["norm_map"]["MOTOR"] = json!("IDENTITY")),
        ("/features/action", |c| {
            drop(c["norm_map"].as_object_mut().unwrap().remove("ACTION"));
        }),
    ];
    for (inner, spoil) in cases {
        let mut files = Files::act();
        spoil(files.unnormalize());
        files.refused(DEGENERATE, &format!("{POST}#/steps/0/config{inner}"));
    }
    // The pipelines' comparison refuses it as well; the step says what is wrong with it.
    let mut files = Files::act();
    files.unnormalize()["features"]["action"]["type"] = json!("MOTOR");
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("an unknown type passed");
    };
    let mut details = found.iter().map(|found| &found.detail);
    assert!(details.any(|detail| detail.contains("no known `type`")));
    let mut files = Files::act();
    files.normalize()["features"] = (0..300)
        .map(|n| (n.to_string(), json!({"type": "ENV", "shape": [1]})))
        .collect();
    files.normalize()["norm_map"]["ENV"] = json!("IDENTITY");
    files.refused(DEGENERATE, &format!("{PRE}#/steps/3/config/features"));
}

#[test]
fn observations_that_are_left_alone_need_no_statistics() {
    let mut files = Files::act();
    let state = files.states.get_mut(ACT_STATE).unwrap();
    state.retain(|name, _| !name.contains("images"));
    files.refused(
        DEGENERATE,
        &format!("{PRE}#/steps/3/config/features/observation.images.top"),
    );
    files.normalize()["normalize_observation_keys"] = json!(["observation.state"]);
    files.passes();
}

#[test]
fn both_pipelines_have_the_statistics_of_one_data_set() {
    let mut files = Files::act();
    let state = files.states.get_mut(ACT_STATE).unwrap();
    state.get_mut("observation.state.mean").unwrap().1[1] = 0.500_001;
    let name = format!("{ACT_STATE}#observation.state.mean");
    files.refused(DEGENERATE, &name);
}

#[test]
fn actions_are_scaled_back_as_they_were_scaled() {
    let back = format!("{POST}#/steps/0/config/features/action");
    let forth = format!("{PRE}#/steps/3/config/features/action");
    // Not declared at all.
    let mut files = Files::act();
    files.unnormalize()["features"] = json!({});
    files.refused(DEGENERATE, &back);
    // In another way.
    let mut files = Files::act();
    files.unnormalize()["norm_map"]["ACTION"] = json!("MEAN_STD");
    files.refused(DEGENERATE, &forth);
    // By no step.
    let mut files = Files::act();
    files.steps(POST).remove(0);
    files.states.remove(POST_STATE);
    files.refused(
        DEGENERATE,
        &format!("{PRE}#/steps/3/config/features/action"),
    );
    // Fewer of them than the configuration has.
    let mut files = Files::act();
    files.config()["output_features"]["action"]["shape"] = json!([4]);
    files.refused(DEGENERATE, &back);
}

#[test]
fn old_checkpoints_are_to_be_migrated() {
    for name in [
        "normalize_inputs.buffer_observation_state.mean",
        "normalize_targets.buffer_action.mean",
        "unnormalize_outputs.buffer_action.mean",
    ] {
        let mut files = Files::act();
        let weights = crate::support::weights(&[("a", 3), (name, 3)]);
        files.bytes.insert("model.safetensors".into(), weights);
        files.refused(DEGENERATE, &format!("model.safetensors#{name}"));
        let error = files.survey().unwrap_err().to_string();
        assert!(error.contains("migrate_policy_normalization.py"), "{error}");
    }
}

#[test]
fn masked_and_other_state_is_judged_too() {
    let mut files = Files::act();
    for (pipeline, index, name) in [
        (PRE, 3, "molmoact2_masked_normalizer"),
        (POST, 0, "molmoact2_masked_unnormalizer"),
    ] {
        files.steps(pipeline)[index]["registry_name"] = json!(name);
    }
    for state in files.states.values_mut() {
        state.insert("action.mask".into(), (vec![3], vec![1.0, 1.0, 0.0]));
    }
    files.passes();
    files.set("action.mask", &[1.0, 0.5, 0.0]);
    files.refused(DEGENERATE, &format!("{ACT_STATE}#action.mask"));

    let mut files = Files::act();
    files.steps(POST)[0] = json!({"registry_name": "groot_action_unpack_unnormalize_v2",
        "config": {"env_action_dim": 3}, "state_file": POST_STATE});
    files.json.remove(PRE);
    files.states.remove(ACT_STATE);
    files.passes();
    files.set("timestamp.min", &[3.0]);
    files.refused(DEGENERATE, &format!("{POST_STATE}#timestamp.min"));
    files.steps(POST)[0]["config"]["stats"] = json!({});
    files.set("timestamp.min", &[-1.0]);
    files.refused(
        Rejection::ProcessorStateUnsafe,
        &format!("{POST}#/steps/0/config/stats"),
    );
}

#[test]
fn a_configuration_speaks_for_its_own_directory() {
    let mut files = Files::act();
    let other = json!({"type": "mlp",
        "output_features": {"action": {"type": "ACTION", "shape": [7]}}});
    files.json.insert("other/config.json".into(), other);
    files.passes();
}

#[test]
fn every_mode_is_known_by_its_name() {
    for mode in ["MEAN_STD", "MIN_MAX", "QUANTILES", "QUANTILE10"] {
        let mut files = Files::act();
        for features in ["STATE", "ACTION"] {
            files.config()["normalization_mapping"][features] = json!(mode);
            files.normalize()["norm_map"][features] = json!(mode);
            files.unnormalize()["norm_map"][features] = json!(mode);
        }
        files.passes();
    }
}

#[test]
fn a_feature_has_few_dimensions() {
    let with = |rank: usize| {
        let mut files = Files::act();
        let shape = json!(vec![1; rank]);
        files.config()["input_features"]["observation.env"] =
            json!({"type": "ENV", "shape": shape});
        files
    };
    let subject = |rank| match with(rank).survey() {
        Err(Error::Rejected(found)) => found.first().subject.clone(),
        other => panic!("{other:?}"),
    };
    // Read and missed among the pipeline's features; or not even read.
    assert!(subject(8).starts_with("policy_preprocessor.json#"));
    assert!(subject(9).starts_with("config.json#/input_features/observation.env"));
}

#[test]
fn statistics_of_actions_are_of_a_declared_feature() {
    let mut files = Files::act();
    for settings in [Files::normalize, Files::unnormalize] {
        let features = settings(&mut files)["features"].as_object_mut();
        features.unwrap().remove("action");
    }
    let Err(Error::Rejected(found)) = files.survey() else {
        panic!("actions of nobody passed");
    };
    let mut details = found.iter().map(|found| &found.detail);
    assert!(details.any(|detail| detail.ends_with("and is not declared")));
}
