use std::fmt;
use std::path::PathBuf;

use crate::config::{ConfigError, Endpoint};

/// A secret that shows itself to nobody but the Hub.
#[derive(Clone)]
pub struct Token {
    secret: String,
    /// The only place for a token that nobody gave for this use; `None` is one that somebody did.
    implied_for: Option<Endpoint>,
}

impl Token {
    /// A token from text; white space around it is not part of it. `origin` is for messages.
    ///
    /// # Errors
    /// [`ConfigError::Token`] if it is empty or could not be sent.
    pub fn new(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let refuse = |reason| {
            let origin = origin.into();
            Err(ConfigError::Token { origin, reason })
        };
        match text.trim() {
            "" => refuse("it is empty"),
            token if token.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self {
                secret: token.to_owned(),
                implied_for: None,
            }),
            _ => refuse("it has characters that no token has"),
        }
    }

    /// A token from a file.
    ///
    /// # Errors
    /// [`ConfigError::TokenFile`], and as [`new`](Self::new).
    pub fn from_file(path: PathBuf) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::new(&text, &path.display().to_string()),
            Err(source) => Err(ConfigError::TokenFile { path, source }),
        }
    }

    /// The same for use with this endpoint alone.
    pub(crate) fn implied_for(self, endpoint: &Endpoint) -> Self {
        let implied_for = Some(endpoint.clone());
        Self {
            implied_for,
            ..self
        }
    }

    /// Whether it may be sent to this endpoint.
    pub(crate) fn is_for(&self, endpoint: &Endpoint) -> bool {
        let here = |place: &Endpoint| place.is_same_origin(endpoint);
        self.implied_for.as_ref().is_none_or(here)
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// A text without this token in it.
    pub(crate) fn hidden_in(&self, text: &str) -> Box<str> {
        text.replace(&self.secret, "…").into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
