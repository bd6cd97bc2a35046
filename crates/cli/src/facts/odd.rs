//! Fields of a policy's configuration that no table knows: a word for whoever answers for them.
//!
//! A value is the text that the file has, white space aside: parsed and written again, 1.0 could become
//! 1, and a number of forty digits another one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::text::{ascii, count, shorten};

/// The file whose fields they are.
pub(super) const FILE: &str = "config.json";
/// Characters of a field and its value that a line shows.
const LINE: usize = 80;
/// Characters of a value that is kept whole: some 40 lines, which a person may be asked to read.
const VALUE: usize = 4_096;
/// Characters of a field's pointer that is kept whole, as of any text in a manifest.
const POINTER: usize = 1_024;
/// Fields that are kept; a configuration has about forty in all.
const FIELDS: usize = 256;

/// `config_fields.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    every: BTreeSet<String>,
    types: BTreeMap<String, BTreeSet<String>>,
}

// A table that cannot be read would know no field, and so name them all; a test below reads it.
static FIELDS_OF_TYPES: LazyLock<Fields> =
    LazyLock::new(|| toml::from_str(include_str!("config_fields.toml")).unwrap_or_default());

/// A row of what was found: a field, or how many more there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Odd {
    /// By its JSON pointer (RFC 6901).
    pub(crate) field: String,
    /// What stands there, in ASCII.
    pub(crate) value: String,
    /// Whether that is all of one field, which somebody could answer for.
    pub(crate) is_whole: bool,
}

/// A field with all that stands there, as somebody agrees to it: a member of a JSON object, in ASCII and
/// without white space but behind the colon, so that it is read, typed and compared in one spelling.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Member {
    pub(crate) field: String,
    pub(crate) value: String,
}

impl Odd {
    /// Of the bytes of config.json; what is no object has none.
    pub(super) fn all(bytes: &[u8]) -> Vec<Self> {
        let Ok(Value::Object(config)) = serde_json::from_slice(bytes) else {
            return Vec::new();
        };
        let fields = &*FIELDS_OF_TYPES;
        let of_type = config.get("type").and_then(Value::as_str);
        let of_type = of_type.and_then(|name| fields.types.get(name));
        let is_known = |field: &str| {
            fields.every.contains(field) || of_type.is_some_and(|of_type| of_type.contains(field))
        };
        Self::others(str::from_utf8(bytes).unwrap_or_default(), is_known)
    }

    fn others(config: &str, is_known: impl Fn(&str) -> bool) -> Vec<Self> {
        let mut others = members(config);
        others.retain(|(field, _)| !is_known(field));
        others.sort_unstable();
        let more = others.len().saturating_sub(FIELDS);
        others.truncate(FIELDS);
        let odd = |(field, value): (String, String)| Self::of(&pointer(&field), &ascii(&value));
        let mut kept: Vec<Self> = others.into_iter().map(odd).collect();
        if more > 0 {
            kept.push(Self {
                field: format!("{FILE}#"),
                value: format!("and {}", count(more, "more field")),
                is_whole: false,
            });
        }
        kept
    }

    fn of(field: &str, value: &str) -> Self {
        let (shown, said) = (shorten(field, POINTER), shorten(value, VALUE));
        Self {
            is_whole: shown == field && said == value,
            field: shown,
            value: said,
        }
    }

    /// What somebody can agree to, where it is whole.
    pub(crate) fn member(&self) -> Option<Member> {
        let (field, value) = (self.field.clone(), self.value.clone());
        self.is_whole.then_some(Member { field, value })
    }

    pub(super) fn line(&self) -> String {
        let (field, value) = (shorten(&self.field, LINE), shorten(&self.value, LINE));
        format!("  odd field  {field:?}: {value}")
    }

    pub(super) fn json(&self) -> Value {
        json!({ "field": self.field, "value": self.value })
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = ascii(&Value::from(&*self.field).to_string());
        write!(f, "{field}: {}", self.value)
    }
}

impl FromStr for Member {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let object = format!("{{{text}}}");
        let is_object = serde_json::from_str::<Map<String, Value>>(&object).is_ok();
        let members = match is_object {
            true => members(&object),
            false => Vec::new(),
        };
        let [(field, value)] = &members[..] else {
            return Err(
                "a field is written with what stands there, as `admit` shows both: '\"config.json#/my_field\": 3'",
            );
        };
        let (field, value) = (field.clone(), ascii(value));
        Ok(Self { field, value })
    }
}

impl TryFrom<String> for Member {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Member> for String {
    fn from(member: Member) -> Self {
        member.to_string()
    }
}

fn pointer(field: &str) -> String {
    format!("{FILE}#/{}", field.replace('~', "~0").replace('/', "~1"))
}

/// The members of an object, which `json` was found to be: each name as it is read, and the text of its
/// value without white space.
fn members(json: &str) -> Vec<(String, String)> {
    let (mut members, mut name, mut text) = (Vec::new(), String::new(), String::new());
    let (mut rest, mut depth) = (json.trim_ascii(), 0_usize);
    while !rest.is_empty() {
        let (token, behind) = token(rest);
        rest = behind.trim_ascii_start();
        match (token, depth) {
            ("{", 0) => depth = 1,
            (":", 1) => name = serde_json::from_str(&std::mem::take(&mut text)).unwrap_or_default(),
            ("," | "}", 1) if text.is_empty() => {}
            ("," | "}", 1) => members.push((std::mem::take(&mut name), std::mem::take(&mut text))),
            (token, _) => {
                depth = match token {
                    "{" | "[" => depth + 1,
                    "}" | "]" => depth.saturating_sub(1),
                    _ => depth,
                };
                text.push_str(token);
            }
        }
    }
    members
}

/// The first token of what is not empty, and what is behind it.
fn token(json: &str) -> (&str, &str) {
    let is_mark = |c: char| matches!(c, '{' | '}' | '[' | ']' | ',' | ':' | '"');
    let end = if json.starts_with('"') {
        end_of_text(json)
    } else if json.starts_with(is_mark) {
        1
    } else {
        let end = json.find(|c: char| is_mark(c) || c.is_ascii_whitespace());
        end.unwrap_or(json.len())
    };
    json.split_at(end)
}

/// Where the text ends that a quotation mark begins.
fn end_of_text(json: &str) -> usize {
    let mut is_escaped = false;
    let mut rest = json.bytes().enumerate().skip(1);
    let end = rest.find(|(_, byte)| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(json.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests;
