//! What a policy's card (README.md) states in its front matter. It is the author's word: nothing of
//! it is verified, and nothing of it is needed.
//!
//! <https://huggingface.co/docs/hub/model-cards#model-card-metadata>. YAML is read event by event, so
//! that aliases stay names and nothing is built but what is kept. Whatever is not plainly there (two
//! entries of one key, an alias, a mapping in place of a text, a broken document) is not stated, and
//! never a reason to refuse a policy: but for its licence, of which a person has to know what it is.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Serialize;
use serde_json::{Value, json};

/// The file that holds it.
pub(super) const FILE: &str = "README.md";
/// Bytes of a front matter that are read; those of published policies have about 500.
const MAX_BYTES: usize = 64 << 10;
/// Lists and mappings inside each other; metadata of evaluations (`model-index`) has seven.
const MAX_DEPTH: usize = 32;
/// Characters of one value; the address of a licence is the longest.
const MAX_CHARS: usize = 512;
/// Entries of one list; the tags of a model in many languages are about a hundred.
const MAX_ENTRIES: usize = 256;
/// The key of a merge (<https://yaml.org/type/merge.html>), and what stands here for one that is no text.
const ANY_KEY: &str = "<<";
const UNREADABLE: &str = "one is stated, in a form that is not read here";

/// What the author states. Untrusted text, to be escaped wherever it is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Card {
    /// `license`: identifiers such as `apache-2.0`.
    pub(crate) license: Vec<String>,
    /// The same as somebody agrees to it.
    #[serde(skip)]
    pub(crate) terms: Terms,
    /// `license_name`, where `license` is `other`.
    pub(crate) license_name: Option<String>,
    /// `license_link`.
    pub(crate) license_link: Option<String>,
    /// `datasets`: what it was trained on.
    pub(crate) datasets: Vec<String>,
    /// `base_model`: what it was made from.
    pub(crate) base_model: Vec<String>,
    /// `tags`.
    pub(crate) tags: Vec<String>,
    /// `library_name`.
    pub(crate) library: Option<String>,
    /// `pipeline_tag`.
    pub(crate) pipeline_tag: Option<String>,
    /// `model_name`.
    pub(crate) model_name: Option<String>,
}

/// The licences of a card, as somebody agrees to them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Terms {
    /// There is no card, or it has no such entry.
    #[default]
    Unstated,
    /// Identifiers; of `other`, with the name and the address that it goes by.
    Stated(Vec<String>),
    /// Something is stated, and what it is cannot be said: nobody can agree to it.
    Unreadable,
}

impl Card {
    /// Reads the front matter of a README.md.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let Some(front_matter) = FrontMatter::of(bytes) else {
            return Self::default();
        };
        let entries = front_matter.0.and_then(entries);
        let terms = entries.as_deref().map_or(Terms::Unreadable, Terms::of);
        let entries = entries.unwrap_or_default();
        let list = |key: &str| match stated(&entries, key) {
            Ok(Stated::Text(text)) => vec![text.clone()],
            Ok(Stated::List(all)) => all.clone(),
            _ => Vec::new(),
        };
        let text = |key: &str| match stated(&entries, key) {
            Ok(Stated::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Self {
            license: list("license"),
            terms,
            license_name: text("license_name"),
            license_link: text("license_link"),
            datasets: list("datasets"),
            base_model: list("base_model"),
            tags: list("tags"),
            library: text("library_name"),
            pipeline_tag: text("pipeline_tag"),
            model_name: text("model_name"),
        }
    }

    /// What it says, under the word for it.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        let license = match self.terms {
            Terms::Unreadable => vec![UNREADABLE.to_owned()],
            _ => self.license.clone(),
        };
        [
            ("licence", license),
            ("licence name", one(&self.license_name)),
            ("licence link", one(&self.license_link)),
            ("datasets", self.datasets.clone()),
            ("base model", self.base_model.clone()),
            ("tags", self.tags.clone()),
            ("library", one(&self.library)),
            ("task", one(&self.pipeline_tag)),
            ("model name", one(&self.model_name)),
        ]
        .into_iter()
        .filter(|(_, words)| !words.is_empty())
        .map(|(name, words)| (name, words.join(", ")))
        .collect()
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        json!(self)
    }
}

impl Terms {
    fn of(entries: &[(String, Stated)]) -> Self {
        // Readers that merge mappings, or follow an alias, may find a licence there.
        if entries.iter().any(|(name, _)| name == ANY_KEY) {
            return Self::Unreadable;
        }
        let licences = match stated(entries, "license") {
            Ok(Stated::Nothing) => return Self::Unstated,
            Ok(Stated::List(all)) if all.is_empty() => return Self::Unstated,
            Ok(Stated::Text(text)) => vec![text.clone()],
            Ok(Stated::List(all)) => all.clone(),
            _ => return Self::Unreadable,
        };
        match licences
            .into_iter()
            .map(|one| named(one, entries))
            .collect()
        {
            Some(licences) => Self::Stated(licences),
            None => Self::Unreadable,
        }
    }
}

