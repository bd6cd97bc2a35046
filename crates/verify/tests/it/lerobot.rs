//! LeRobot-shaped policies for the audit: written to a directory, then judged as before signing.

use std::collections::BTreeMap;
use std::fs;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tensorgate_verify::*;

use crate::support::{directory, weights};

pub(crate) const PRE: &str = "policy_preprocessor.json";
pub(crate) const POST: &str = "policy_postprocessor.json";
pub(crate) const ACT_STATE: &str = "policy_preprocessor_step_3_normalizer_processor.safetensors";
pub(crate) const POST_STATE: &str =
    "policy_postprocessor_step_0_unnormalizer_processor.safetensors";
pub(crate) const VLM: &str = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct";

/// Tensors of a state file: name, shape, F32 values.
pub(crate) type State = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The files of a policy and what its signer declares, to be spoiled by a test.
pub(crate) struct Files {
    pub(crate) json: BTreeMap<String, Value>,
    pub(crate) states: BTreeMap<String, State>,
    pub(crate) bytes: BTreeMap<String, Vec<u8>>,
    pub(crate) externals: Vec<External>,
    pub(crate) reviewed_code: Vec<ReviewedCode>,
    pub(crate) rules: Rules,
}

impl Files {
    /// As a trained ACT policy for two arms and one camera is published.
    pub(crate) fn act() -> Self {
        let mut files = Self::of(
            json!({
                "type": "act",
                "n_obs_steps": 1,
                "input_features": {
                    "observation.state": {"type": "STATE", "shape": [3]},
                    "observation.images.top": {"type": "VISUAL", "shape": [3, 480, 640]},
                },
                "output_features": {"action": {"type": "ACTION", "shape": [3]}},
                "device": "cuda",
                "use_amp": false,
                "use_peft": false,
                "push_to_hub": true,
                "repo_id": "acme/act_two_arms",
                "private": null,
                "tags": ["robotics"],
                "license": "apache-2.0",
                "pretrained_path": null,
                "normalization_mapping": modes(),
                "vision_backbone": "resnet18",
                "pretrained_backbone_weights": null,
                "replace_final_stride_with_dilation": 0,
            }),
            "observation.images.top",
        );
        let steps = json!([
            {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
            {"registry_name": "to_batch_processor", "config": {}},
            {"registry_name": "device_processor", "config": {"device": "cuda", "float_dtype": null}},
            files.normalizer(true, ACT_STATE),
        ]);
        files.pipelines(steps, ACT_STATE);
        files
    }

    /// As a fine-tuned SmolVLA is published, with its externals declared.
    pub(crate) fn smolvla() -> Self {
        const STATE: &str = "policy_preprocessor_step_5_normalizer_processor.safetensors";
        let mut files = Self::of(
            json!({
                "type": "smolvla",
                "input_features": {
                    "observation.state": {"type": "STATE", "shape": [3]},
                    "observation.images.camera1": {"type": "VISUAL", "shape": [3, 256, 256]},
                },
                "output_features": {"action": {"type": "ACTION", "shape": [3]}},
                "repo_id": "acme/smolvla_two_arms",
                "pretrained_path": "lerobot/smolvla_base",
                "normalization_mapping": modes(),
                "vlm_model_name": VLM,
                "load_vlm_weights": true,
            }),
            "observation.images.camera1",
        );
        let steps = json!([
            {"registry_name": "rename_observations_processor",
             "config": {"rename_map": {"observation.images.top": "observation.images.camera1"}}},
            {"registry_name": "to_batch_processor", "config": {}},
            {"registry_name": "smolvla_new_line_processor", "config": {}},
            {"registry_name": "tokenizer_processor",
             "config": {"max_length": 48, "task_key": "task", "padding_side": "right",
                        "padding": "longest", "truncation": true, "tokenizer_name": VLM}},
            {"registry_name": "device_processor", "config": {"device": "cuda", "float_dtype": null}},
            files.normalizer(true, STATE),
        ]);
        files.pipelines(steps, STATE);
        files.externals = vec![
            absent("config.json#/pretrained_path", "lerobot/smolvla_base"),
            pinned("config.json#/vlm_model_name", VLM),
            pinned(
                "policy_preprocessor.json#/steps/3/config/tokenizer_name",
                VLM,
            ),
        ];
        files
    }

    /// As pi0 is published: its tokenizer is named in the pipeline alone.
    pub(crate) fn pi0() -> Self {
        let mut files = Self::act();
        files.json.insert(
            "config.json".into(),
            json!({"type": "pi0", "paligemma_variant": "gemma_2b", "output_features": {}}),
        );
        let tokenizer = json!({"registry_name": "tokenizer_processor",
            "config": {"tokenizer_name": "google/paligemma-3b-pt-224", "max_length": 48}});
        files.steps(PRE).insert(1, tokenizer);
        files.externals = vec![pinned(
            "policy_preprocessor.json#/steps/1/config/tokenizer_name",
            "google/paligemma-3b-pt-224",
        )];
        files
    }

    fn of(config: Value, camera: &str) -> Self {
        let statistics = statistics(camera);
        let mut files = Self {
            json: BTreeMap::from([("config.json".into(), config)]),
            states: BTreeMap::new(),
            bytes: BTreeMap::new(),
            externals: Vec::new(),
            reviewed_code: Vec::new(),
            rules: Rules::default(),
        };
        files.states.insert(POST_STATE.into(), statistics);
        let train = json!({"dataset": {"repo_id": "acme/two_arms"}, "seed": 1000});
        files.json.insert("train_config.json".into(), train);
        let weights = weights(&[("model.action_head.bias", 3)]);
        files.bytes.insert("model.safetensors".into(), weights);
        files.bytes.insert("README.md".into(), b"# Two arms".into());
        files
    }

    fn pipelines(&mut self, steps: Value, state: &str) {
        let statistics = self.states[POST_STATE].clone();
        self.states.insert(state.into(), statistics);
        let back = json!([
            self.normalizer(false, POST_STATE),
            {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": null}},
        ]);
        for (file, name, steps) in [
            (PRE, "policy_preprocessor", steps),
            (POST, "policy_postprocessor", back),
        ] {
            let pipeline = json!({"name": name, "steps": steps});
            self.json.insert(file.into(), pipeline);
        }
    }

    fn normalizer(&self, forward: bool, state: &str) -> Value {
        let config = &self.json["config.json"];
        let mut features = config["output_features"].as_object().unwrap().clone();
        let name = if forward {
            features.extend(config["input_features"].as_object().unwrap().clone());
            "normalizer_processor"
        } else {
            "unnormalizer_processor"
        };
        json!({"registry_name": name, "state_file": state,
               "config": {"eps": 1e-8, "features": features, "norm_map": modes()}})
    }

    pub(crate) fn config(&mut self) -> &mut Value {
        self.json.get_mut("config.json").unwrap()
    }

    pub(crate) fn steps(&mut self, pipeline: &str) -> &mut Vec<Value> {
        let pipeline = self.json.get_mut(pipeline).unwrap();
        pipeline["steps"].as_array_mut().unwrap()
    }

    /// The configuration of the step that normalises.
    pub(crate) fn normalize(&mut self) -> &mut Value {
        &mut self.steps(PRE).last_mut().unwrap()["config"]
    }

    /// The configuration of the step that scales back.
    pub(crate) fn unnormalize(&mut self) -> &mut Value {
        &mut self.steps(POST)[0]["config"]
    }

    /// The same values in both state files.
    pub(crate) fn set(&mut self, name: &str, values: &[f32]) {
        for state in self.states.values_mut() {
            state.get_mut(name).unwrap().1 = values.into();
        }
    }

    pub(crate) fn write(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for (name, json) in &self.json {
            write(name, &serde_json::to_vec(json).unwrap());
        }
        for (name, state) in &self.states {
            write(name, &state_bytes(state));
        }
        for (name, bytes) in &self.bytes {
            write(name, bytes);
        }
        folder
    }

    pub(crate) fn survey(&self) -> Result<Surveyed> {
        self.survey_of(RepoType::Model)
    }

    pub(crate) fn survey_of(&self, repo_type: RepoType) -> Result<Surveyed> {
        Survey::new(&self.rules)
            .of(repo_type)
            .with_externals(&self.externals)
            .with_reviewed_code(&self.reviewed_code)
            .run(&directory(self.write().path()))
    }

    /// It is refused, for this alone, and about this.
    pub(crate) fn refused(&self, expected: Rejection, subject: &str) {
        let Err(Error::Rejected(found)) = self.survey() else {
            panic!("{expected} {subject}: not refused");
        };
        // The scan of all tensors has its own word for NaN, whatever the tensor is for.
        let mut found = found
            .iter()
            .filter(|found| found.rejection != Rejection::WeightsNonFinite)
            .peekable();
        let is_named = found.peek().is_some();
        let all: Vec<_> = found.collect();
        assert!(is_named, "{expected} {subject}: not refused");
        for found in &all {
            assert_eq!(found.rejection, expected, "{found}");
        }
        let subjects: Vec<&str> = all.iter().map(|found| &*found.subject).collect();
        assert!(subjects.contains(&subject), "{subject} not in {subjects:?}");
    }

    /// It passes, and nothing about it deserves a word.
    pub(crate) fn passes(&self) {
        match self.survey() {
            Ok(surveyed) => assert_eq!(surveyed.notices, []),
            Err(Error::Rejected(found)) => {
                panic!(
                    "{:#?}",
                    found.iter().map(ToString::to_string).collect::<Vec<_>>()
                )
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// It passes, with a word about this.
    pub(crate) fn noticed(&self, subject: &str) {
        let notices = self.survey().unwrap().notices;
        assert!(!notices.is_empty(), "{subject}: no notice");
        for notice in notices {
            assert_eq!(notice.rejection, Rejection::NormalizerDegenerate);
            assert!(notice.subject.contains(subject), "{notice}");
        }
    }
}

pub(crate) fn absent(field: &str, name: &str) -> External {
    let external = json!({"field": field, "name": name, "decision": "absent",
                          "reason": "the policy's own weights replace it"});
    serde_json::from_value(external).unwrap()
}

pub(crate) fn pinned(field: &str, name: &str) -> External {
    let external = json!({"field": field, "name": name, "decision": "pinned",
        "repo": "acme/mirror", "revision": crate::support::REVISION,
        "files": [{"path": "tokenizer.json", "size": 3, "sha256": "ab".repeat(32)}]});
    serde_json::from_value(external).unwrap()
}

pub(crate) fn reviewed(path: &str, code: &[u8]) -> ReviewedCode {
    let review = json!({"path": path, "sha256": Sha256::of(code), "reviewer": "R. Viewer",
                        "note": "reads and returns"});
    serde_json::from_value(review).unwrap()
}

pub(crate) fn state_bytes(state: &State) -> Vec<u8> {
    let bytes: BTreeMap<&String, Vec<u8>> = state
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = state.iter().map(|(name, (shape, _))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), &bytes[name]);
        (name, view.unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn modes() -> Value {
    json!({"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MIN_MAX"})
}

/// As LeRobot computes them of a data set, index columns included.
fn statistics(camera: &str) -> State {
    let mut state = State::new();
    let mut column = |name: &str, shape: &[usize]| {
        let len = shape.iter().product::<usize>();
        for (statistic, value) in [
            ("mean", 0.5),
            ("std", 0.25),
            ("min", -1.0),
            ("max", 2.0),
            ("q01", -0.9),
            ("q10", -0.5),
            ("q50", 0.5),
            ("q90", 1.5),
            ("q99", 1.9),
        ] {
            let values = vec![value; len];
            state.insert(format!("{name}.{statistic}"), (shape.into(), values));
        }
        state.insert(format!("{name}.count"), (vec![1], vec![5000.0]));
    };
    column("action", &[3]);
    column("observation.state", &[3]);
    column(camera, &[3, 1, 1]);
    column("episode_index", &[1]);
    column("timestamp", &[1]);
    state
}
