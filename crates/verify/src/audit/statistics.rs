//! Normaliser statistics: a few kilobytes that matter to the motors as much as the weights.

use std::collections::BTreeMap;

use super::agreement;
use super::normalizer::{Feature, Mode, feature_place, features};
use super::processor::Step;
use super::statistic::{Statistic, dimensions};
use super::tables::Category;
use super::{Audit, Document, Parsed};
use crate::error::Findings;
use crate::{ContentRules, Kind, Rejection, Severity};

/// What LeRobot computes of a data set's feature.
const NAMES: [&str; 10] = [
    "count", "max", "mean", "min", "q01", "q10", "q50", "q90", "q99", "std",
];
/// Which dimensions a step of MolmoAct2 leaves alone, beside the statistics.
const MASK: &str = "mask";
/// The lower and the upper end of a range.
const RANGES: [(&str, &str); 3] = [("min", "max"), ("q01", "q99"), ("q10", "q90")];
/// LeRobot's `eps`: what varies by less is a constant that was rounded, and as a divisor no better
/// than 0.
const NOTHING: f32 = 1e-8;
/// Tensors of checkpoints from before pipelines had their own files.
const INSIDE_WEIGHTS: [&str; 3] = [
    "normalize_inputs.",
    "normalize_targets.",
    "unnormalize_outputs.",
];

/// A step that scales, with its numbers.
pub(super) struct Normalizer<'s, 'a> {
    pub(super) step: &'s Step<'a>,
    pub(super) features: BTreeMap<&'a str, Feature<'a>>,
    /// By feature, then by statistic.
    pub(super) state: BTreeMap<&'a str, BTreeMap<&'a str, Statistic<'a>>>,
}

