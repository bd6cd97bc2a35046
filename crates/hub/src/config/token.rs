use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::endpoint::Endpoint;
use crate::config::{ConfigError, file};

/// Bytes of a token file; a token has about 40.
const MAX_BYTES: u64 = 64 << 10;

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

    /// A token from a regular file.
    ///
    /// # Errors
    /// [`ConfigError::TokenFile`], and as [`new`](Self::new).
    pub fn from_file(path: PathBuf) -> Result<Self, ConfigError> {
        match read(&path) {
            Ok(text) => Self::new(&text, &format!("{path:?}")),
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

    /// A text without this token in it; nothing of a text that has it in disguise.
    ///
    /// Servers repeat what they were sent, as it is or as some layer encoded it: percent, base64
    /// and hexadecimal digits. One that means to put it into a log has other ways, and the token.
    pub(crate) fn hidden_in(&self, text: &str) -> Box<str> {
        let plain = self.without_its_begin(&text.replace(&self.secret, "…"));
        let folded = plain.to_ascii_lowercase();
        let hex: String = self.secret.bytes().map(|b| format!("{b:02x}")).collect();
        let disguised = folded.contains(&self.secret.to_ascii_lowercase())
            || percent_decoded(&plain).contains(&self.secret)
            || folded.contains(&hex)
            || self.is_as_base64_in(&plain);
        match disguised {
            true => "…".into(),
            false => plain.into(),
        }
    }

    /// A text that was cut may end in a part of the token.
    fn without_its_begin(&self, text: &str) -> String {
        let begins = (4..self.secret.len()).filter_map(|len| self.secret.get(..len));
        let cut = begins
            .filter_map(|begin| text.strip_suffix(begin))
            .next_back();
        cut.map_or_else(|| text.to_owned(), |rest| format!("{rest}…"))
    }

    /// Three bytes are four digits: what stands before the token shifts it in one of three ways.
    fn is_as_base64_in(&self, text: &str) -> bool {
        let standard = text.replace('-', "+").replace('_', "/");
        (0..3).any(|before| {
            let shifted = [&b"..."[..before], self.secret.as_bytes()].concat();
            let whole = shifted.len() / 3 * 3;
            let digits = STANDARD.encode(shifted.get(..whole).unwrap_or_default());
            // The first four digits are of what stands before, too.
            let shared = if before == 0 { 0 } else { 4 };
            let own = digits.get(shared..).unwrap_or_default();
            own.len() >= 8 && standard.contains(own)
        })
    }
}

/// What stands behind percent signs; a sign without two digits stands for itself.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let byte = match (first, more) {
            (b'%', [high, low, ..]) => str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => more.get(2..).unwrap_or_default(),
            None => more,
        };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = file::read(path, MAX_BYTES)?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))
}

/// The order of `huggingface_hub`: the variable, the named file, the file of `hf auth login`.
pub(crate) fn implicit_token(
    var: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Token>, ConfigError> {
    if let Some(token) = var("HF_TOKEN") {
        let token = token.to_string_lossy().into_owned();
        return Token::new(&token, "HF_TOKEN").map(Some);
    }
    if let Some(path) = var("HF_TOKEN_PATH") {
        return Token::from_file(PathBuf::from(path)).map(Some);
    }
    match huggingface_home(var).map(|home| home.join("token")) {
        Some(path) if path.exists() => Token::from_file(path).map(Some),
        _ => Ok(None),
    }
}

/// What `huggingface_hub` takes for `HF_HOME`.
pub(crate) fn huggingface_home(var: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let below = |name, rest: &str| var(name).map(|dir| PathBuf::from(dir).join(rest));
    var("HF_HOME")
        .map(PathBuf::from)
        .or_else(|| below("XDG_CACHE_HOME", "huggingface"))
        .or_else(|| below("HOME", ".cache/huggingface"))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn what_is_no_file_of_a_token_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, large) = (folder.path().join("fifo"), folder.path().join("large"));
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::File::create(&large)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let binary = folder.path().join("binary");
        std::fs::write(&binary, [0xff]).unwrap();
        let other = "it is no regular file, but a directory, FIFO or device";
        for (path, why) in [
            (fifo, other),
            ("/dev/zero".into(), other),
            (folder.path().to_owned(), other),
            (large, "it has more than 65536 bytes, it is something else"),
            (binary, "it is no text"),
        ] {
            let refused = Token::from_file(path).unwrap_err();
            let source = std::error::Error::source(&refused).unwrap();
            assert_eq!(source.to_string(), why);
            assert!(
                refused
                    .hint()
                    .unwrap()
                    .starts_with("name a file with a token")
            );
        }
    }

    #[test]
    fn a_token_is_hidden_as_it_is_and_in_disguise() {
        let token = Token::new("hf_SecretOfMine1", "the test").unwrap();
        let hidden = |text: &str| token.hidden_in(text).into_string();
        assert_eq!(hidden("bad hf_SecretOfMine1!"), "bad …!");
        assert_eq!(hidden("bad hf_SecretOfMine"), "bad …");
        assert_eq!(hidden("bad hf_S"), "bad …");
        for text in [
            "HF_SECRETOFMINE1",
            "x?t=hf%5FSecretOfMine1",
            "%68%66%5f%53%65%63%72%65%74%4f%66%4d%69%6e%65%31",
            "68665f5365637265744f664d696e6531",
            "68665F5365637265744F664D696E6531",
        ] {
            assert_eq!(hidden(text), "…", "{text}");
        }
        for before in ["", "u", "me", "user:", "Bearer ", "tokens:"] {
            for after in ["", "x", ":yz"] {
                let text = STANDARD.encode(format!("{before}hf_SecretOfMine1{after}"));
                assert_eq!(hidden(&text), "…", "{before}, {after}");
                let text = text.replace('+', "-").replace('/', "_");
                assert_eq!(hidden(&format!("Basic {text} is bad")), "…");
            }
        }
        for text in ["Repository not found", "100%", "%zz %5", "hf_other", "%é%"] {
            assert_eq!(hidden(text), text);
        }
    }
}
