//! The messages of the source as a set: each hint is printed by a test, and all are in house words.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A text in the source, and what stands before it.
struct Literal {
    file: PathBuf,
    text: String,
    before: String,
    /// The function that it is in.
    function: String,
}

/// Files below a folder of this crate.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_str().unwrap().ends_with(ending) => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    files
}

/// What ships of a source file, and its tests, which may be a file of their own.
fn halves<'t>(file: &Path, text: &'t str) -> (&'t str, &'t str) {
    match file.ends_with("tests.rs") {
        true => ("", text),
        false => text
            .split_once("#[cfg(test)]\nmod tests {")
            .unwrap_or((text, "")),
    }
}

/// Every text of the command's source that has a space in it: a word alone is no message.
fn literals() -> Vec<Literal> {
    let mut all = Vec::new();
    for file in files("src", ".rs") {
        let source = fs::read_to_string(&file).unwrap();
        let lines = halves(&file, &source).0.lines();
        let code: Vec<&str> = lines
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let code = code.join("\n").replace("'\"'", "'q'");
        let mut rest = code.as_str();
        let mut before = String::new();
        while let Some((plain, after)) = rest.split_once('"') {
            before.push_str(plain);
            let (text, after) = literal(after);
            let function = before.rsplit("fn ").next().unwrap_or_default();
            let function = function.split(['(', '<']).next().unwrap_or_default();
            if text.trim().contains(' ') {
                all.push(Literal {
                    file: file.clone(),
                    text: text.clone(),
                    before: before.trim_end().to_owned(),
                    function: function.to_owned(),
                });
            }
            before.push_str("\"\"");
            rest = after;
        }
    }
    all
}

/// A text to its end, with its escapes read, and what comes behind.
fn literal(source: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = source.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (text, &source[at + 1..]),
            '\\' => match characters.next() {
                Some((at, '\n')) => {
                    let rest = &source[at + 1..];
                    let gap = rest.len() - rest.trim_start().len();
                    for _ in 0..rest[..gap].chars().count() {
                        characters.next();
                    }
                }
                Some((_, 'n')) => text.push('\n'),
                Some((_, other)) => text.push(other),
                None => {}
            },
            other => text.push(other),
        }
    }
    (text, "")
}

/// Whether somebody is told what to do by it.
fn is_hint(literal: &Literal) -> bool {
    const CALLS: [&str; 6] = [
        "hint(",
        "hint(format!(",
        "hint(&format!(",
        "hint = ",
        "hint = format!(",
        "hint: Some(",
    ];
    let before = literal.before.as_str();
    let called = CALLS.iter().any(|call| before.ends_with(call.trim_end()));
    let in_hints = literal.file.ends_with("hints.rs") || literal.function.starts_with("hint");
    called || in_hints || is_constant_hint(literal)
}

/// `const NAME: &str =` of a name that is given as a hint in this file.
fn is_constant_hint(literal: &Literal) -> bool {
    let Some(before) = literal.before.strip_suffix(": &str =") else {
        return false;
    };
    let name = before.rsplit(' ').next().unwrap();
    let source = fs::read_to_string(&literal.file).unwrap();
    source.contains(&format!("hint({name})"))
}

/// What tests have to say, the text of each continued line in one.
fn tests() -> String {
    let mut text = String::new();
    let files = [files("tests", ".rs"), files("tests/cmd", "")].concat();
    for file in files {
        text.push_str(&fs::read_to_string(file).unwrap());
    }
    for file in files_of_units() {
        text.push_str(halves(&file, &fs::read_to_string(&file).unwrap()).1);
    }
    let mut joined = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\\\n") {
        joined.push_str(before);
        rest = after.trim_start();
    }
    joined.push_str(rest);
    joined.replace("\\\"", "\"")
}

fn files_of_units() -> Vec<PathBuf> {
    files("src", ".rs")
}

/// The longest part that is the same whatever is filled in.
fn fixed(text: &str) -> &str {
    let parts = text.split('{').map(|part| part.rsplit('}').next().unwrap());
    parts.max_by_key(|part| part.len()).unwrap().trim()
}

/// Hints that no test can have printed here, and why.
const NOT_TRIED: [(&str, &str); 5] = [
    (
        "run as its owner, or name another: --store DIR",
        "root may read every store",
    ),
    ("run as its owner", "root may write to every store"),
    (
        "keep the memory elsewhere: --state DIR",
        "a read-only mount needs a namespace",
    ),
    (
        "log in as the user of the node, or set it; without a hand-off weights go over topics",
        "root needs no runtime directory",
    ),
    (
        "set TENSORGATE_STORE, or give --state DIR",
        "root needs no home",
    ),
];

#[test]
fn each_hint_is_printed_by_a_test() {
    let tests = tests();
    let hints: Vec<Literal> = literals().into_iter().filter(is_hint).collect();
    assert!(hints.len() > 120, "only {} were found", hints.len());
    let known: BTreeSet<&str> = NOT_TRIED.iter().map(|(hint, _)| *hint).collect();
    let all: BTreeSet<&str> = hints.iter().map(|hint| hint.text.as_str()).collect();
    let gone: Vec<_> = known.difference(&all).collect();
    assert!(gone.is_empty(), "no hints any more: {gone:?}");
    let missing: Vec<String> = hints
        .iter()
        .filter(|hint| !known.contains(hint.text.as_str()) && !tests.contains(fixed(&hint.text)))
        .map(|hint| format!("{}: {}", hint.file.display(), hint.text))
        .collect();
    assert!(
        missing.is_empty(),
        "no test prints these:\n{}",
        missing.join("\n")
    );
}

/// What happened, without blame; what to do, without a full stop.
#[test]
fn messages_are_in_house_words() {
    const BANNED: [&str; 7] = [
        "invalid",
        "please",
        "sorry",
        "oops",
        "unsafe",
        "failed to ",
        "unable to ",
    ];
    let wrong = |literal: &Literal| {
        // A word of the Content Security Policy's.
        let text = literal.text.to_lowercase().replace("'unsafe-inline'", "");
        let is_safe = text
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == "safe");
        let banned = is_safe || BANNED.iter().any(|word| text.contains(word));
        let stop = is_hint(literal) && text.ends_with('.');
        let capital = is_hint(literal)
            && literal.text.starts_with(|c: char| c.is_uppercase())
            && !["NaN", "OMS", "SSL_", "HF_", "NAME."]
                .iter()
                .any(|name| literal.text.starts_with(name));
        banned || stop || capital
    };
    let wrong: Vec<String> = literals()
        .iter()
        .filter(|literal| wrong(literal))
        .map(|literal| format!("{}: {}", literal.file.display(), literal.text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
