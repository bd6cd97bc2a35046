//! Code, line by line.

use serde_json::{Map, json};
use similar::{Change, ChangeTag, TextDiff};

use super::detail::{Closed, Detail};
use super::files::Version;
use super::{SHOWN, TEXT_BYTES};
use crate::failure::Failure;
use crate::text::{count, shorten};

/// Characters of a line that are shown.
const WIDTH: usize = 200;
/// Lines around a change.
const CONTEXT: usize = 3;

/// Compares two versions of a text, one of which may be no file at all.
pub(super) fn compare(a: Option<&Version>, b: Option<&Version>) -> Result<Detail, Failure> {
    match (text(a)?, text(b)?) {
        (Ok(before), Ok(after)) => Ok(detail(&before, &after)),
        (before, after) => Ok(Detail::closed(before.err(), after.err())),
    }
}

fn text(version: Option<&Version>) -> Result<Result<String, Closed>, Failure> {
    let Some(version) = version else {
        return Ok(Ok(String::new()));
    };
    let bytes = version.small(TEXT_BYTES)?;
    Ok(bytes
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| Closed::new("not text in UTF-8"))))
}

fn detail(before: &str, after: &str) -> Detail {
    // The search gives up the shortest difference before it takes long, not what is true of it: no
    // clock is needed, and the same files give the same lines.
    let diff = TextDiff::from_lines(before, after);
    let mut unified = diff.unified_diff();
    unified.context_radius(CONTEXT);
    let (mut lines, mut hunks, mut more) = (Vec::new(), Vec::new(), 0);
    for hunk in unified.iter_hunks() {
        let all: Vec<String> = hunk
            .iter_changes()
            .flat_map(|change| shown(&change))
            .collect();
        let room = SHOWN.saturating_sub(lines.len());
        more += all.len().saturating_sub(room);
        if room > 0 {
            let header = hunk.header().to_string();
            let shown: Vec<&String> = all.iter().take(room).collect();
            hunks.push(json!({ "header": header, "lines": shown }));
            lines.push(header);
            lines.extend(shown.into_iter().cloned());
        }
    }
    if more > 0 {
        lines.push(format!("and {} more", count(more, "line")));
    }
    let mut json = Map::new();
    json.insert("hunks".into(), hunks.into());
    json.insert("lines_not_shown".into(), more.into());
    Detail { lines, json }
}

/// One line as a unified diff has it, and a word where it does not end as lines do.
fn shown(change: &Change<&str>) -> Vec<String> {
    let sign = match change.tag() {
        ChangeTag::Delete => '-',
        ChangeTag::Insert => '+',
        ChangeTag::Equal => ' ',
    };
    let value = change.value();
    let value = value.strip_suffix('\n').unwrap_or(value);
    let mut lines = vec![format!("{sign}{}", shorten(&visible(value), WIDTH))];
    if change.missing_newline() {
        lines.push("\\ no line end at the end of the file".to_owned());
    }
    lines
}

/// In code, a letter of another alphabet that looks like the one that is meant is another name, and
/// what is not seen may still count: whatever is not printable ASCII is written as an escape.
fn visible(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            ' '..='~' => out.push(c),
            other => out.extend(other.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_alike_is_not_the_letter() {
        assert_eq!(
            detail("if admin:\n", "if \u{430}dmin:\n").lines,
            ["@@ -1 +1 @@", "-if admin:", "+if \\u{430}dmin:"]
        );
        assert_eq!(detail("a\n", "a\r\n").lines[2], "+a\\r");
    }

    #[test]
    fn the_end_of_the_file_counts() {
        let lines = detail("a\n", "a").lines;
        assert_eq!(lines[3], "\\ no line end at the end of the file");
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let text: String = (0..SHOWN + 7).map(|n| format!("{n}\n")).collect();
        let lines = detail("", &text).lines;
        assert_eq!(lines.len(), 1 + SHOWN + 1);
        assert_eq!(lines.last().map(String::as_str), Some("and 7 lines more"));
        let wide = detail("", &"x".repeat(WIDTH + 1)).lines;
        assert!(wide[1].ends_with("xx… and 1 more character"), "{wide:?}");
    }
}
