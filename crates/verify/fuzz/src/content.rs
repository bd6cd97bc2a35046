//! A good policy in a directory, and any files in their place.

use std::cell::RefCell;
use std::fs::{self, File};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use tensorgate_verify::{Directory, Result, Rules, Survey, Surveyed};

const STATE: &str = "policy_preprocessor_step_3_normalizer_processor.safetensors";
const CONFIG: &str = r#"{"type": "act", "use_peft": false, "pretrained_backbone_weights": null}"#;
const BACK: &str = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";

/// Names in the order of the byte that chooses them, and what lies there otherwise, if anything.
pub(crate) fn files() -> [(&'static str, Option<Vec<u8>>); 11] {
    [
        ("config.json", Some(CONFIG.into())),
        (
            "policy_preprocessor.json",
            Some(pipeline("normalizer_processor", STATE)),
        ),
        ("model.safetensors", Some(tensors(&["w"]))),
        (STATE, Some(tensors(&["action.mean", "action.std"]))),
        ("model.safetensors.index.json", None),
        ("adapter_config.json", None),
        ("tokenizer_config.json", None),
        ("README.md", None),
        ("modeling.py", None),
        (
            "policy_postprocessor.json",
            Some(pipeline("unnormalizer_processor", BACK)),
        ),
        (BACK, Some(tensors(&["action.mean", "action.std"]))),
    ]
}

/// A pipeline of one step, which scales the action.
fn pipeline(step: &str, state: &str) -> Vec<u8> {
    let config = r#"{"eps": 1e-08, "features": {"action": {"type": "ACTION", "shape": [2]}}, "norm_map": {"ACTION": "MEAN_STD"}}"#;
    let step =
        format!(r#"{{"registry_name": "{step}", "config": {config}, "state_file": "{state}"}}"#);
    format!(r#"{{"name": "pipeline", "steps": [{step}]}}"#).into()
}

fn tensors(names: &[&str]) -> Vec<u8> {
    let data: Vec<u8> = [0.5_f32, 1.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let view = || TensorView::new(Dtype::F32, vec![2], &data).unwrap();
    safetensors::serialize(names.iter().map(|name| (*name, view())), None).unwrap()
}

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(good_policy());
}

pub(crate) fn good_policy() -> TempDir {
    // In memory: the disk would be most of the time.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    for (name, content) in files() {
        put(&folder, name, content.as_deref());
    }
    survey(&folder).expect("the good policy is good");
    folder
}

fn put(folder: &TempDir, name: &str, content: Option<&[u8]>) {
    let path = folder.path().join(name);
    match content {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => drop(fs::remove_file(path)),
    }
}

pub(crate) fn survey(folder: &TempDir) -> Result<Surveyed> {
    let directory = Directory::new(File::open(folder.path()).unwrap().into());
    Survey::new(&Rules::default()).run(&directory)
}

/// Judges the good policy with pieces of the input in place of its files: between FF, and the
/// first byte says which file.
pub fn survey_with(input: &[u8]) {
    let files = files();
    let pieces = input.split(|byte| *byte == 0xff);
    let pieces: Vec<(usize, &[u8])> = pieces
        .filter_map(|piece| Some((usize::from(*piece.first()?), &piece[1..])))
        .filter(|(index, _)| *index < files.len())
        .collect();
    FOLDER.with_borrow(|folder| {
        for (index, bytes) in &pieces {
            put(folder, files[*index].0, Some(bytes));
        }
        let _ = survey(folder);
        for (index, _) in &pieces {
            let (name, content) = &files[*index];
            put(folder, name, content.as_deref());
        }
    });
}
