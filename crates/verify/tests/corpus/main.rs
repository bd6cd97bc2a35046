//! The attack corpus: each file one attack, and the code that answers it. README.md has the form.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their cases and write the directories that these describe"
)]

mod case;
mod judge;
mod tidy;

use case::Case;

/// Cases whose rule is not there yet. One that passes must leave this list.
const PENDING: &[&str] = &[
    "header/bool_of_2",
    "header/bool_of_255",
    "header/dtype_forbidden",
    "header/infinity_bf16",
    "header/infinity_f16",
    "header/infinity_f32",
    "header/infinity_f64",
    "header/infinity_f8_e5m2",
    "header/nan_bf16",
    "header/nan_f16",
    "header/nan_f32",
    "header/nan_f64",
    "header/nan_f8_e4m3",
    "header/nan_f8_e5m2",
    "header/nan_in_second_tensor",
    "header/nan_last_of_many",
    "header/nan_waived",
    "header/negative_infinity_f32",
    "header/negative_nan_with_payload_f32",
    "header/signalling_nan_f32",
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
