//! What a normaliser declares: which features it scales, of what shape, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::place::{Place, Quoted};
use super::processor::Step;
use super::tables::Category;
use crate::Rejection;
use crate::error::Findings;

/// LeRobot's `FeatureType`.
const TYPES: [&str; 6] = ["ACTION", "ENV", "LANGUAGE", "REWARD", "STATE", "VISUAL"];
/// Features of a step at the most; a robot has a few cameras and one state.
const FEATURES: usize = 256;
/// What is added to a divisor, at the most; LeRobot's default is 1e-8. Below what 32 bits hold, it
/// would be nothing.
const EPS: RangeInclusive<f64> = 1.2e-38..=1e-3;
/// What LeRobot calls the one feature that it scales as an action, whatever its declared type.
pub(super) const ACTION: &str = "action";

/// LeRobot's `NormalizationMode`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    Identity,
    MeanStd,
    MinMax,
    Quantiles,
    Quantile10,
}

/// A feature as a step declares it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Feature<'a> {
    pub(super) feature_type: &'a str,
    pub(super) shape: Vec<usize>,
    pub(super) mode: Mode,
}

impl Mode {
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value.as_str()? {
            "IDENTITY" => Self::Identity,
            "MEAN_STD" => Self::MeanStd,
            "MIN_MAX" => Self::MinMax,
            "QUANTILES" => Self::Quantiles,
            "QUANTILE10" => Self::Quantile10,
            _ => return None,
        })
    }

    /// The statistics that it computes with.
    pub(super) const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &[],
            Self::MeanStd => &["mean", "std"],
            Self::MinMax => &["min", "max"],
            Self::Quantiles => &["q01", "q99"],
            Self::Quantile10 => &["q10", "q90"],
        }
    }
}

/// Dimensions of a feature at the most, as of a tensor; images have three.
const RANK: usize = 8;

/// A feature of a configuration, where it has LeRobot's form: its type and its shape.
pub(super) fn form(value: &Value) -> Option<(&str, Vec<usize>)> {
    let feature_type = value.get("type")?.as_str()?;
    let size = |dim: &Value| usize::try_from(dim.as_u64()?).ok();
    let dims = value.get("shape")?.as_array()?;
    let shape: Option<Vec<usize>> = dims.iter().map(size).collect();
    let is_known = TYPES.contains(&feature_type) && dims.len() <= RANK;
    Some((feature_type, shape?)).filter(|_| is_known)
}

/// Refuses settings that change what a step does to the numbers, by its kind.
pub(super) fn refuse_settings(step: &Step<'_>, findings: &mut Findings) {
    let carries = matches!(step.category, Category::Normalizer | Category::State);
    if carries && step.setting("stats").is_some() {
        let place = format!("{}/config/stats", step.place);
        let detail = "statistics stand in the state file and nowhere else";
        findings.reject(Rejection::ProcessorStateUnsafe, place, detail);
    }
    if step.name == "rename_observations_processor" {
        refuse_renaming(step, findings);
    }
}

/// Two observations of one name, or one without: a network would see the wrong one.
fn refuse_renaming(step: &Step<'_>, findings: &mut Findings) {
    let place = format!("{}/config/rename_map", step.place);
    let mut refuse = |detail: &str| findings.reject(Rejection::ProcessorUnknown, &place, detail);
    let targets = match step.setting("rename_map").map(Value::as_object) {
        None => return,
        Some(None) => return refuse("no object"),
        Some(Some(map)) => map.values(),
    };
    let mut seen = BTreeSet::new();
    for target in targets {
        let name = target.as_str().unwrap_or_default();
        if name.is_empty() || name.chars().any(char::is_control) {
            refuse("a new name is a plain string");
        } else if !seen.insert(name) {
            refuse(&format!("two observations become {}", Quoted(name)));
        }
    }
}

/// What the step declares, feature by feature; what is declared wrong is refused.
pub(super) fn features<'a>(
    step: &Step<'a>,
    findings: &mut Findings,
) -> BTreeMap<&'a str, Feature<'a>> {
    let mut settings = Settings { step, findings };
    settings.refuse_unknown();
    settings.refuse_eps();
    settings.refuse_keys();
    let modes = settings.modes();
    let declared = settings.object("features").into_iter().flatten();
    let mut features = BTreeMap::new();
    for (name, value) in declared.take(FEATURES.saturating_add(1)) {
        if let Some(feature) = settings.feature(name, value, &modes) {
            features.insert(name.as_str(), feature);
        }
    }
    if features.len() > FEATURES {
        settings.refuse("features", &format!("more than {FEATURES}"));
    }
    features
}

