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

#[test]
fn each_attack_is_answered_by_its_code() {
    let wrong: Vec<String> = Case::all()
        .iter()
        .filter_map(|case| check(case).err())
        .collect();
    assert!(
        wrong.is_empty(),
        "{}\n{} wrong",
        wrong.join("\n"),
        wrong.len()
    );
}

/// Judges one case, and compares the verdict with what its head expects, to the last finding.
fn check(case: &Case) -> Result<(), String> {
    let expected = case.expectation();
    let found = judge::verdict(case);
    if found.agrees_with(&expected) {
        return Ok(());
    }
    Err(format!("{}: expected {expected}, found {found}", case.name))
}
