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
    "header/polyglot_behind_5000_steps",
    "header/polyglot_behind_a_frame",
    "header/polyglot_behind_a_long_string",
    "header/polyglot_duplicated",
    "header/polyglot_global",
    "header/polyglot_inst",
    "header/polyglot_memoized",
    "header/polyglot_stack_global",
    "header/polyglot_with_dotted_name",
    "header/polyglot_with_foreign_letters",
    "header/signalling_nan_f32",
    "header/zip_at_the_end",
    "header/zip_empty",
    "header/zip_with_bytes_behind",
    "header/zip_with_comment",
    "header/zip_with_comment_of_64_kb",
    "policy/format_lz4",
    "policy/format_pickle_of_inst_as_vocabulary",
    "policy/format_pickle_of_text",
    "policy/format_pickle_of_text_as_card",
    "policy/format_pickle_of_text_as_config",
    "policy/format_pickle_of_text_as_licence",
    "policy/format_pickle_of_text_as_weights",
    "policy/format_tar",
    "policy/format_tar_as_card",
    "policy/format_tar_as_weights",
    "policy/format_tflite",
    "policy/format_zlib",
    "policy/json_key_twice_in_adapter_config",
    "policy/kind_of_optimizer_state",
    "policy/kind_of_rng_state",
    "policy/name_device",
    "policy/name_device_with_number",
    "policy/weights_with_old_statistics",
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
