//! Every artifact that loading the policy would pull in is pinned or declared absent.

use serde_json::Value;

use super::place::{Place, Quoted, walk};
use super::processor::Step;
use super::tables::{Artifact, Steps, Types};
use super::{Audit, Parsed};
use crate::error::Findings;
use crate::manifest_rules::{TEXT_BYTES, printable};
use crate::survey::Undecided;
use crate::{Kind, Rejection};

/// Parts of a field's name that say that its value names an artifact. They count where the type
/// of a configuration is not known, so that nothing else says what its fields do.
const NAMES_ARTIFACT: &[&str] = &[
    "adapter",
    "backbone",
    "checkpoint",
    "encoder",
    "model_id",
    "model_name",
    "name_or_path",
    "pretrained",
    "processor",
    "repo_",
    "tokenizer",
    "vae",
    "vlm",
    "weights",
];

/// Judges every `config.json`, `adapter_config.json`, `tokenizer_config.json` and known step of a pipeline.
pub(super) fn judge(
    parsed: &[Parsed<'_>],
    steps: &[Step<'_>],
    audit: &Audit<'_>,
    findings: &mut Findings,
) {
    let mut externals = Externals { audit, findings };
    for document in parsed {
        match document.document.path.file_name() {
            "config.json" => externals.judge_config(document),
            "adapter_config.json" => externals.judge_fields(document, &Types::table().adapter),
            "tokenizer_config.json" => externals.judge_fields(document, &Types::table().tokenizer),
            _ => {}
        }
    }
    for step in steps {
        externals.judge_step(step);
    }
}

struct Externals<'a, 'f> {
    audit: &'a Audit<'a>,
    findings: &'f mut Findings,
}

impl Externals<'_, '_> {
    fn judge_config(&mut self, parsed: &Parsed<'_>) {
        let (types, root) = (Types::table(), parsed.root());
        let policy_type = parsed.json.get("type").and_then(Value::as_str);
        let named = policy_type.and_then(|name| types.artifacts(name));
        let artifacts: Vec<&Artifact> = named.into_iter().flatten().chain(&types.every).collect();
        self.judge_artifacts(&root, Some(&parsed.json), &artifacts);
        self.judge_base(parsed);
        let is_record = |key: &str| types.records.contains(key);
        self.judge_strings(&root, &parsed.json, named.is_some(), |key| {
            is_record(key) || artifacts.iter().any(|artifact| artifact.field == key)
        });
    }

    /// PEFT: the policy is an adapter on top of another one.
    fn judge_base(&mut self, parsed: &Parsed<'_>) {
        let adapter = self
            .audit
            .beside(parsed.document.path, "adapter_config.json")
            .filter(|adapter| adapter.kind == Kind::Config);
        let uses = parsed.json.get("use_peft");
        let plain = matches!(uses, None | Some(Value::Null | Value::Bool(false)));
        if !plain && adapter.is_none() {
            let place = format!("{}/use_peft", parsed.root());
            let detail = "an adapter on top of a policy that no adapter_config.json names";
            self.findings
                .reject(Rejection::ExternalUnpinned, place, detail);
        }
    }

    /// A document of which only these fields name an artifact.
    fn judge_fields(&mut self, parsed: &Parsed<'_>, artifacts: &[Artifact]) {
        let artifacts: Vec<&Artifact> = artifacts.iter().collect();
        self.judge_artifacts(&parsed.root(), Some(&parsed.json), &artifacts);
    }

    fn judge_step(&mut self, step: &Step<'_>) {
        let root = format!("{}/config", step.place);
        let named = Steps::table().artifacts(step.name).iter();
        let artifacts: Vec<&Artifact> = named
            .filter(|artifact| !step.brings(&artifact.field))
            .collect();
        self.judge_artifacts(&root, step.settings(), &artifacts);
        if let Some(settings) = step.settings() {
            self.judge_strings(&root, settings, true, |key| {
                artifacts.iter().any(|artifact| artifact.field == key)
            });
        }
    }

    /// The fields of which it is known that they name an artifact.
    fn judge_artifacts(&mut self, root: &str, fields: Option<&Value>, artifacts: &[&Artifact]) {
        let root = Place::Root(root);
        for artifact in artifacts {
            let value = fields.and_then(|fields| fields.get(&artifact.field));
            let place = Place::Key(&root, &artifact.field);
            let default = match value {
                None => artifact.default.as_deref(),
                Some(Value::Null) => artifact.default.as_deref().filter(|_| artifact.and_null),
                Some(_) => None,
            };
            let written = value.filter(|value| !value.is_null());
            match (&artifact.always, default, written) {
                (Some(always), ..) => self.demand(place, always, artifact.code),
                (None, Some(default), _) => self.demand(place, default, artifact.code),
                (None, None, Some(Value::String(name))) => {
                    self.demand(place, name, artifact.code);
                }
                (None, None, Some(_)) => {
                    let detail = "neither a name nor null stands where an artifact is named";
                    self.findings
                        .reject(Rejection::ExternalUnpinned, place, detail);
                }
                (None, None, None) => {}
            }
        }
    }

    /// Every other text: what has the form of an address, a path or a Hub id names something
    /// outside; below an unknown type, so does what stands in a field that is called so.
    fn judge_strings(
        &mut self,
        root: &str,
        json: &Value,
        is_known: bool,
        is_judged: impl Fn(&str) -> bool,
    ) {
        walk(json, Place::Root(root), "", &mut |place, key, value| {
            let is_judged = matches!(place, Place::Key(Place::Root(_), key) if is_judged(key));
            if is_judged || self.findings.is_full() {
                return false;
            }
            let Some(text) = value.as_str() else {
                return true;
            };
            let is_called_so = !is_known && is_called_artifact(key);
            if text.contains(['/', '\\']) || is_called_so && !text.is_empty() {
                self.demand(place, text, false);
            }
            true
        });
    }

    /// Something would be loaded: the signer must have decided about it.
    fn demand(&mut self, place: Place<'_>, name: &str, brings_code: bool) {
        match declarable(place, name) {
            Some(field) => self.demand_decision(place, field, name),
            None => {
                let name = Quoted(name);
                let detail = format!(
                    "loading would fetch {name}, which no manifest can declare: field or name is empty, \
                     has more than {TEXT_BYTES} bytes, or control characters"
                );
                self.findings
                    .reject(Rejection::ExternalUnpinned, place, detail);
            }
        }
        if brings_code && !self.audit.has_reviewed_code(self.findings) {
            let detail = format!("{} is let pass only with reviewed code", Quoted(name));
            self.findings
                .reject(Rejection::RemoteCodeRequested, place, detail);
        }
    }

    fn demand_decision(&mut self, place: Place<'_>, field: String, name: &str) {
        let mut decided = self.audit.declared.externals.iter();
        if decided.any(|external| external.field == field && external.name == name) {
            return;
        }
        let undecided = || Undecided::External {
            field,
            name: name.to_owned(),
        };
        if !self.findings.leave_open(undecided) {
            let detail = format!(
                "loading would fetch {}; declare it as pinned or absent",
                Quoted(name)
            );
            self.findings
                .reject(Rejection::ExternalUnpinned, place, detail);
        }
    }
}

/// The field as a manifest declares it, where that is possible: what could only be shown in part is
/// decided about by nobody.
fn declarable(place: Place<'_>, name: &str) -> Option<String> {
    let is_text = |text: &str| printable("externals", text).is_ok();
    place
        .whole()
        .filter(|field| is_text(field) && is_text(name))
}

/// Whether a field is called so that its value may name an artifact. No loader reads a name of
/// more than 256 bytes, and none is searched that long for each of its values.
fn is_called_artifact(key: &str) -> bool {
    if key.len() > 256 {
        return true;
    }
    let key = key.to_ascii_lowercase();
    NAMES_ARTIFACT.iter().any(|part| key.contains(part))
}
