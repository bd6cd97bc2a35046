//! Processor pipelines: known steps only, with their state among the signed files.
//!
//! The form is that of LeRobot's `DataProcessorPipeline` (0.6.1): `name`, and `steps` of
//! `registry_name`, `config`, `state_file`, `artifacts`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::place::Quoted;
use super::tables::{Category, Steps};
use super::{Audit, Document, Parsed, config, directory, normalizer};
use crate::error::Findings;
use crate::{Kind, Rejection};

/// One step that is known, of a pipeline.
pub(super) struct Step<'a> {
    /// The file, `#`, and the pointer to the step.
    pub(super) place: String,
    pub(super) pipeline: &'a Document<'a>,
    pub(super) name: &'a str,
    pub(super) category: Category,
    fields: &'a Map<String, Value>,
    /// The tensors that it carries.
    pub(super) state: Option<&'a Document<'a>>,
}

/// Steps of a pipeline at the most; the longest published has about ten.
const STEPS: usize = 64;

/// Judges every pipeline; the steps whose form is known.
pub(super) fn judge<'a>(
    parsed: &'a [Parsed<'a>],
    audit: &Audit<'a>,
    findings: &mut Findings,
) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    for pipeline in parsed {
        if pipeline.document.kind == Kind::Processor {
            steps.extend(pipeline_steps(pipeline, audit, findings));
        } else if pipeline.json.get("steps").is_some_and(Value::is_array) {
            // A loader takes a pipeline from a file of any name.
            let place = format!("{}/steps", pipeline.root());
            let detail = "a pipeline, in a file whose name is not that of one";
            findings.reject(Rejection::ProcessorUnknown, place, detail);
        }
    }
    let loaded: BTreeSet<_> = steps
        .iter()
        .filter_map(|step| Some(step.state?.path))
        .collect();
    for state in audit.of_kind(Kind::ProcessorState) {
        if !loaded.contains(state.path) {
            let detail = "no step of a pipeline loads this state";
            findings.reject(Rejection::ProcessorStateUnsafe, state.path, detail);
        }
    }
    steps
}

fn pipeline_steps<'a>(
    pipeline: &'a Parsed<'a>,
    audit: &Audit<'a>,
    findings: &mut Findings,
) -> Vec<Step<'a>> {
    let root = pipeline.root();
    let mut refuse = |detail: &dyn std::fmt::Display| {
        findings.reject(Rejection::ProcessorUnknown, &root, detail)
    };
    for (key, value) in pipeline.json.as_object().into_iter().flatten() {
        let is_known = match key.as_str() {
            "name" => value.is_string(),
            "steps" => value.is_array(),
            _ => config::is_refused(key, value),
        };
        if !is_known {
            refuse(&format!("{} is no field of a pipeline", Quoted(key)));
        }
    }
    let steps = pipeline.json.get("steps").and_then(Value::as_array);
    let Some(steps) = steps.filter(|steps| steps.len() <= STEPS) else {
        refuse(&format!("no list `steps` of up to {STEPS}"));
        return Vec::new();
    };
    let step = |(index, step)| Step::of(pipeline, index, step, audit, findings);
    steps.iter().enumerate().filter_map(step).collect()
}

impl<'a> Step<'a> {
    fn of(
        pipeline: &'a Parsed<'a>,
        index: usize,
        value: &'a Value,
        audit: &Audit<'a>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let place = format!("{}/steps/{index}", pipeline.root());
        let Some(fields) = value.as_object() else {
            findings.reject(Rejection::ProcessorUnknown, place, "a step is an object");
            return None;
        };
        refuse_fields(fields, &place, findings);
        let (name, category) = known(fields, &place, findings)?;
        let mut step = Self {
            place,
            pipeline: pipeline.document,
            name,
            category,
            fields,
            state: None,
        };
        step.refuse_category(audit, findings);
        step.state = step.find_state(audit, findings);
        step.refuse_artifacts(audit, findings);
        normalizer::refuse_settings(&step, findings);
        Some(step)
    }

