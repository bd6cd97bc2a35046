//! What the model card says: a stranger's words, from the front matter of README.md.

use serde_json::{Value, json};

/// The file that holds it.
pub(super) const FILE: &str = "README.md";

/// The front matter, as far as somebody has to answer for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Card {
    pub(crate) license: Option<String>,
    pub(crate) datasets: Vec<String>,
    pub(crate) base_model: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) library: Option<String>,
}

impl Card {
    /// Of the bytes of README.md.
    pub(crate) fn of(_bytes: &[u8]) -> Self {
        Self::default()
    }

    /// What it says, under the word for it.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let one = |text: &Option<String>| text.clone().into_iter().collect::<Vec<_>>();
        [
            ("licence", one(&self.license)),
            ("datasets", self.datasets.clone()),
            ("base model", self.base_model.clone()),
            ("tags", self.tags.clone()),
            ("library", one(&self.library)),
        ]
        .into_iter()
        .filter(|(_, words)| !words.is_empty())
        .map(|(name, words)| (name, words.join(", ")))
        .collect()
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "license": self.license,
            "datasets": self.datasets,
            "base_model": self.base_model,
            "tags": self.tags,
            "library": self.library,
        })
    }
}
