//! What a policy's card (README.md) states in its front matter. It is the author's word: nothing of
//! it is verified, and nothing of it is needed.
//!
//! <https://huggingface.co/docs/hub/model-cards#model-card-metadata>. YAML is read event by event, so
//! that aliases stay names and nothing is built but what is kept. Whatever is not plainly there (two
//! entries of one key, an alias, a mapping in place of a text, a broken document) is not stated: a
//! card is never a reason to refuse a policy.

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

/// What the author states. Untrusted text, to be escaped wherever it is shown.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Card {
    /// `license`: identifiers such as `apache-2.0`.
    pub(crate) license: Vec<String>,
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

impl Card {
    /// Reads the front matter of a README.md.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let entries = front_matter(bytes).and_then(entries).unwrap_or_default();
        let list = |key: &str| match only(&entries, key) {
            Some(Stated::Text(text)) => vec![text.clone()],
            Some(Stated::List(all)) => all.clone(),
            _ => Vec::new(),
        };
        let text = |key: &str| match only(&entries, key) {
            Some(Stated::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Self {
            license: list("license"),
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
        [
            ("licence", self.license.clone()),
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

/// What lies between the first line, `---`, and the next such line.
fn front_matter(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
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

/// The value of a key at the top.
enum Stated {
    Text(String),
    List(Vec<String>),
    /// Nothing that this reads.
    Other,
}

/// The one value of a key: of two, readers would take different ones.
fn only<'e>(entries: &'e [(String, Stated)], key: &str) -> Option<&'e Stated> {
    let mut found = entries.iter().filter(|(name, _)| name == key);
    let (_, stated) = found.next()?;
    found.next().is_none().then_some(stated)
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
                // Not a name of any field here.
                String::new()
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

/// A text that says something, and not too much. Of unquoted texts, the null of YAML's core schema
/// says nothing.
fn kept(text: &str, style: ScalarStyle) -> Option<String> {
    let is_null =
        style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    let is_short = text.chars().nth(MAX_CHARS).is_none();
    (!is_null && is_short && !text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Card {
        Card::read(format!("---\n{yaml}\n---\n# walk\n").as_bytes())
    }

    #[test]
    fn what_a_card_states_is_read() {
        // As LeRobot's `push_to_hub` writes it.
        let card = read(
            "base_model: lerobot/smolvla_base\ndatasets: lerobot/svla_so101_pickplace\n\
             library_name: lerobot\nlicense: apache-2.0\nmodel_name: smolvla\n\
             pipeline_tag: robotics\ntags:\n- robotics\n- lerobot\n- smolvla",
        );
        assert_eq!(card.license, ["apache-2.0"]);
        assert_eq!(card.datasets, ["lerobot/svla_so101_pickplace"]);
        assert_eq!(card.base_model, ["lerobot/smolvla_base"]);
        assert_eq!(card.tags, ["robotics", "lerobot", "smolvla"]);
        assert_eq!(card.library.as_deref(), Some("lerobot"));
        assert_eq!(card.pipeline_tag.as_deref(), Some("robotics"));
        assert_eq!(card.model_name.as_deref(), Some("smolvla"));
        let card = read(
            "license: other\nlicense_name: >-\n  a\n  b\nlicense_link: 'x: y'\ndatasets: [a, b]",
        );
        assert_eq!(card.license_name.as_deref(), Some("a b"));
        assert_eq!(card.license_link.as_deref(), Some("x: y"));
        assert_eq!(card.datasets, ["a", "b"]);
    }

    #[test]
    fn what_is_not_plainly_there_is_not_stated() {
        for yaml in [
            "license: apache-2.0\nlicense: mit",
            "license: apache-2.0\n\"license\": apache-2.0",
            "a: &a mit\nlicense: *a",
            "license: {name: mit}",
            "license: [[mit]]",
            "license: [mit, {a: b}]",
            "license:",
            "license: ~",
            "license: null",
            "license: ''",
            "License: mit",
            "<<: {license: mit}",
            "x: {license: mit}",
            "- license: mit",
            "license: mit\n  broken: [",
            "license: mit\n...\nlicense: gpl",
            "license",
            "",
        ] {
            assert_eq!(read(yaml).license, Vec::<String>::new(), "{yaml:?}");
        }
        for bytes in [
            &b""[..],
            b"# walk\n",
            b"---\nlicense: mit\n",
            b"---\nlicense: mit",
            b"\n---\nlicense: mit\n---\n",
            b"---\nlicense: \xff\n---\n",
            b"--- \nlicense: mit\n---\n",
        ] {
            assert_eq!(Card::read(bytes), Card::default(), "{bytes:?}");
        }
        assert_eq!(
            Card::read(b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n").license,
            ["mit"]
        );
    }

    #[test]
    fn a_bomb_of_aliases_stays_as_small_as_it_is_written() {
        let mut yaml = "a0: &a0 [x, x]\n".to_owned();
        for n in 1..100 {
            let before = n - 1;
            yaml += &format!("a{n}: &a{n} [*a{before}, *a{before}, *a{before}]\n");
        }
        let card = read(&format!("{yaml}license: mit\ntags: *a99\n"));
        assert_eq!(
            (card.license, card.tags),
            (vec!["mit".to_owned()], Vec::new())
        );
    }

    #[test]
    fn bounds_hold() {
        let long = "x".repeat(MAX_CHARS);
        assert_eq!(read(&format!("license: {long}")).license, [long.as_str()]);
        assert_eq!(
            read(&format!("license: {long}x")).license,
            Vec::<String>::new()
        );
        let tags = |n| read(&format!("tags: [{}]", "t, ".repeat(n))).tags.len();
        assert_eq!((tags(MAX_ENTRIES), tags(MAX_ENTRIES + 1)), (MAX_ENTRIES, 0));
        let nested = |n| {
            read(&format!(
                "x: {}{}\nlicense: mit",
                "[".repeat(n),
                "]".repeat(n)
            ))
        };
        assert_eq!(nested(MAX_DEPTH).license, ["mit"]);
        assert_eq!(nested(MAX_DEPTH + 2), Card::default());
        assert_eq!(nested(30_000), Card::default());
        let padded = format!("license: mit\nx: {}", "y".repeat(MAX_BYTES));
        assert_eq!(read(&padded), Card::default());
    }

    #[test]
    fn whatever_is_broken_is_survived() {
        // A generator without a crate: the 32-bit xorshift of Marsaglia (2003).
        let mut state = 2_463_534_242_u32;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize
        };
        let parts = [
            "license",
            ": ",
            "mit",
            "\n",
            "  ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a",
            "|",
            ">-",
            "'",
            "\"",
            "\\",
            "#",
            "? ",
            "!!x ",
            "!<",
            "%YAML 1.2",
            "---",
            "...",
            ",",
            "\t",
            "\u{feff}",
            "\u{85}",
            "\u{1b}",
            "@",
            "`",
            "~",
            "\r",
            "\0",
            "<<",
            "é",
            "\\u12",
            "\\x",
        ];
        for _ in 0..20_000 {
            let length = random() % 24;
            let yaml: String = (0..length).map(|_| parts[random() % parts.len()]).collect();
            read(&yaml);
        }
    }
}
