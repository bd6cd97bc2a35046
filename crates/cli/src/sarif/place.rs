//! Where in a policy a finding is: a file, and a line where the finding names a field of JSON.

use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use tensorgate_verify::{FilePath, MANIFEST_FILE};

use super::pointer;
use crate::disk;

/// The name for the directory that URIs are relative to.
pub(super) const BASE: &str = "%SRCROOT%";
/// Bytes of a JSON file in which a line is looked for.
const MOST: u64 = 4 << 20;

/// The place of a finding. Findings that are about the manifest, as `signatures` is, are at the
/// manifest; a code scanner shows nothing that is nowhere.
pub(super) fn location(subject: &str, directory: Option<&Path>) -> Value {
    // A name may have a `#` itself: what lies there goes first.
    let (file, inside) = match subject.split_once('#') {
        Some(parts) if !lies_in(directory, subject) => parts,
        _ => (subject, ""),
    };
    let (file, inside) = match lies_in(directory, file) || is_policy_name(file) {
        true => (file, inside),
        false => (MANIFEST_FILE, ""),
    };
    let mut physical = json!({ "artifactLocation": { "uri": uri(file), "uriBaseId": BASE } });
    if let Some(line) = line(file, inside, directory) {
        physical["region"] = json!({ "startLine": line });
    }
    json!({
        "physicalLocation": physical,
        "logicalLocations": [{ "fullyQualifiedName": subject }],
    })
}

/// Whether something of this name lies in the directory: no name leads out of it.
fn lies_in(directory: Option<&Path>, name: &str) -> bool {
    let inside = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let there = |directory: &Path| directory.join(name).symlink_metadata().is_ok();
    inside && directory.is_some_and(there)
}

/// A file that is missing has a name all the same; `signatures` and `expires` are parts of a manifest.
fn is_policy_name(name: &str) -> bool {
    name.contains('.') && name.parse::<FilePath>().is_ok()
}

/// A relative reference (RFC 3986): bytes that are not unreserved are percent-encoded, the colon of
/// what would else be a scheme included.
fn uri(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The line of a JSON pointer, as far as the file can be read.
fn line(file: &str, inside: &str, directory: Option<&Path>) -> Option<usize> {
    if !inside.starts_with('/') || !file.ends_with(".json") {
        return None;
    }
    let path = file.parse::<FilePath>().ok()?;
    let directory = disk::open_directory(directory?).ok()?;
    let mut bytes = Vec::new();
    let opened = directory.open(&path).ok()?.into_file();
    opened.take(MOST).read_to_end(&mut bytes).ok()?;
    pointer::line(&bytes, inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_or_says_another_scheme() {
        assert_eq!(
            uri("a b/\u{202e}#?%\n.json"),
            "a%20b/%E2%80%AE%23%3F%25%0A.json"
        );
        assert_eq!(uri("javascript:alert(1)"), "javascript%3Aalert%281%29");
        let of = |subject: &str| {
            let place = location(subject, None);
            let uri = &place["physicalLocation"]["artifactLocation"]["uri"];
            uri.as_str().unwrap().to_owned()
        };
        for outside in [
            "../../etc/passwd",
            "/etc/passwd",
            "a//b.json",
            "signatures",
            "",
            ".",
        ] {
            assert_eq!(of(outside), MANIFEST_FILE, "{outside}");
        }
        assert_eq!(of("model.safetensors#a.weight"), "model.safetensors");
        assert_eq!(of("config.json#/a"), "config.json");
    }
}
