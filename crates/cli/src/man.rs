//! `tensorgate man`: the help as manual pages, with the sections that readers of man(1) look for.

mod words;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Page;
use roff::{Roff, bold, roman};
use serde_json::json;

use crate::args::Cli;
use crate::args::help::Man;
use crate::disk;
use crate::failure::Failure;
use crate::output::{Report, say_waiting};
use crate::text::count;

const NAME: &str = "tensorgate";
/// When the words of the pages changed last (man-pages(7)): the same release has the same pages
/// whenever they are written.
const DATE: &str = "2026-11-26";

pub(crate) fn run(args: &Man, json: bool) -> Result<Report, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let pages = pages(&command);
    let pages = pages.map_err(|error| Failure::io("write", Path::new("page"), &error))?;
    match &args.dir {
        Some(dir) => write(dir, &pages, json),
        None => Ok(print(&pages)),
    }
}

/// Every page, by the name of its file: first that of the command itself.
fn pages(command: &Command) -> io::Result<Vec<(String, String)>> {
    let all = names(command);
    let mut pages = vec![(format!("{NAME}.1"), page(command, &all)?)];
    for sub in command.get_subcommands() {
        let mut deeper = sub.get_subcommands().peekable();
        // A group of commands has its list in each of their pages, and in its help.
        if deeper.peek().is_none() {
            pages.push((file_of(sub), page(sub, &all)?));
        }
        for sub in deeper {
            pages.push((file_of(sub), page(sub, &all)?));
        }
    }
    Ok(pages)
}

fn names(command: &Command) -> Vec<String> {
    let leaves = |sub: &Command| -> Vec<String> {
        match sub.has_subcommands() {
            true => sub.get_subcommands().map(name).collect(),
            false => vec![name(sub)],
        }
    };
    command.get_subcommands().flat_map(leaves).collect()
}

/// `tensorgate-trust-check`.
fn name(command: &Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or_else(|| command.get_name()).to_owned()
}

fn file_of(command: &Command) -> String {
    format!("{}.1", name(command))
}

fn print(pages: &[(String, String)]) -> Report {
    let page = pages.first().map(|(_, text)| text.clone());
    let page = page.unwrap_or_default();
    let more = json!({ "page": page });
    Report {
        verdict: Some("done"),
        subject: format!("{NAME}.1"),
        data: page,
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    }
}

fn write(dir: &Path, pages: &[(String, String)], json: bool) -> Result<Report, Failure> {
    fs::create_dir_all(dir).map_err(|error| Failure::io("make the directory", dir, &error))?;
    let folder = disk::lock_parent(&dir.join(NAME), || say_waiting(json, dir));
    let folder = folder.map_err(|error| Failure::io("open the directory", dir, &error))?;
    for (name, text) in pages {
        disk::replace(&folder, OsStr::new(name), ".", text.as_bytes())
            .map_err(|error| Failure::io("write", &dir.join(name), &error))?;
    }
    let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
    let more = json!({ "pages": names });
    Ok(Report {
        verdict: Some("done"),
        subject: dir.display().to_string(),
        prose: vec![format!("wrote {} to {dir:?}", count(pages.len(), "page"))],
        more: more.as_object().cloned().unwrap_or_default(),
        ..Report::default()
    })
}

fn page(command: &Command, all: &[String]) -> io::Result<String> {
    let page = Page::new(command.clone())
        .date(DATE)
        .source(concat!("tensorgate ", env!("CARGO_PKG_VERSION")))
        .manual("tensorgate manual");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    let mut roff = Roff::new();
    synopsis(&mut roff, command);
    description(&mut roff, command);
    roff.to_writer(&mut text)?;
    page.render_options_section(&mut text)?;
    let mut roff = Roff::new();
    if command.has_subcommands() {
        subcommands(&mut roff, command);
    }
    words::exit_status(&mut roff);
    words::environment(&mut roff, command);
    words::files(&mut roff, command);
    examples(&mut roff, command);
    see_also(&mut roff, command, all);
    roff.to_writer(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    // Before possible values, where one empty line is enough.
    Ok(text.replace(".br\n\n.br\n", ".sp\n"))
}

/// As the help shows it.
fn synopsis(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["SYNOPSIS"]);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage:").unwrap_or(&usage);
    for (at, form) in usage.lines().map(str::trim).enumerate() {
        if at > 0 {
            roff.control("br", []);
        }
        roff.text([roman(form)]);
    }
}

/// What the help says beneath its first sentence, which is the name's; where that is all, the same
/// again.
fn description(roff: &mut Roff, command: &Command) {
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let long = command.get_long_about().map(ToString::to_string);
    let long = long.unwrap_or_else(|| about.clone());
    let beneath = long.strip_prefix(&about).unwrap_or(&long).trim();
    let text = if beneath.is_empty() { &about } else { beneath };
    roff.control("SH", ["DESCRIPTION"]);
    for (at, paragraph) in text.split("\n\n").enumerate() {
        if at > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph)]);
    }
}

/// Every command with its sentence; those of a group beneath each other.
fn subcommands(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands() {
        let deeper: Vec<&Command> = sub.get_subcommands().collect();
        let leaves = if deeper.is_empty() { vec![sub] } else { deeper };
        for leaf in leaves {
            let about = leaf.get_about().map(ToString::to_string);
            entry(roff, &reference(&name(leaf)), &about.unwrap_or_default());
        }
    }
}

/// What the help shows at its end: what is indented is to be typed as it is.
fn examples(roff: &mut Roff, command: &Command) {
    let Some(help) = command.get_after_help() else {
        return;
    };
    roff.control("SH", ["EXAMPLES"]);
    let (mut typed, mut first) = (false, true);
    for line in help.to_string().lines() {
        let code = line.starts_with("  ");
        match (typed, code) {
            (false, true) => roff.control("RS", []).control("nf", []),
            (true, false) if !line.is_empty() => roff.control("fi", []).control("RE", []),
            _ => &mut *roff,
        };
        typed = code || (typed && line.is_empty());
        let told = ["Example:", "Examples:"].contains(&line) || line.starts_with("Exit status:");
        match (code, told) {
            (true, _) => roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]),
            (false, true) => &mut *roff,
            (false, false) if line.is_empty() && typed => roff.control("sp", []),
            (false, false) if line.is_empty() => &mut *roff,
            (false, false) if first => roff.text([roman(line)]),
            (false, false) => roff.control("PP", []).text([roman(line)]),
        };
        first &= told || line.is_empty();
    }
    if typed {
        roff.control("fi", []).control("RE", []);
    }
}

fn see_also(roff: &mut Roff, command: &Command, all: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let own = name(command);
    let others = all.iter().map(String::as_str);
    let others = [NAME].into_iter().chain(others).filter(|name| *name != own);
    let mut line = Vec::new();
    for other in others {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.push(bold(other));
        line.push(roman("(1)"));
    }
    roff.text(line);
}

fn reference(name: &str) -> String {
    format!("{name}(1)")
}

fn entry(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]).text([roman(meaning)]);
}
