//! Reads a case: a head of `key: value` lines, an empty line, and a body of files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Directories of the corpus.
const KINDS: [&str; 4] = ["header", "envelope", "trust", "policy"];
/// What a head may say.
const KEYS: [&str; 15] = [
    "expect",
    "comment",
    "subject",
    "also",
    "notice",
    "error",
    "content",
    "limits",
    "now",
    "repo",
    "repo-type",
    "revision",
    "accepted",
    "proof",
    "floor",
];

/// One attack.
#[derive(Debug)]
pub(crate) struct Case {
    /// `kind/name`.
    pub(crate) name: String,
    head: BTreeMap<String, String>,
    parts: Vec<Part>,
}

/// One file of a body.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    File(Vec<u8>),
    Link(PathBuf),
    Fifo,
    Socket,
    Directory,
}

impl Case {
    /// The whole corpus.
    pub(crate) fn all() -> Vec<Self> {
        // The command reads the same cases, from its own crate.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../verify/tests/corpus");
        let entries = KINDS
            .iter()
            .flat_map(|kind| fs::read_dir(root.join(kind)).unwrap());
        let mut cases: Vec<Self> = entries
            .map(|entry| Self::read(&entry.unwrap().path()))
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases
    }

    fn read(path: &Path) -> Self {
        let kind = path
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap();
        let name = format!("{kind}/{}", path.file_stem().unwrap().to_str().unwrap());
        let text = fs::read_to_string(path).unwrap();
        let (head, body) = text
            .split_once("\n\n")
            .unwrap_or_else(|| (text.trim_end(), ""));
        let head: BTreeMap<String, String> = head.lines().map(|line| pair(line, ": ")).collect();
        let unknown = head.keys().find(|key| !KEYS.contains(&key.as_str()));
        assert_eq!(unknown, None, "{name}: in its head");
        Self {
            name,
            head,
            parts: parts(body),
        }
    }

    pub(crate) fn kind(&self) -> &str {
        self.name.split('/').next().unwrap()
    }

    pub(crate) fn head(&self, key: &str) -> Option<&str> {
        self.head.get(key).map(String::as_str)
    }

    /// The body's one file, of a case without titles.
    pub(crate) fn body(&self) -> &[u8] {
        self.file("").unwrap_or_default()
    }

    pub(crate) fn file(&self, path: &str) -> Option<&[u8]> {
        let part = self
            .parts
            .iter()
            .find(|part| part.path == Path::new(path))?;
        match &part.what {
            What::File(bytes) => Some(bytes),
            other => panic!("{}: {path} is {other:?}", self.name),
        }
    }

    /// The files below `folder`, by their paths there.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = (&Path, &What)> {
        let below = move |part: &Part| part.path.starts_with(folder);
        let parts = self.parts.iter().filter(move |part| below(part));
        parts.map(move |part| (part.path.strip_prefix(folder).unwrap(), &part.what))
    }
}

fn pair(line: &str, separator: &str) -> (String, String) {
    let (key, value) = line
        .split_once(separator)
        .unwrap_or_else(|| panic!("no {separator:?}: {line}"));
    (key.to_owned(), value.to_owned())
}

fn parts(body: &str) -> Vec<Part> {
    let (untitled, titled) = match body.strip_prefix("--- ") {
        Some(titled) => ("", titled),
        None => body.split_once("\n--- ").unwrap_or((body, "")),
    };
    let untitled = Part {
        path: PathBuf::new(),
        what: What::File(bytes(untitled)),
    };
    let titled = titled
        .split("\n--- ")
        .filter(|part| !part.is_empty())
        .map(part);
    std::iter::once(untitled).chain(titled).collect()
}

fn part(text: &str) -> Part {
    let (title, content) = text.split_once('\n').unwrap_or((text, ""));
    let (what, path) = pair(title, " ");
    let (path, what) = match what.as_str() {
        "file" => (path, What::File(bytes(content))),
        "fifo" => (path, What::Fifo),
        "socket" => (path, What::Socket),
        "directory" => (path, What::Directory),
        "link" => {
            let (path, target) = pair(&path, " -> ");
            (path, What::Link(target.into()))
        }
        other => panic!("{other:?} is no kind of file"),
    };
    Part {
        path: OsString::from_vec(unescaped(&path)).into(),
        what,
    }
}

/// What the lines of one file stand for; consecutive `base64` lines are encoded as one.
fn bytes(lines: &str) -> Vec<u8> {
    let (mut bytes, mut to_encode) = (Vec::new(), Vec::new());
    for line in lines.lines() {
        match line.strip_prefix("base64 ") {
            Some(line) => to_encode.extend(atom(line)),
            None => {
                bytes.extend(STANDARD.encode(std::mem::take(&mut to_encode)).into_bytes());
                bytes.extend(atom(line));
            }
        }
    }
    bytes.extend(STANDARD.encode(to_encode).into_bytes());
    bytes
}

fn atom(line: &str) -> Vec<u8> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        ">" => unescaped(rest),
        "|" => [&unescaped(rest)[..], b"\n"].concat(),
        "hex" => hex(&rest.replace(' ', "")),
        "u64" => rest.parse::<u64>().unwrap().to_le_bytes().to_vec(),
        "repeat" => {
            let (count, line) = pair(rest, " ");
            atom(&line).repeat(count.parse().unwrap())
        }
        other => panic!("{other:?} begins no line"),
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        rest = match escape.strip_prefix('\\') {
            Some(after) => {
                bytes.push(b'\\');
                after
            }
            None => {
                bytes.extend(hex(&escape[1..3]));
                &escape[3..]
            }
        };
    }
    bytes.extend(rest.as_bytes());
    bytes
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}
