//! What LeRobot's steps and types load and run, as data: the two tables beside this file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

/// What a name that is not plain has: it is a path, an address, or inside something.
pub(super) const SEPARATORS: [char; 4] = ['.', '/', '\\', ':'];

/// What loading a processor step does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Category {
    /// Arithmetic on tensors or text.
    Plain,
    /// Carries normaliser statistics.
    Normalizer,
    /// Carries statistics with rules of its own.
    State,
    /// Loads an artifact by name.
    Names,
    /// Runs code that comes with an artifact.
    Code,
    /// Needs a live object.
    Live,
}

/// `processor_steps.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Steps {
    plain: BTreeSet<String>,
    plain_dev: BTreeSet<String>,
    normalizer: BTreeSet<String>,
    state: BTreeSet<String>,
    names: BTreeSet<String>,
    code: BTreeSet<String>,
    live: BTreeSet<String>,
    artifacts: BTreeMap<String, Vec<Artifact>>,
}

/// `externals.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Types {
    pub(super) records: BTreeSet<String>,
    pub(super) every: Vec<Artifact>,
    pub(super) adapter: Vec<Artifact>,
    pub(super) tokenizer: Vec<Artifact>,
    types: BTreeMap<String, Vec<Artifact>>,
}

/// A field that names an artifact from elsewhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Artifact {
    pub(super) field: String,
    /// What is loaded where the field is absent.
    pub(super) default: Option<String>,
    /// The default counts where the field is null, too.
    #[serde(default)]
    pub(super) and_null: bool,
    /// What is loaded whatever stands there.
    pub(super) always: Option<String>,
    /// It brings code that runs.
    #[serde(default)]
    pub(super) code: bool,
}

// A table that cannot be read would know no step and no type, and so let none pass; a test below
// reads both.
static STEPS: LazyLock<Steps> =
    LazyLock::new(|| toml::from_str(include_str!("processor_steps.toml")).unwrap_or_default());
static TYPES: LazyLock<Types> =
    LazyLock::new(|| toml::from_str(include_str!("externals.toml")).unwrap_or_default());

impl Steps {
    pub(super) fn table() -> &'static Self {
        &STEPS
    }

    /// What the step does, or `None` where it is not known.
    pub(super) fn category(&self, name: &str) -> Option<Category> {
        [
            (&self.plain, Category::Plain),
            (&self.plain_dev, Category::Plain),
            (&self.normalizer, Category::Normalizer),
            (&self.state, Category::State),
            (&self.names, Category::Names),
            (&self.code, Category::Code),
            (&self.live, Category::Live),
        ]
        .into_iter()
        .find_map(|(names, category)| names.contains(name).then_some(category))
    }

    /// Which fields of the step's `config` name artifacts.
    pub(super) fn artifacts(&self, name: &str) -> &[Artifact] {
        self.artifacts.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Types {
    pub(super) fn table() -> &'static Self {
        &TYPES
    }

    /// Which fields of a configuration of this type name artifacts, or `None` where the type is
    /// not known.
    pub(super) fn artifacts(&self, policy_type: &str) -> Option<&[Artifact]> {
        self.types.get(policy_type).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_can_be_read() {
        toml::from_str::<Steps>(include_str!("processor_steps.toml")).unwrap();
        toml::from_str::<Types>(include_str!("externals.toml")).unwrap();
    }

    #[test]
    fn lerobot_0_6_1_registers_73_steps() {
        let steps = Steps::table();
        let state = steps.normalizer.union(&steps.state).count();
        assert_eq!(state, 6);
        let counts = [&steps.plain, &steps.names, &steps.code, &steps.live].map(BTreeSet::len);
        assert_eq!(counts, [49, 3, 5, 10]);
        let all: BTreeSet<&String> = [
            &steps.plain,
            &steps.normalizer,
            &steps.state,
            &steps.names,
            &steps.code,
            &steps.live,
        ]
        .into_iter()
        .flatten()
        .collect();
        assert_eq!(all.len(), 73, "each in one category");
    }

    #[test]
    fn every_step_that_names_artifacts_says_which() {
        let steps = Steps::table();
        let names = steps.names.union(&steps.code);
        assert!(names.eq(steps.artifacts.keys()));
    }
}
