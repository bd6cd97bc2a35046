//! Manual pages: one for each subcommand, with the sections that readers look for, and none that the
//! formatter has to guess at.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Run, Workshop};

const SECTIONS: [&str; 9] = [
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "OPTIONS",
    "EXIT STATUS",
    "ENVIRONMENT",
    "FILES",
    "EXAMPLES",
    "SEE ALSO",
];

#[test]
fn each_subcommand_has_a_page_with_all_sections() {
    let workshop = Workshop::new();
    let run = workshop.run(["man", "pages/man1"]);
    run.expect(0).says(" to \"pages/man1\"\n");
    assert_eq!(run.stdout, "");
    let written: BTreeSet<String> = fs::read_dir(workshop.path("pages/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, expected(&workshop));
    for name in &written {
        let page = String::from_utf8(workshop.read(&format!("pages/man1/{name}"))).unwrap();
        let mut sections: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|title| title.trim_matches('"'))
            .collect();
        sections.retain(|section| *section != "COMMANDS");
        assert_eq!(sections, SECTIONS, "{name}");
        let (_, also) = page.split_once("SEE ALSO").unwrap();
        let named = also
            .split("\\fR(1)")
            .filter_map(|text| text.split_once("\\fB"));
        let named: BTreeSet<String> = named
            .map(|(_, name)| format!("{}.1", name.replace("\\-", "-")))
            .collect();
        let others = written.iter().filter(|other| *other != name);
        assert!(named.iter().eq(others), "{name}: {named:?}");
    }
    // A second time they are put in place of the first.
    workshop.run(["man", "pages/man1"]).expect(0);
}

/// By the help, which lists the subcommands of each group.
fn expected(workshop: &Workshop) -> BTreeSet<String> {
    let of = |arguments: &[&str]| -> Vec<String> {
        let help = workshop.run(arguments).expect(0).stdout.clone();
        let (_, rest) = help.split_once("Commands:\n").unwrap_or_default();
        let lines = rest.lines().take_while(|line| !line.is_empty());
        // A sentence that is too long for a line goes on further to the right.
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !["", "help"].contains(name));
        names.map(str::to_owned).collect()
    };
    let mut pages = BTreeSet::from(["tensorgate.1".to_owned()]);
    for command in of(&["--help"]) {
        match of(&[&command, "--help"]).as_slice() {
            [] => pages.extend([format!("tensorgate-{command}.1")]),
            deeper => pages.extend(
                deeper
                    .iter()
                    .map(|sub| format!("tensorgate-{command}-{sub}.1")),
            ),
        }
    }
    pages
}

/// groff says what it does not understand, mandoc what is not portable.
#[test]
fn formatters_have_nothing_to_say_of_a_page() {
    let workshop = Workshop::new();
    workshop.run(["man", "man1"]).expect(0);
    let mut tried = 0;
    for (program, arguments) in [
        ("groff", &["-man", "-ww", "-Tutf8", "-z"][..]),
        ("mandoc", &["-T", "lint", "-W", "warning"]),
    ] {
        if Command::new(program)
            .stdin(Stdio::null())
            .arg("--help")
            .output()
            .is_err()
        {
            println!("NOT TRIED: there is no {program}");
            continue;
        }
        tried += 1;
        for entry in fs::read_dir(workshop.path("man1")).unwrap() {
            let page = entry.unwrap().path();
            let run = Run::of(Command::new(program).args(arguments).arg(&page));
            assert_eq!(
                (run.stdout.as_str(), run.stderr.as_str()),
                ("", ""),
                "{page:?}"
            );
        }
    }
    if tried == 0 {
        println!("NOT TRIED: there is neither groff nor mandoc, so no page was formatted");
    }
}

#[test]
fn the_page_of_the_command_goes_to_standard_output() {
    let workshop = Workshop::new();
    let run = workshop.run(["man"]);
    run.expect(0);
    assert!(run.stdout.contains(".SH \"EXIT STATUS\""), "{}", run.stdout);
    assert_eq!(run.stderr, "");
    let object = workshop.run(["man", "--json"]).json();
    assert_eq!(object["page"], run.stdout);
    let object = workshop.run(["man", "man1", "--json"]).json();
    assert_eq!(object["pages"][0], "tensorgate.1");
    workshop.write("file", "");
    workshop
        .run(["man", "file/man1"])
        .could_not_check("could not make the directory \"file/man1\"");
}
