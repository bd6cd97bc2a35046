//! The steps of one policy say the same: their statistics are of one data set, and what one
//! scales, the other scales back.

use std::collections::BTreeMap;

use serde_json::Value;

use super::normalizer::{ACTION, Feature, Mode, feature_place, form};
use super::place::Place;
use super::statistic::Statistic;
use super::statistics::Normalizer;
use super::tables::Category;
use super::{Parsed, directory};
use crate::error::Findings;
use crate::{FilePath, Rejection};

/// How the pipeline after the network is called, at its end.
const AFTER: &str = "postprocessor.json";

/// Judges the steps of each directory together, with its configuration; and of each pair of
/// pipelines, which a loader takes by name, whatever lies beside it.
pub(super) fn judge(
    normalizers: &[Normalizer<'_, '_>],
    parsed: &[Parsed<'_>],
    findings: &mut Findings,
) {
    for steps in grouped(normalizers, directory) {
        refuse_other_statistics(&steps, findings);
        refuse_other_features(&steps, findings);
    }
    for mut steps in grouped(normalizers, pair) {
        // What the others make of their statistics is not known.
        steps.retain(|step| step.step.category == Category::Normalizer);
        steps
            .iter()
            .for_each(|step| step.refuse_wrong_side(findings));
        refuse_scaled_twice(&steps, findings);
        refuse_unscaled_actions(&steps, findings);
        let here = steps.first().map(|step| directory(step.path()));
        let is_config =
            |path: &FilePath| Some(directory(path)) == here && path.file_name() == "config.json";
        for config in parsed
            .iter()
            .filter(|parsed| is_config(parsed.document.path))
        {
            refuse_other_than_configured(&steps, config, findings);
        }
    }
    for config in parsed {
        if config.document.path.file_name() == "config.json" && scales_actions(&config.json) {
            refuse_unscaled_outputs(normalizers, config, parsed, findings);
        }
    }
}

/// The steps whose pipelines have the same `key`.
fn grouped<'n, 's, 'a>(
    normalizers: &'n [Normalizer<'s, 'a>],
    key: fn(&FilePath) -> &str,
) -> impl Iterator<Item = Vec<&'n Normalizer<'s, 'a>>> {
    let mut groups = BTreeMap::<&str, Vec<_>>::new();
    for normalizer in normalizers {
        let group = groups.entry(key(normalizer.path())).or_default();
        group.push(normalizer);
    }
    groups.into_values()
}

