//! Fields of JSON that name code, in whatever document and however deep.

use serde_json::Value;

use super::place::{Place, walk};
use super::{Parsed, tables};
use crate::Rejection;
use crate::error::Findings;

/// Fields whose value a loader imports, calls or interprets. One shape everywhere: a string in
/// JSON that names code. Sources: transformers (`auto_map`, `chat_template` is a Jinja program,
/// `_attn_implementation_internal` is CVE-2026-4372), diffusers (`custom_pipeline`), Hydra
/// (`_target_`), Keras (`module`, `class_name`), LeRobot's pipelines (`class`).
const NAMES_CODE: &[&str] = &[
    "_attn_implementation_internal",
    "_target_",
    "auto_map",
    "chat_template",
    "class",
    "class_name",
    "custom_pipeline",
    "custom_pipelines",
    "module",
];

/// Fields of PEFT's `adapter_config.json` that name a library to import, and the beginning of
/// what they may name: LeRobot itself, and the default that every LoRA adapter has.
/// <https://github.com/huggingface/peft/blob/main/src/peft/auto.py>
const NAMES_LIBRARY: &[(&str, &str)] = &[
    ("megatron_core", "megatron.core"),
    ("parent_library", "lerobot.policies."),
];

/// Refuses every field that names code or asks for remote code.
pub(super) fn refuse_code(parsed: &Parsed<'_>, findings: &mut Findings) {
    let root = parsed.root();
    walk(
        &parsed.json,
        Place::Root(&root),
        "",
        &mut |place, key, value| {
            let refused = refusal(key, value);
            if let Some((rejection, detail)) = &refused {
                findings.reject(*rejection, place, detail);
            }
            refused.is_none()
        },
    );
}

/// Whether a field of this name and value is refused wherever it stands.
pub(super) fn is_refused(key: &str, value: &Value) -> bool {
    refusal(key, value).is_some()
}

fn refusal(key: &str, value: &Value) -> Option<(Rejection, String)> {
    // A loader compares names exactly; to refuse another case too costs nobody anything.
    let is = |name: &&str| key.eq_ignore_ascii_case(name);
    if is(&"trust_remote_code") && *value != Value::Bool(false) {
        let detail = "only `false` may stand here: it makes a loader run code from elsewhere";
        return Some((Rejection::RemoteCodeRequested, detail.to_owned()));
    }
    // Neither names anything. Vocabularies have words like `class` as keys, numbers as values.
    if value.is_null() || value.is_number() {
        return None;
    }
    let detail = if NAMES_CODE.iter().any(is) {
        "names code that a loader runs".to_owned()
    } else if ends_with_class(key) && !is_plain_class(value) {
        "a class by its full path: a loader imports it".to_owned()
    } else if let Some((_, library)) = NAMES_LIBRARY
        .iter()
        .find(|(name, start)| is(name) && !value.as_str().is_some_and(|v| v.starts_with(start)))
    {
        format!("a loader imports what stands here; only `{library}` may")
    } else {
        return None;
    };
    Some((Rejection::ConfigNamesCode, detail))
}

/// `tokenizer_class`, `processor_class` and their like.
fn ends_with_class(key: &str) -> bool {
    let start = key.len().saturating_sub("_class".len());
    key.get(start..)
        .is_some_and(|end| end.eq_ignore_ascii_case("_class"))
}

/// A name among those that the library has, never a path to another.
fn is_plain_class(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|name| !name.contains(tables::SEPARATORS))
}