struct Settings<'s, 'a, 'f> {
    step: &'s Step<'a>,
    findings: &'f mut Findings,
}

impl<'a> Settings<'_, 'a, '_> {
    fn refuse(&mut self, key: &str, detail: &str) {
        let place = format!("{}/config", self.step.place);
        let root = Place::Root(&place);
        self.findings.reject(
            Rejection::NormalizerDegenerate,
            Place::Key(&root, key),
            detail,
        );
    }

    fn refuse_feature(&mut self, name: &str, detail: &str) {
        let place = feature_place(self.step, name);
        self.findings
            .reject(Rejection::NormalizerDegenerate, place, detail);
    }

    fn refuse_unknown(&mut self) {
        const KNOWN: [&str; 5] = [
            "eps",
            "features",
            "norm_map",
            "normalize_observation_keys",
            // Already refused, by its own code.
            "stats",
        ];
        let settings = self.step.settings().and_then(Value::as_object);
        for key in settings.into_iter().flat_map(Map::keys) {
            if !KNOWN.contains(&key.as_str()) {
                self.refuse(key, "no setting of a normaliser");
            }
        }
    }

    fn refuse_eps(&mut self) {
        let Some(eps) = self.step.setting("eps") else {
            return;
        };
        if !eps.as_f64().is_some_and(|eps| EPS.contains(&eps)) {
            let detail = format!("not a number from {:e} to {:e}", EPS.start(), EPS.end());
            self.refuse("eps", &detail);
        }
    }

    /// Names of observations, in a list: of a text, readers would ask what it contains.
    fn refuse_keys(&mut self) {
        let keys = self.step.setting("normalize_observation_keys");
        let names = |keys: &Value| Some(keys.as_array()?.iter().all(Value::is_string));
        if keys.is_some_and(|keys| !keys.is_null() && names(keys) != Some(true)) {
            self.refuse("normalize_observation_keys", "no list of names");
        }
    }

    /// An object of the settings; that there is none is refused.
    fn object(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        let object = self.step.setting(key).and_then(Value::as_object);
        if object.is_none() {
            self.refuse(key, "no object");
        }
        object
    }

    fn modes(&mut self) -> BTreeMap<&'a str, Mode> {
        let mut modes = BTreeMap::new();
        for (feature_type, value) in self.object("norm_map").into_iter().flatten() {
            match Mode::of(value) {
                Some(mode) if TYPES.contains(&feature_type.as_str()) => {
                    modes.insert(feature_type.as_str(), mode);
                }
                _ => {
                    let detail = format!("{} to no known mode", Quoted(feature_type));
                    self.refuse("norm_map", &detail);
                }
            }
        }
        modes
    }

    fn feature(
        &mut self,
        name: &'a str,
        value: &'a Value,
        modes: &BTreeMap<&str, Mode>,
    ) -> Option<Feature<'a>> {
        let Some((feature_type, shape)) = form(value) else {
            self.refuse_feature(name, "has no known `type` and `shape`");
            return None;
        };
        if name == ACTION && feature_type != "ACTION" {
            let detail = format!("it is scaled as an ACTION, not as {feature_type}");
            self.refuse_feature(name, &detail);
            return None;
        }
        let Some(mode) = modes.get(feature_type) else {
            let detail = format!(
                "`norm_map` does not say how {feature_type} is scaled; say IDENTITY if it is not"
            );
            self.refuse_feature(name, &detail);
            return None;
        };
        let mode = if feature_type == "ACTION" || self.scales_observation(name) {
            *mode
        } else {
            Mode::Identity
        };
        Some(Feature {
            feature_type,
            shape,
            mode,
        })
    }

    /// Of the observations, a step may scale some only.
    fn scales_observation(&self, name: &str) -> bool {
        match self.step.setting("normalize_observation_keys") {
            None | Some(Value::Null) => true,
            Some(names) => names
                .as_array()
                .is_none_or(|names| names.iter().any(|scaled| scaled.as_str() == Some(name))),
        }
    }
}

/// Where a step declares a feature.
pub(super) fn feature_place(step: &Step<'_>, name: &str) -> String {
    let place = format!("{}/config/features", step.place);
    Place::Key(&Place::Root(&place), name).to_string()
}