/// Judges the statistics of every step, and whether they are of one data set.
pub(super) fn judge(
    parsed: &[Parsed<'_>],
    steps: &[Step<'_>],
    audit: &Audit<'_>,
    findings: &mut Findings,
) {
    let scale = |step: &&Step<'_>| matches!(step.category, Category::Normalizer | Category::State);
    let normalizers: Vec<Normalizer<'_, '_>> = steps
        .iter()
        .filter(scale)
        .map(|step| Normalizer::of(step, findings))
        .collect();
    for normalizer in &normalizers {
        normalizer.judge(audit.rules, findings);
    }
    agreement::judge(&normalizers, parsed, findings);
    for weights in audit.of_kind(Kind::Weights) {
        refuse_inside(weights, findings);
    }
}

/// Old checkpoints hold statistics inside the weights, where no step finds them.
fn refuse_inside(weights: &Document<'_>, findings: &mut Findings) {
    let mut tensors = weights.header.iter().flat_map(|header| &header.tensors);
    let old = |name: &str| INSIDE_WEIGHTS.iter().any(|start| name.starts_with(start));
    if let Some(tensor) = tensors.find(|tensor| old(&tensor.name)) {
        let subject = format!("{}#{}", weights.path, tensor.name);
        let detail = "statistics inside the weights: migrate the policy with LeRobot's \
                      `migrate_policy_normalization.py`";
        findings.reject(Rejection::NormalizerDegenerate, subject, detail);
    }
}

impl<'s, 'a> Normalizer<'s, 'a> {
    fn of(step: &'s Step<'a>, findings: &mut Findings) -> Self {
        let features = match step.category {
            Category::Normalizer => features(step, findings),
            _ => BTreeMap::new(),
        };
        let mut state = BTreeMap::<_, BTreeMap<_, _>>::new();
        for statistic in step.state.iter().flat_map(|file| Statistic::all(file)) {
            match statistic.name.rsplit_once('.') {
                Some((feature, name)) if is_known(name, step) && statistic.is_numeric() => {
                    let named = state.entry(feature).or_default();
                    named.insert(name, statistic);
                }
                _ => {
                    let detail = "no statistic `feature.name` of 32 or 64 bit numbers";
                    findings.reject(Rejection::NormalizerDegenerate, statistic.subject(), detail);
                }
            }
        }
        Self {
            step,
            features,
            state,
        }
    }

    fn judge(&self, rules: &ContentRules, findings: &mut Findings) {
        for (name, statistics) in &self.state {
            let declared = self.features.get(name);
            self.refuse_undeclared_action(name, declared, findings);
            let ranges = Numbers {
                statistics,
                used: declared.map(|feature| feature.mode),
                wrong: self.severity(declared),
                constant: match self.severity(declared) {
                    Severity::Deny => rules.constant_statistics,
                    Severity::Warn => Severity::Warn,
                },
            };
            ranges.judge(findings);
        }
        for (name, feature) in &self.features {
            self.refuse_missing(name, feature, findings);
            for (statistic, numbers) in self.state.get(name).into_iter().flatten() {
                if *statistic != "count" {
                    refuse_shape(feature, numbers, findings);
                }
            }
        }
    }

    /// LeRobot saves the statistics of the whole data set, index columns (constant by nature)
    /// included: what no step uses is only noticed.
    fn severity(&self, declared: Option<&Feature<'_>>) -> Severity {
        if declared.is_some() || self.step.category == Category::State {
            Severity::Deny
        } else {
            Severity::Warn
        }
    }

    fn refuse_undeclared_action(
        &self,
        name: &str,
        declared: Option<&Feature<'_>>,
        findings: &mut Findings,
    ) {
        if name == "action" && self.severity(declared) == Severity::Warn {
            let detail = "has statistics that scale what the motors get, and is not declared";
            let place = feature_place(self.step, name);
            findings.reject(Rejection::NormalizerDegenerate, place, detail);
        }
    }

    /// A feature without its statistics would pass through as it is.
    fn refuse_missing(&self, name: &str, feature: &Feature<'_>, findings: &mut Findings) {
        let there = self.state.get(name);
        for needed in feature.mode.needs() {
            if !there.is_some_and(|statistics| statistics.contains_key(needed)) {
                let detail = format!("no statistic `{needed}`, without which it is not scaled");
                let place = feature_place(self.step, name);
                findings.reject(Rejection::NormalizerDegenerate, place, detail);
            }
        }
    }
}

fn is_nothing(width: f32) -> bool {
    (0.0..=NOTHING).contains(&width)
}

fn is_known(name: &str, step: &Step<'_>) -> bool {
    NAMES.contains(&name) || name == MASK && step.name.starts_with("molmoact2_masked_")
}

/// A shorter one would be broadcast. Images have one number per channel.
fn refuse_shape(feature: &Feature<'_>, statistic: &Statistic<'_>, findings: &mut Findings) {
    let shape = statistic.shape;
    let fits = match (feature.feature_type, feature.shape.first()) {
        ("VISUAL", Some(channels)) => shape == [*channels, 1, 1] || shape == [*channels],
        _ => shape == feature.shape,
    };
    if !fits {
        let detail = format!("shape {shape:?}, the feature has {:?}", feature.shape);
        findings.reject(Rejection::NormalizerDegenerate, statistic.subject(), detail);
    }
}

/// The statistics of one feature.
struct Numbers<'n, 'a> {
    statistics: &'n BTreeMap<&'a str, Statistic<'a>>,
    /// How a step computes with them; `None` where that is not known.
    used: Option<Mode>,
    /// What becomes of numbers that no data set has.
    wrong: Severity,
    /// What becomes of dimensions that never changed.
    constant: Severity,
}

impl Numbers<'_, '_> {
    fn judge(&self, findings: &mut Findings) {
        for (name, statistic) in self.statistics {
            let bad = |value: f32| !value.is_finite() || *name == "std" && value < 0.0;
            let found = dimensions(statistic.values().map(bad));
            self.report(
                statistic,
                self.wrong,
                "not finite, or negative",
                found,
                findings,
            );
            if *name == MASK {
                let found = dimensions(statistic.values().map(|v| v != 0.0 && v != 1.0));
                self.report(statistic, self.wrong, "neither 0 nor 1", found, findings);
            }
            if *name == "std" && self.uses(name) {
                let found = dimensions(statistic.values().map(is_nothing));
                self.report(
                    statistic,
                    self.constant,
                    "std = 0, or as good as,",
                    found,
                    findings,
                );
            }
        }
        for range in RANGES {
            self.judge_range(range, findings);
        }
    }

    fn judge_range(&self, (low, high): (&str, &str), findings: &mut Findings) {
        let (Some(lows), Some(highs)) = (self.statistics.get(low), self.statistics.get(high))
        else {
            return;
        };
        if lows.shape != highs.shape {
            let detail = format!("{:?}, `{high}` has {:?}", lows.shape, highs.shape);
            return findings.judge(
                self.wrong,
                Rejection::NormalizerDegenerate,
                lows.subject(),
                detail,
            );
        }
        let pairs = || lows.values().zip(highs.values());
        let found = dimensions(pairs().map(|(low, high)| low > high));
        let what = format!("{low} > {high}");
        self.report(lows, self.wrong, &what, found, findings);
        // Beyond what 32 bits hold, it is infinite.
        let is_endless = |(low, high): (f32, f32)| {
            low.is_finite() && high.is_finite() && !(high - low).is_finite()
        };
        let found = dimensions(pairs().map(is_endless));
        let what = format!("{high} - {low} is infinite");
        self.report(highs, self.wrong, &what, found, findings);
        if self.uses(low) {
            let found = dimensions(pairs().map(|(low, high)| is_nothing(high - low)));
            let what = format!("{low} = {high}, or as good as,");
            self.report(lows, self.constant, &what, found, findings);
        }
    }

    fn uses(&self, name: &str) -> bool {
        self.used.is_none_or(|mode| mode.needs().contains(&name))
    }

    fn report(
        &self,
        statistic: &Statistic<'_>,
        verdict: Severity,
        what: &str,
        found: Option<String>,
        findings: &mut Findings,
    ) {
        if let Some(found) = found {
            let detail = format!("{what} in dimension {found}");
            findings.judge(
                verdict,
                Rejection::NormalizerDegenerate,
                statistic.subject(),
                detail,
            );
        }
    }
}
