//! What the command says, situation by situation, with its exit status: word for word in
//! `tests/cmd/told/`, a file a command. What differs from run to run stands as `[SHA256]`, `[COMMIT]`,
//! `[INSTANT]`, `[SECONDS]`, `[HELD]`, `[USED]`, `[ROOM]`,
//! `[REQUEST]` or `[HUB]`.

use std::fs;
use std::path::Path;

use crate::support::{REVISION, Run, Workshop};

pub(crate) const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The situations of a command, in one directory.
pub(crate) struct Book<'w> {
    workshop: &'w Workshop,
    pub(crate) hub: Option<&'w str>,
    pub(crate) text: String,
}

impl<'w> Book<'w> {
    pub(crate) fn of(workshop: &'w Workshop, command: &str) -> Self {
        let text = format!("What `tensorgate {command}` says, and its exit status.\n");
        let hub = None;
        Self {
            workshop,
            hub,
            text,
        }
    }

    /// One situation: the command ends with this status, and says what the book has.
    #[track_caller]
    pub(crate) fn tell(&mut self, status: i32, situation: &str, line: &str) {
        let line = line.replace("[ZEROS]", ZEROS);
        let typed = match self.hub {
            Some(hub) => line.replace("[HUB]", hub),
            None => line.clone(),
        };
        let mut command = self.workshop.command();
        command.env("TENSORGATE_STORE", "store");
        let run = Run::of(command.args(typed.split(' ').filter(|word| !word.is_empty())));
        assert_eq!(run.status, status, "{situation}\n{run:#?}");
        let told = self.masked(&format!("{}{}", run.stderr, run.stdout));
        let ending = if told.is_empty() || told.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let status = match status {
            0 => String::new(),
            status => format!("? {status}\n"),
        };
        self.text.push_str(&format!(
            "\n## {situation}\n```console\n$ tensorgate {line}\n{status}{told}{ending}```\n"
        ));
    }

    fn masked(&self, told: &str) -> String {
        let told = match self.hub {
            Some(hub) => told.replace(hub, "[HUB]"),
            None => told.to_owned(),
        };
        let here = format!("{}/", self.workshop.path("").display());
        let told = told.replace(here.trim_end_matches("//"), "[HERE]");
        let mut lines: Vec<String> = told.lines().map(masked_line).collect();
        // Several files come at a time, in any order.
        for files in lines.chunk_by_mut(|a, b| is_file(a) && is_file(b)) {
            files.sort_unstable();
        }
        let end = if told.ends_with('\n') { "\n" } else { "" };
        lines.join("\n") + end
    }

    /// Compares with the book that is kept, or keeps this one.
    #[track_caller]
    pub(crate) fn close(self, name: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cmd/told/{name}.md"));
        if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &self.text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let differ = kept.lines().zip(self.text.lines()).find(|(a, b)| a != b);
        assert!(
            kept == self.text,
            "{file:?} has another word: {differ:#?}\n{}",
            self.text
        );
    }
}

/// `  config.json, 15 bytes`, of a file that came.
fn is_file(line: &str) -> bool {
    let file = line
        .strip_prefix("  ")
        .and_then(|line| line.split_once(", "));
    file.is_some_and(|(name, _)| !name.contains(' '))
}

/// A line without what no two runs have in common.
fn masked_line(line: &str) -> String {
    if let Some((_, rest)) = line.split_once("  on disk    ") {
        let (_, quota) = rest.split_once(", ").unwrap();
        return format!("  on disk    [USED] bytes, {quota}");
    }
    // How fast it came, where it took a second.
    if line.ends_with("B/s") && is_file(line) {
        return line.rsplit_once(", ").unwrap().0.to_owned();
    }
    if let Some((before, _)) = line.split_once("held       ") {
        return format!("{before}held       [HELD]");
    }
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-:.,".contains(c) {
            word.push(c);
            continue;
        }
        out.push_str(&masked_word(&word, out.ends_with("room for ")));
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn masked_word(word: &str, is_room: bool) -> String {
    let hex = |word: &str| word.bytes().all(|b| b.is_ascii_hexdigit());
    let (bare, end) = match word
        .strip_suffix(".json")
        .or_else(|| word.strip_suffix([':', ',', '.']))
    {
        Some(bare) => (bare, &word[bare.len()..]),
        None => (word, ""),
    };
    let fixed = ["2099", "2020", "2027"]
        .iter()
        .any(|year| bare.starts_with(year));
    let is_instant = bare.len() > 18 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T';
    let is_time = bare.split_once('.').is_some_and(|(a, b)| {
        b.len() == 2 && [a, b].concat().bytes().all(|byte| byte.is_ascii_digit())
    });
    let mask = match bare.len() {
        64 if hex(bare) && bare != ZEROS => "[SHA256]",
        40 if hex(bare) && bare != REVISION => "[COMMIT]",
        _ if bare.starts_with("testhub-") => "[REQUEST]",
        _ if is_instant && !fixed => "[INSTANT]",
        _ if is_time => "[SECONDS]",
        _ if is_room && !bare.is_empty() => "[ROOM]",
        _ => bare,
    };
    format!("{mask}{end}")
}
