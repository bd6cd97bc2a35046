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
    "trust/as_old_as_allowed",
    "trust/digest_of_file_revoked",
    "trust/digest_of_tensor_revoked",
    "trust/digest_of_weights_revoked",
    "trust/expired_and_waived",
    "trust/expired_key_beside_enough",
    "trust/expired_key_is_not_the_second",
    "trust/fast_forward",
    "trust/fast_forward_by_one_too_many",
    "trust/fast_forward_past_the_last",
    "trust/foreign_key_is_not_the_second",
    "trust/from_the_future_is_never_waived",
    "trust/jump_as_far_as_allowed",
    "trust/key_across_the_slash",
    "trust/key_expired",
    "trust/key_expires_tomorrow",
    "trust/key_in_scope_by_name",
    "trust/key_in_scope_by_owner",
    "trust/key_in_scope_by_second",
    "trust/key_of_a_prefix",
    "trust/key_of_another_case",
    "trust/key_of_another_name",
    "trust/key_of_another_owner",
    "trust/key_of_nothing",
    "trust/key_revoked",
    "trust/manifest_revoked",
    "trust/manifest_revoked_with_more_signatures",
    "trust/nothing_of_it_revoked",
    "trust/older_than_allowed",
    "trust/other_key_revoked",
    "trust/policy_with_bad_freshness",
    "trust/policy_with_bad_waiver",
    "trust/policy_with_negative_limit",
    "trust/policy_with_revocation_of_a_branch",
    "trust/policy_with_revocation_of_a_short_digest",
    "trust/policy_with_revocation_without_reason",
    "trust/policy_with_unknown_dtype",
    "trust/policy_with_unknown_kind",
    "trust/policy_with_unknown_limit",
    "trust/policy_with_unknown_rollback",
    "trust/policy_with_unknown_rule",
    "trust/revision_revoked",
    "trust/revoked_key_is_not_the_second",
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
