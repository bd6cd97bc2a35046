//! A stranger's code or values on the terminal, whole and a page at a time: what ran past unread was not
//! shown, nor was a letter that looks like another.

use std::path::Path;

use crate::failure::Failure;
use crate::output::say;
use crate::terminal;
use crate::text::{thousands, visible};

/// Rows of a page; a terminal has 24 and more.
const PAGE: usize = 20;
/// Characters of a row; a terminal has 80 and more.
const WIDTH: usize = 72;
/// Rows that are shown of one text: fifty pages.
const MOST: usize = 1_000;

/// Shows all of it, or says that nobody would read that.
pub(super) async fn show(what: &str, text: &str) -> Result<(), Failure> {
    let rows: Vec<String> = rows(text).take(MOST + 1).collect();
    if rows.len() > MOST {
        let most = thousands(MOST as u64);
        let detail = format!("{what} takes more than {most} lines, and no more are shown here");
        let hint = "read it where it lies, and answer in a file: --decisions";
        return Err(Failure::about(Path::new("terminal"), detail).hint(hint));
    }
    for (index, row) in rows.iter().enumerate() {
        if index > 0 && index.is_multiple_of(PAGE) {
            terminal::line("  there is more: press Enter ").await?;
        }
        say(row);
    }
    Ok(())
}

/// Every line, and what of it goes on below.
fn rows(text: &str) -> impl Iterator<Item = String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.split('\n').flat_map(rows_of)
}

fn rows_of(text: &str) -> Vec<String> {
    let line: Vec<char> = visible(text).chars().collect();
    let (first, rest) = line.split_at(line.len().min(WIDTH));
    let row = |mark: char, part: &[char]| format!("  {mark} {}", String::from_iter(part));
    let rest = rest.chunks(WIDTH).map(|part| row('…', part));
    std::iter::once(row('|', first)).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_left_out() {
        let rows = |text: &str| rows(text).collect::<Vec<_>>();
        assert_eq!(rows(""), ["  | "]);
        assert_eq!(rows("a\n\n b\r\n"), ["  | a", "  | ", "  |  b\\r"]);
        let long = "e".repeat(2 * WIDTH + 1);
        let pieces = rows(&long);
        assert_eq!(pieces[2], "  … e");
        let shown: String = pieces.iter().flat_map(|row| row.chars().skip(4)).collect();
        assert_eq!(shown, long);
        assert_eq!(rows("if \u{430}dmin:"), ["  | if \\u{430}dmin:"]);
        // What is escaped is as wide as it is shown.
        let hostile = rows(&"\u{202e}".repeat(WIDTH));
        assert!(hostile.iter().all(|row| row.chars().count() <= WIDTH + 4));
        // However long it is, each part of it is looked at once.
        assert_eq!(rows(&"x".repeat(WIDTH << 16)).len(), 1 << 16);
    }
}
