//! The variables of this process, as one thing that can be handed on.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What the shell has set. A variable that is empty is not set.
#[derive(Debug, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value)
    }

    /// For people; what is no text is shown as such.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        Some(self.get(name)?.to_string_lossy().into_owned())
    }

    /// Directories between colons.
    pub(crate) fn paths(&self, name: &str) -> Vec<PathBuf> {
        let split = |value: &OsStr| std::env::split_paths(value).collect();
        self.get(name).map(split).unwrap_or_default()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(
            variables
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
        )
    }
}
