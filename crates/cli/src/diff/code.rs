//! Code, line by line.

use similar::{Change, ChangeTag, TextDiff};

use super::comparison::{Closed, CodeChanges, Hunk, Inside};
use super::files::Version;
use super::{SHOWN, TEXT_BYTES};
use crate::failure::Failure;
use crate::text::{shorten, visible};

/// Characters of a line that are shown.
const WIDTH: usize = 200;
/// Lines around a change.
const CONTEXT: usize = 3;

/// Compares two versions of a text, one of which may be no file at all.
pub(super) fn compare(a: Option<&Version>, b: Option<&Version>) -> Result<Inside, Failure> {
    match (text(a)?, text(b)?) {
        (Ok(before), Ok(after)) => Ok(Inside::Code(changes(&before, &after))),
        (before, after) => Ok(Inside::closed(before.err(), after.err())),
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

fn changes(before: &str, after: &str) -> CodeChanges {
    // The search gives up the shortest difference before it takes long, not what is true of it: no
    // clock is needed, and the same files give the same lines.
    let diff = TextDiff::from_lines(before, after);
    let mut unified = diff.unified_diff();
    unified.context_radius(CONTEXT);
    let (mut hunks, mut shown_lines, mut not_shown) = (Vec::new(), 0, 0);
    for hunk in unified.iter_hunks() {
        let changes = hunk.iter_changes();
        let mut lines: Vec<String> = changes.flat_map(|change| shown(&change)).collect();
        let room = SHOWN.saturating_sub(shown_lines);
        not_shown += lines.len().saturating_sub(room);
        lines.truncate(room);
        shown_lines += lines.len();
        if !lines.is_empty() {
            let header = hunk.header().to_string();
            hunks.push(Hunk { header, lines });
        }
    }
    CodeChanges { hunks, not_shown }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_alike_is_not_the_letter() {
        let hunk = changes("if admin:\n", "if \u{430}dmin:\n").hunks.remove(0);
        assert_eq!(hunk.header, "@@ -1 +1 @@");
        assert_eq!(hunk.lines, ["-if admin:", "+if \\u{430}dmin:"]);
        assert_eq!(changes("a\n", "a\r\n").hunks[0].lines[1], "+a\\r");
    }

    #[test]
    fn the_end_of_the_file_counts() {
        let lines = &changes("a\n", "a").hunks[0].lines;
        assert_eq!(lines[2], "\\ no line end at the end of the file");
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let text: String = (0..SHOWN + 7).map(|n| format!("{n}\n")).collect();
        let changes = changes("", &text);
        assert_eq!(
            (changes.hunks[0].lines.len(), changes.not_shown),
            (SHOWN, 7)
        );
        let wide = super::changes("", &"x".repeat(WIDTH + 1));
        let line = &wide.hunks[0].lines[0];
        assert!(line.ends_with("xx… and 1 more character"), "{line}");
    }
}
