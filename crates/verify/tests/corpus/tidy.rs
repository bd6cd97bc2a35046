//! Every code has its attack, and no two cases are one.

use std::collections::BTreeMap;

use tensorgate_verify::Rejection;

use crate::case::Case;

/// Codes that this crate never gives, and where their tests are.
const ELSEWHERE: &[(Rejection, &str)] = &[
    (
        Rejection::ManifestMissing,
        "the command and the node look for it: crates/cli/tests/it/verify.rs",
    ),
    (Rejection::OmsSignatureInvalid, "crates/oms/tests"),
    (Rejection::OmsUnsupported, "crates/oms/tests"),
];

/// Run with `--nocapture` for the table.
#[test]
fn every_rejection_has_an_attack() {
    let mut count: BTreeMap<&str, usize> =
        Rejection::ALL.iter().map(|code| (code.code(), 0)).collect();
    let cases = Case::all();
    for case in &cases {
        let expected = case.head("expect").unwrap();
        *count.entry(expected).or_default() += 1;
    }
    for (code, count) in &count {
        println!("{count:4} {code}");
    }
    println!("{:4} cases", cases.len());
    for (code, _) in ELSEWHERE {
        assert_eq!(
            count.remove(code.code()),
            Some(0),
            "{code} has a case: it is not elsewhere"
        );
    }
    let without: Vec<_> = count
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(code, _)| *code)
        .collect();
    assert_eq!(without, [""; 0], "no attack is answered by these");
}

#[test]
fn heads_use_the_vocabulary() {
    let known = |code: &str| {
        Rejection::ALL
            .iter()
            .any(|rejection| rejection.code() == code)
    };
    for case in Case::all() {
        let expected = case.expectation();
        let name = &case.name;
        let outcome = expected.outcome.as_str();
        assert!(
            known(outcome) || ["accept", "could-not-check"].contains(&outcome),
            "{name}: {outcome}"
        );
        assert!(
            expected
                .also
                .iter()
                .chain(&expected.notices)
                .all(|code| known(code)),
            "{name}"
        );
        assert!(
            case.head("comment").is_some_and(|why| !why.is_empty()),
            "{name}: why?"
        );
    }
}
