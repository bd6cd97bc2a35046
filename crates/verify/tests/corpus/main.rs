//! The attack corpus: each file one attack, and the code that answers it. README.md has the form.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their cases and write the directories that these describe"
)]

mod case;
mod judge;
mod tidy;
mod tree;

use case::Case;

/// Cases whose rule is not there yet. One that passes must leave this list.
const PENDING: &[&str] = &[
];

#[test]
fn each_attack_is_answered_by_its_code() {
    let wrong: Vec<String> = Case::all().iter().filter_map(complaint).collect();
    assert!(
        wrong.is_empty(),
        "{}\n{} wrong",
        wrong.join("\n"),
        wrong.len()
    );
}

fn complaint(case: &Case) -> Option<String> {
    let name = &case.name;
    match (check(case), PENDING.contains(&name.as_str())) {
        (Ok(()), false) | (Err(_), true) => None,
        (Ok(()), true) => Some(format!("{name}: passes, and is listed as pending")),
        (Err(why), false) => Some(format!("{name}: {why}")),
    }
}

/// Judges one case, and compares the verdict with what its head expects, to the last finding.
fn check(case: &Case) -> Result<(), String> {
    let expected = case.expectation();
    let found = judge::verdict(case);
    if found.agrees_with(&expected) {
        return Ok(());
    }
    Err(format!("expected {expected}, found {found}"))
}