/// What the pipelines before and after one network have in common: `policy_`, with the directory.
fn pair(path: &FilePath) -> &str {
    let text = path.as_str();
    let ends = [AFTER, "preprocessor.json"];
    let start = ends.into_iter().find_map(|end| text.strip_suffix(end));
    start.unwrap_or(text)
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

/// A feature has one type, one shape and one way of being scaled. Actions go but one way on a
/// robot, so that before the network, where they do not come by, they may be left alone.
fn refuse_other_features(steps: &[&Normalizer<'_, '_>], findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for step in steps {
        for (name, feature) in &step.features {
            let (first, declared) = seen.entry(*name).or_insert((*step, feature));
            let same = if step.leaves_actions(feature) || first.leaves_actions(declared) {
                (declared.feature_type, &declared.shape) == (feature.feature_type, &feature.shape)
            } else {
                *declared == feature
            };
            if !same {
                let detail = format!("{:?} declares it differently", first.step.place);
                let place = feature_place(step.step, name);
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
            }
        }
    }
}

/// Whether the network of this configuration learned its actions as scaled.
fn scales_actions(config: &Value) -> bool {
    let mode = config.pointer("/normalization_mapping/ACTION");
    let action = config.pointer("/output_features/action");
    action.is_some()
        && mode
            .and_then(Mode::of)
            .is_some_and(|mode| mode != Mode::Identity)
}

/// Every pipeline that may follow this network scales its actions back.
fn refuse_unscaled_outputs(
    normalizers: &[Normalizer<'_, '_>],
    config: &Parsed<'_>,
    parsed: &[Parsed<'_>],
    findings: &mut Findings,
) {
    let here = directory(config.document.path);
    let paths = parsed.iter().map(|parsed| parsed.document.path);
    for path in paths.filter(|path| directory(path) == here && path.as_str().ends_with(AFTER)) {
        let mut own = normalizers.iter().filter(|step| step.path() == path);
        if !own.any(Normalizer::scales_action_back) {
            let detail = "config.json says that actions are scaled; nothing scales them back here";
            findings.reject(Rejection::NormalizerDegenerate, path, detail);
        }
    }
}

/// What is scaled twice is scaled wrong.
fn refuse_scaled_twice(steps: &[&Normalizer<'_, '_>], findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for step in steps {
        let scaled = |(_, feature): &(_, &Feature<'_>)| feature.mode != Mode::Identity;
        for (name, _) in step.features.iter().filter(scaled) {
            if let Some(first) = seen.insert((step.scales_back(), *name), *step) {
                let detail = format!("{:?} scales it already", first.step.place);
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

/// A feature of the configuration is scaled as what it is there, in all its dimensions; its
/// actions and what a robot measures are not left out. A step may declare more dimensions (EVO1
/// pads), never fewer: one number would be broadcast to all.
fn refuse_other_than_configured(
    steps: &[&Normalizer<'_, '_>],
    config: &Parsed<'_>,
    findings: &mut Findings,
) {
    for (list, is_output) in [("input_features", false), ("output_features", true)] {
        let features = config.json.get(list).and_then(Value::as_object);
        for (name, value) in features.into_iter().flatten() {
            let Some((feature_type, shape)) = form(value) else {
                let place = format!("{}/{list}", config.root());
                let place = Place::Key(&Place::Root(&place), name).to_string();
                let detail = "has no known `type` and `shape`";
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
                continue;
            };
            let mut refuse = |step: &Normalizer<'_, '_>| {
                let detail = format!("config.json has it as {feature_type} of shape {shape:?}");
                let place = feature_place(step.step, name);
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
            };
            let is_needed = matches!(feature_type, "ACTION" | "ENV" | "STATE");
            let declares = |step: &&&Normalizer<'_, '_>| step.features.contains_key(name.as_str());
            let own = || steps.iter().filter(|step| step.scales_back() == is_output);
            if is_needed && own().find(declares).is_none() {
                own().take(1).for_each(|step| refuse(step));
            }
            for step in steps.iter().filter(declares) {
                let declared = step.features.get(name.as_str());
                if !declared.is_some_and(|feature| feature.covers(feature_type, &shape)) {
                    refuse(step);
                }
            }
        }
    }
}

impl Feature<'_> {
    /// Whether it is of this type and has these dimensions, or more. Images are scaled by their
    /// channels alone.
    fn covers(&self, feature_type: &str, shape: &[usize]) -> bool {
        let mut dims = self.shape.iter().zip(shape);
        self.feature_type == feature_type
            && (feature_type == "VISUAL"
                || self.shape.len() == shape.len() && dims.all(|(has, wanted)| has >= wanted))
    }
}

impl<'a> Normalizer<'_, 'a> {
    fn path(&self) -> &'a FilePath {
        self.step.pipeline.path
    }

    /// What comes before the network scales, what comes after it scales back.
    fn refuse_wrong_side(&self, findings: &mut Findings) {
        let is_after = self.path().as_str().ends_with(AFTER);
        if self.scales_back() != is_after {
            let detail = format!("{:?} is on the wrong side of the network", self.step.name);
            findings.reject(Rejection::NormalizerDegenerate, &self.step.place, detail);
        }
    }

    fn leaves_actions(&self, feature: &Feature<'_>) -> bool {
        !self.scales_back() && feature.feature_type == "ACTION" && feature.mode == Mode::Identity
    }

    /// What a step of unknown form does is its own.
    fn scales_action_back(&self) -> bool {
        let scaled = |feature: &Feature<'_>| feature.mode != Mode::Identity;
        self.step.category == Category::State
            || self.scales_back() && self.features.get(ACTION).is_some_and(scaled)
    }

    /// Whether it is of the kind that follows the network.
    fn scales_back(&self) -> bool {
        self.step.name.contains("unnormalizer")
    }
}