/// `other` is as many licences as there are names for it.
fn named(licence: String, entries: &[(String, Stated)]) -> Option<String> {
    if licence != "other" {
        return Some(licence);
    }
    let mut words = Vec::new();
    for key in ["license_name", "license_link"] {
        match stated(entries, key) {
            Ok(Stated::Nothing) => {}
            Ok(Stated::Text(text)) => words.push(&**text),
            _ => return None,
        }
    }
    match words.is_empty() {
        true => Some(licence),
        false => Some(format!("{licence}: {}", words.join(", "))),
    }
}

/// What lies between the first line, `---`, and the next such line; nothing where it cannot be read.
struct FrontMatter<'b>(Option<&'b str>);

impl<'b> FrontMatter<'b> {
    /// `None` where no reader would find any.
    fn of(bytes: &'b [u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        // The Hub's own reader passes over white space.
        let is_there = bytes.trim_ascii_start().starts_with(b"---");
        is_there.then(|| Self(Self::text(bytes)))
    }

    fn text(bytes: &'b [u8]) -> Option<&'b str> {
        let start = ["---\n", "---\r\n"]
            .iter()
            .find_map(|line| bytes.strip_prefix(line.as_bytes()))?;
        let start = &start[..start.len().min(MAX_BYTES)];
        let mut end = 0;
        for line in start.split_inclusive(|byte| *byte == b'\n') {
            if line.trim_ascii_end() == b"---" {
                return str::from_utf8(&start[..end]).ok();
            }
            end += line.len();
        }
        None
    }
}

/// The value of a key at the top.
enum Stated {
    Text(String),
    List(Vec<String>),
    /// YAML's null, or a text of no characters.
    Nothing,
    /// Nothing that this reads.
    Other,
}

/// The one value of a key, or that there are two, of which readers would take different ones.
fn stated<'e>(entries: &'e [(String, Stated)], key: &str) -> Result<&'e Stated, ()> {
    let mut found = entries.iter().filter(|(name, _)| name == key);
    match (found.next(), found.next()) {
        (None, _) => Ok(&Stated::Nothing),
        (Some((_, stated)), None) => Ok(stated),
        _ => Err(()),
    }
}

/// The entries of the mapping at the top, or `None` where the whole is no such thing.
fn entries(yaml: &str) -> Option<Vec<(String, Stated)>> {
    let mut events = Events(Parser::new_from_str(yaml));
    loop {
        match events.next()? {
            Event::StreamStart | Event::DocumentStart(_) => {}
            Event::MappingStart(..) => break,
            _ => return None,
        }
    }
    let mut entries = Vec::new();
    loop {
        let key = match events.next()? {
            Event::MappingEnd => break,
            Event::Scalar(text, ..) => text.into_owned(),
            other => {
                events.skip(&other)?;
                ANY_KEY.to_owned()
            }
        };
        entries.push((key, events.value()?));
    }
    match (events.next()?, events.next()?) {
        (Event::DocumentEnd, Event::StreamEnd) => Some(entries),
        _ => None,
    }
}

/// What is read, one step after another.
struct Events<'y>(Parser<'y, saphyr_parser::StrInput<'y>>);

impl<'y> Events<'y> {
    fn next(&mut self) -> Option<Event<'y>> {
        Some(self.0.next()?.ok()?.0)
    }

    fn value(&mut self) -> Option<Stated> {
        match self.next()? {
            Event::SequenceStart(..) => self.list(),
            Event::Scalar(text, style, ..) => Some(match kept(&text, style) {
                Some(text) => Stated::Text(text),
                None if says_nothing(&text, style) => Stated::Nothing,
                None => Stated::Other,
            }),
            other => self.skip(&other).map(|()| Stated::Other),
        }
    }

    /// A list of texts; one that has anything else, or too much, is none.
    fn list(&mut self) -> Option<Stated> {
        let (mut all, mut is_plain) = (Vec::new(), true);
        loop {
            match self.next()? {
                Event::SequenceEnd => break,
                Event::Scalar(text, style, ..) => match kept(&text, style) {
                    Some(text) if all.len() < MAX_ENTRIES => all.push(text),
                    _ => is_plain = false,
                },
                other => {
                    self.skip(&other)?;
                    is_plain = false;
                }
            }
        }
        Some(if is_plain {
            Stated::List(all)
        } else {
            Stated::Other
        })
    }

    /// Passes over the rest of what began with this.
    fn skip(&mut self, begun: &Event<'_>) -> Option<()> {
        let mut depth = opens(begun);
        while depth > 0 {
            let event = self.next()?;
            depth = match event {
                Event::SequenceEnd | Event::MappingEnd => depth - 1,
                Event::StreamEnd => return None,
                other => depth + opens(&other),
            };
            if depth > MAX_DEPTH {
                return None;
            }
        }
        Some(())
    }
}

const fn opens(event: &Event<'_>) -> usize {
    match event {
        Event::SequenceStart(..) | Event::MappingStart(..) => 1,
        _ => 0,
    }
}

/// A text that says something, and not too much.
fn kept(text: &str, style: ScalarStyle) -> Option<String> {
    let is_short = text.chars().nth(MAX_CHARS).is_none();
    (is_short && !says_nothing(text, style)).then(|| text.to_owned())
}

/// Of unquoted texts, the null of YAML's core schema says nothing.
fn says_nothing(text: &str, style: ScalarStyle) -> bool {
    let is_null = || matches!(text, "~" | "null" | "Null" | "NULL");
    text.is_empty() || style == ScalarStyle::Plain && is_null()
}

#[cfg(test)]
mod tests;
