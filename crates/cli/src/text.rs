//! Numbers, tables and foreign text, for people.

use jiff::Timestamp;

/// The present in whole seconds, as people write it; rounded down, so that nothing is issued in the
/// future.
pub(crate) fn now_in_seconds() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(n: impl Into<u64>) -> String {
    let digits = n.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Four digits that count.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&size) {
        let before_point = size.log10().floor() as i32;
        let digits = usize::try_from(3 - before_point).unwrap_or(0);
        let text = format!("{value:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    } else {
        format!("{value:.2e}")
    }
}

/// `n file` or `n files`.
pub(crate) fn count(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(n as u64))
}

/// `1 file differs` or `n files differ`.
pub(crate) fn differ(n: usize, what: &str) -> String {
    let verb = if n == 1 { "differs" } else { "differ" };
    format!("{} {verb}", count(n, what))
}

/// The sum of sizes that somebody claims.
pub(crate) fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

/// JSON in which nothing moves a cursor or turns the reading direction: whatever is not printable
/// ASCII stands inside its strings (RFC 8259), so it can be written as `\uXXXX`.
pub(crate) fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' => out.push(c),
            other => {
                let mut units = [0; 2];
                let units = other.encode_utf16(&mut units).iter();
                out.extend(units.map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    out
}

/// Text of unknown origin without anything that moves a cursor or turns the reading direction.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '"' | '\'' | '\\' => out.push(c),
            other => out.extend(other.escape_debug()),
        }
    }
    out
}

/// The same in one line.
pub(crate) fn line(text: &str) -> String {
    plain(text).replace('\n', "\\n")
}

/// One line of code. A letter of another alphabet that looks like the one that is meant makes another
/// name of it, and what is not seen may still count: whatever is not printable ASCII is an escape.
pub(crate) fn visible(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    for c in code.chars() {
        match c {
            ' '..='~' => out.push(c),
            other => out.extend(other.escape_default()),
        }
    }
    out
}

/// At most `most` characters, and how many more there were: what is left out is never silent.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => {
            let more = count(text[at..].chars().count(), "more character");
            format!("{}… and {more}", &text[..at])
        }
        None => text.to_owned(),
    }
}

/// Columns of foreign text, padded to their widest cell; those in `right` are aligned to the right.
pub(crate) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| line(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell: &String| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            line.push_str(&match right.contains(&column) {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:<width$}  "),
            });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(n as u64), text);
        }
    }

    #[test]
    fn four_digits_count() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-12.345_67, "-12.35"),
            (0.001_234_5, "0.001234"),
            (99_999.0, "99999"),
            (1e5, "1.00e5"),
            (-1e-9, "-1.00e-9"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\r"), "a\\u{1b}[2Jb\\u{202e}c\\r");
        assert_eq!(plain("it's \"fine\"\n"), "it's \"fine\"\n");
    }

    #[test]
    fn a_look_alike_is_not_the_letter() {
        let look_alike = "if \u{430}dmin: # \u{202e}\u{e9}\t\r";
        assert_eq!(
            visible(look_alike),
            "if \\u{430}dmin: # \\u{202e}\\u{e9}\\t\\r"
        );
        let all: String = (' '..='~').collect();
        assert_eq!(visible(&all), all);
    }

    #[test]
    fn json_means_the_same_in_ascii() {
        let value = serde_json::json!("a\u{1b}\u{7f}\u{85}\u{202e}é😀\n\"");
        let text = ascii(&value.to_string());
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn claimed_sizes_do_not_overflow() {
        assert_eq!(total([u64::MAX, 1].into_iter()), u64::MAX);
        assert_eq!(total([2, 3].into_iter()), 5);
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".into(), "1".into()],
            vec!["bcd".into(), "23".into()],
        ];
        assert_eq!(table(&rows, &[1]), "a     1\nbcd  23\n");
        assert_eq!(table(&[vec!["a\nb\t".into()]], &[]), "a\\nb\\t\n");
    }
}
