//! What ARCHITECTURE.md promises of the source itself, counted.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            let below = entry
                .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
                .unwrap();
            found.extend(sources(below.to_str().unwrap()));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push((entry.clone(), fs::read_to_string(&entry).unwrap()));
        }
    }
    found
}

/// Lines of code before the tests, comments left out.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end]
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

#[test]
fn verified_values_are_made_in_six_places() {
    let callers: Vec<String> = sources("crates/verify/src")
        .iter()
        .flat_map(|(path, text)| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            code(text)
                .filter(|line| line.contains("Verified::assertion("))
                .map(move |_| name.clone())
                .collect::<Vec<_>>()
        })
        .collect();
    let mut callers = callers;
    callers.sort();
    assert_eq!(
        callers,
        [
            "claim.rs",
            "demand.rs",
            "policy.rs",
            "policy.rs",
            "trust.rs",
            "trust.rs"
        ],
        "read each new caller as an auditor would"
    );
}

#[test]
fn unsafe_code_is_in_two_places() {
    let mut places: Vec<String> = sources("crates")
        .iter()
        .chain(&sources("examples"))
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|(_, text)| {
            code(text).any(|line| {
                line.contains("unsafe {")
                    || line.contains("unsafe fn")
                    || line.contains("unsafe impl")
            })
        })
        .map(|(path, _)| path.to_str().unwrap().to_owned())
        .collect();
    places.sort();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(places[0].ends_with("crates/c/src/raw.rs"));
    assert!(places[1].ends_with("crates/verify/src/memory/kernel.rs"));
}

#[test]
fn only_memory_asks_the_kernel() {
    for (path, text) in sources("crates/verify/src") {
        let asks = |line: &str| {
            let words = ["Instant::now", "kernel_text(", "CWD", "thread::Builder"];
            words.iter().any(|word| line.contains(word))
        };
        let is_memory = path.components().any(|part| part.as_os_str() == "memory");
        let asking: Vec<_> = code(&text).filter(|line| asks(line)).collect();
        assert!(asking.is_empty() || is_memory, "{path:?}: {asking:?}");
    }
}

#[test]
fn proof_types_cannot_be_copied_or_read_from_anything() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/verified.rs")).unwrap();
    let derive = text[..text.find("pub struct Verified<T, E = Evidence>").unwrap()]
        .rfind("#[derive(")
        .unwrap();
    assert!(text[derive..].starts_with("#[derive(Debug)]\npub struct Verified<T, E = Evidence>"));
    assert!(!text.contains("DerefMut"));
}
