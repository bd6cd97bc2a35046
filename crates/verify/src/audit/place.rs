//! Where in a document something stands: a JSON pointer (RFC 6901), written only when it is shown.

use std::fmt;

use serde_json::Value;

use crate::manifest_rules::TEXT_BYTES;

/// Text of a document in quotes, in a message: no more of it than a person reads.
pub(super) struct Quoted<'a>(pub(super) &'a str);

/// A place inside a document.
///
/// A chain of borrowed names: a document of many values below one long name costs no more than
/// it has bytes.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// The text before the pointer: `config.json#`.
    Root(&'a str),
    Key(&'a Self, &'a str),
    Index(&'a Self, usize),
}

/// The first 64 bytes, and whether there are more.
fn shown(text: &str) -> (&str, &str) {
    let start = (0..=64).rev().find_map(|end| text.get(..end));
    match start.filter(|start| start.len() < text.len()) {
        Some(start) => (start, "…"),
        None => (text, ""),
    }
}

/// A name as a JSON pointer has it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl Place<'_> {
    /// Every byte of it, by which something is declared, unless there are more than a manifest takes:
    /// cut as it is shown, two places could have one name.
    pub(super) fn whole(self) -> Option<String> {
        let (parent, part) = match self {
            Self::Root(text) => return Some(text.to_owned()),
            Self::Key(_, key) if key.len() > TEXT_BYTES => return None,
            Self::Key(parent, key) => (parent, escaped(key)),
            Self::Index(parent, index) => (parent, index.to_string()),
        };
        let mut whole = parent.whole()?;
        whole.push('/');
        whole.push_str(&part);
        (whole.len() <= TEXT_BYTES).then_some(whole)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, more) = shown(self.0);
        write!(f, "{start:?}{more}")
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(text) => f.write_str(text),
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
            Self::Key(parent, key) => {
                let (start, more) = shown(key);
                write!(f, "{parent}/{}{more}", escaped(start))
            }
        }
    }
}

/// Visits every value below `value`, with the key that it stands under; the elements of a list
/// stand under the list's. Where `visit` says `false`, what is below is not visited.
///
/// It recurses as deep as the document, which `serde_json` bounds (128).
pub(super) fn walk(
    value: &Value,
    place: Place<'_>,
    key: &str,
    visit: &mut dyn FnMut(Place<'_>, &str, &Value) -> bool,
) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let place = Place::Key(&place, key);
                if visit(place, key, value) {
                    walk(value, place, key, visit);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let place = Place::Index(&place, index);
                if visit(place, key, item) {
                    walk(item, place, key, visit);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped_and_bounded() {
        let root = Place::Root("a.json#");
        let list = Place::Key(&root, "a/b~c");
        assert_eq!(Place::Index(&list, 7).to_string(), "a.json#/a~1b~0c/7");
        let long = "é".repeat(1 << 20);
        let shown = Place::Key(&root, &long).to_string();
        assert!(shown.len() < 100 && shown.ends_with("é…"), "{shown}");
    }

    #[test]
    fn a_place_is_declared_by_every_byte_of_it_or_not_at_all() {
        let root = Place::Root("a.json#");
        let list = Place::Key(&root, "a/b~c");
        let item = Place::Index(&list, 7);
        assert_eq!(item.whole().unwrap(), "a.json#/a~1b~0c/7");
        let most = "x".repeat(TEXT_BYTES - "a.json#/".len());
        let whole = Place::Key(&root, &most).whole().unwrap();
        assert_eq!(whole, format!("a.json#/{most}"));
        assert_eq!(Place::Key(&root, &format!("{most}x")).whole(), None);
        // Of many short names, too, and of those that grow as they are escaped.
        assert_eq!(Place::Key(&Place::Key(&root, &most), "y").whole(), None);
        assert_eq!(Place::Key(&root, &"~".repeat(600)).whole(), None);
    }
}
