//! A little colour for the words that carry the verdict, on terminals alone.

use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// What a word says of the matter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Doubt,
    /// What a reader may pass over.
    Quiet,
}

/// Whether a stream takes colours: a terminal does, but for `NO_COLOR` and, where `CI` is not set,
/// `TERM=dumb`; with `CLICOLOR_FORCE` all do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    pub(crate) fn of_stdout() -> Self {
        Self(AutoStream::choice(&io::stdout()) != ColorChoice::Never)
    }

    pub(crate) fn of_stderr() -> Self {
        Self(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
    }

    /// A word of our own; foreign text is made plain before.
    pub(crate) fn word(self, tone: Tone, word: &str) -> String {
        if !self.0 {
            return word.to_owned();
        }
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default().bold(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Doubt => AnsiColor::Yellow.on_default().bold(),
            Tone::Quiet => Style::new().dimmed(),
        };
        format!("{style}{word}{style:#}")
    }

    /// A line of prose, with its first word as what it is.
    pub(crate) fn line(self, line: &str) -> String {
        let Some((word, rest)) = line.split_once(": ") else {
            return line.to_owned();
        };
        let tone = match word {
            "verified" | "passed" | "fetched" | "signed" | "whole" | "ready" => Tone::Good,
            "rejected" | "error" => Tone::Bad,
            "note" => Tone::Doubt,
            "hint" => Tone::Quiet,
            _ => return line.to_owned(),
        };
        // The code behind the word belongs to it.
        let code = rest.split_once(": ").filter(|_| word == "rejected");
        match code {
            Some((code, rest)) => {
                let word = self.word(tone, &format!("{word}: {code}:"));
                format!("{word} {rest}")
            }
            None => format!("{} {rest}", self.word(tone, &format!("{word}:"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_and_its_code_are_painted_and_nothing_else() {
        let paint = Paint(true);
        assert_eq!(
            paint.line("rejected: size-mismatch: \"a\": 1 for 2"),
            "\u{1b}[1m\u{1b}[31mrejected: size-mismatch:\u{1b}[0m \"a\": 1 for 2"
        );
        assert_eq!(paint.line("hint: chmod"), "\u{1b}[2mhint:\u{1b}[0m chmod");
        for line in ["  files: 3", "verified", "\"a\" can be used", ""] {
            assert_eq!(paint.line(line), line);
        }
        assert_eq!(Paint(false).line("error: no"), "error: no");
    }
}
