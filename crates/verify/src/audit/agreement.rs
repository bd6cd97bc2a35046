//! The steps of one policy say the same: their statistics are of one data set, and what one
//! scales, the other scales back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::normalizer::{Mode, feature_place, form};
use super::statistic::Statistic;
use super::statistics::Normalizer;
use super::{Parsed, directory};
use crate::error::Findings;
use crate::{FilePath, Rejection};

/// Judges the steps of each directory together, with its configuration.
pub(super) fn judge(
    normalizers: &[Normalizer<'_, '_>],
    parsed: &[Parsed<'_>],
    findings: &mut Findings,
) {
    let mut by_directory = BTreeMap::<&str, Vec<&Normalizer<'_, '_>>>::new();
    for normalizer in normalizers {
        let here = directory(normalizer.step.pipeline.path);
        by_directory.entry(here).or_default().push(normalizer);
    }
    for (here, steps) in by_directory {
        refuse_other_statistics(&steps, findings);
        refuse_other_features(&steps, findings);
        refuse_unscaled_actions(&steps, findings);
        let is_config =
            |path: &FilePath| directory(path) == here && path.file_name() == "config.json";
        for config in parsed
            .iter()
            .filter(|parsed| is_config(parsed.document.path))
        {
            refuse_other_actions(&steps, &config.json, findings);
        }
    }
}

/// Both pipelines carry the statistics of the data set that the policy was trained on.
fn refuse_other_statistics(steps: &[&Normalizer<'_, '_>], findings: &mut Findings) {
    let mut seen = BTreeMap::<&str, &Statistic<'_>>::new();
    let states = steps.iter().flat_map(|step| step.state.values());
    for statistic in states.flat_map(BTreeMap::values) {
        let first = *seen.entry(statistic.name).or_insert(statistic);
        let same = first.dtype == statistic.dtype && first.shape == statistic.shape;
        if !same || first.bytes != statistic.bytes {
            let detail = format!(
                "differs from {:?}: statistics of another data set",
                first.subject()
            );
            findings.reject(Rejection::NormalizerDegenerate, statistic.subject(), detail);
        }
    }
}

/// A feature has one type, one shape and one way of being scaled.
fn refuse_other_features(steps: &[&Normalizer<'_, '_>], findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for step in steps {
        for (name, feature) in &step.features {
            let (first, declared) = seen.entry(*name).or_insert((*step, feature));
            if *declared != feature {
                let detail = format!("{:?} declares it differently", first.step.place);
                let place = feature_place(step.step, name);
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
            }
        }
    }
}

/// An action that the network learned as scaled is scaled back.
fn refuse_unscaled_actions(steps: &[&Normalizer<'_, '_>], findings: &mut Findings) {
    let scales_back = |name: &str| {
        let mut back = steps.iter().filter(|step| step.scales_back());
        back.any(|step| step.features.contains_key(name))
    };
    for step in steps.iter().filter(|step| !step.scales_back()) {
        for (name, feature) in &step.features {
            let is_scaled = feature.feature_type == "ACTION" && feature.mode != Mode::Identity;
            if is_scaled && !scales_back(name) {
                let detail = "no step after the network scales it back for the motors";
                let place = feature_place(step.step, name);
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
            }
        }
    }
}

/// The actions of the configuration are all scaled back, in all their dimensions. A step may
/// declare more (EVO1 pads), never fewer.
fn refuse_other_actions(steps: &[&Normalizer<'_, '_>], config: &Value, findings: &mut Findings) {
    let outputs = config.get("output_features").and_then(Value::as_object);
    for (name, value) in outputs.into_iter().flatten() {
        let Some(("ACTION", shape)) = form(value) else {
            continue;
        };
        for step in steps.iter().filter(|step| step.scales_back()) {
            let declared = step.features.get(name.as_str());
            let covers = declared.is_some_and(|feature| {
                feature.shape.len() == shape.len()
                    && feature
                        .shape
                        .iter()
                        .zip(&shape)
                        .all(|(has, wanted)| has >= wanted)
            });
            if !covers {
                let detail = format!("config.json has this action in shape {shape:?}");
                let place = feature_place(step.step, name);
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
            }
        }
    }
}

impl Normalizer<'_, '_> {
    /// Whether it is of the kind that follows the network.
    fn scales_back(&self) -> bool {
        self.step.name.contains("unnormalizer")
    }
}