    /// A field of its `config`.
    pub(super) fn setting(&self, key: &str) -> Option<&'a Value> {
        self.fields.get("config")?.get(key)
    }

    /// Its `config`.
    pub(super) fn settings(&self) -> Option<&'a Value> {
        self.fields.get("config")
    }

    /// Whether `artifacts` has the named field.
    pub(super) fn brings(&self, field: &str) -> bool {
        let artifacts = self.fields.get("artifacts");
        artifacts.is_some_and(|artifacts| artifacts.get(field).is_some())
    }

    fn refuse_category(&self, audit: &Audit<'_>, findings: &mut Findings) {
        let refused = match self.category {
            Category::Code if !audit.has_reviewed_code(findings) => (
                Rejection::RemoteCodeRequested,
                "is let pass only with reviewed code",
            ),
            Category::Live => (
                Rejection::ProcessorUnknown,
                "needs a live object of the robot, whose own code adds such a step",
            ),
            _ => return,
        };
        let detail = format!("{:?} {}", self.name, refused.1);
        findings.reject(refused.0, &self.place, detail);
    }

    /// Its state is a file beside the pipeline, never a path.
    fn find_state(&self, audit: &Audit<'a>, findings: &mut Findings) -> Option<&'a Document<'a>> {
        let value = self.fields.get("state_file")?;
        let place = format!("{}/state_file", self.place);
        let name = value.as_str().filter(|name| !name.contains('/'));
        let file = name.and_then(|name| audit.beside(self.pipeline.path, name));
        let carries = matches!(self.category, Category::Normalizer | Category::State);
        let detail = match file.filter(|file| file.kind == Kind::ProcessorState) {
            Some(file) if carries => return Some(file),
            Some(_) => format!("{:?} carries no state", self.name),
            None => {
                let text = Quoted(value.as_str().unwrap_or_default());
                format!("{text} is no processor state beside the pipeline")
            }
        };
        findings.reject(Rejection::ProcessorStateUnsafe, place, detail);
        None
    }

    /// What a tokenizer step brings is a directory below the pipeline's with listed files;
    /// `artifacts` has no other entry.
    fn refuse_artifacts(&self, audit: &Audit<'_>, findings: &mut Findings) {
        let Some(artifacts) = self.fields.get("artifacts") else {
            return;
        };
        let place = format!("{}/artifacts", self.place);
        let Some(artifacts) = artifacts.as_object() else {
            return findings.reject(Rejection::ProcessorStateUnsafe, place, "no object");
        };
        for (key, value) in artifacts {
            let named = Steps::table().artifacts(self.name).iter();
            let is_tokenizer = matches!(key.as_str(), "tokenizer_name" | "action_tokenizer_name")
                && named.into_iter().any(|artifact| artifact.field == *key);
            let is_listed = value
                .as_str()
                .is_some_and(|name| self.is_directory(name, audit));
            if !is_tokenizer || !is_listed {
                let detail = format!(
                    "{} is no tokenizer of this step in a directory of listed files",
                    Quoted(key)
                );
                findings.reject(Rejection::ProcessorStateUnsafe, &place, detail);
            }
        }
    }

    /// Whether files lie in `name`, a directory beside the pipeline.
    fn is_directory(&self, name: &str, audit: &Audit<'_>) -> bool {
        let below = format!("{}{name}/", directory(self.pipeline.path));
        // Listed paths are normal, so one that begins so neither leaves nor turns back.
        let mut documents = audit.documents.iter();
        !name.is_empty() && documents.any(|file| file.path.as_str().starts_with(&below))
    }
}

fn refuse_fields(fields: &Map<String, Value>, place: &str, findings: &mut Findings) {
    for (key, value) in fields {
        let is_known = match key.as_str() {
            "registry_name" | "state_file" => value.is_string(),
            "config" | "artifacts" => value.is_object(),
            // Already refused, by a better name.
            _ => config::is_refused(key, value),
        };
        if !is_known {
            let detail = format!("{} is no field of a step, or of another form", Quoted(key));
            findings.reject(Rejection::ProcessorUnknown, place, detail);
        }
    }
}

fn known<'a>(
    fields: &'a Map<String, Value>,
    place: &str,
    findings: &mut Findings,
) -> Option<(&'a str, Category)> {
    let name = fields.get("registry_name").and_then(Value::as_str);
    let known = name.and_then(|name| Some((name, Steps::table().category(name)?)));
    if known.is_none() {
        let detail = match name {
            Some(name) => format!("{} is not among the known steps", Quoted(name)),
            None => "no `registry_name` says which step this is".to_owned(),
        };
        findings.reject(Rejection::ProcessorUnknown, place, detail);
    }
    known
}
