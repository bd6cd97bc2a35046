//! The outcome, first and in words: what it is, why, and what it rests on.

use maud::{Markup, html};
use serde_json::Value;

use super::foreign::{Foreign, code};
use crate::failure::{Failure, Finding};
use crate::output::Report;
use crate::text::{count, thousands};

/// Entries of one list; the rest is counted.
const LISTED: usize = 200;

/// What a report says first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Verified,
    /// By its content; signed by nobody that was asked for.
    Passed,
    Admitted,
    /// Signed, and not by enough.
    Pending,
    Rejected(usize),
    /// Nothing was judged: whether two policies differ.
    Compared {
        different: bool,
    },
    CouldNotCheck,
}

impl Verdict {
    pub(super) fn of(outcome: &Result<Report, Failure>) -> Self {
        match outcome {
            Err(Failure::Rejected(all)) => Self::Rejected(all.len()),
            Err(Failure::Error(_)) => Self::CouldNotCheck,
            Ok(report) => match report.verdict {
                _ if report.more.get("admitted") == Some(&Value::Bool(true)) => Self::Admitted,
                Some("verified") => Self::Verified,
                Some("passed") => Self::Passed,
                Some(_) => Self::Pending,
                None => Self::Compared {
                    different: report.more.get("different") != Some(&Value::Bool(false)),
                },
            },
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Verified => "Verified",
            Self::Passed => "Passed, still untrusted",
            Self::Admitted => "Admitted",
            Self::Pending => "Not yet admitted",
            Self::Rejected(_) => "Rejected",
            Self::Compared { different: true } => "They differ",
            Self::Compared { different: false } => "They are the same",
            Self::CouldNotCheck => "Could not be checked",
        }
    }

    /// What it means for whoever has to decide.
    fn sentence(self) -> String {
        match self {
            Self::Verified => "Every byte is what somebody you trust signed.".to_owned(),
            Self::Passed => {
                "The content keeps the rules. No signature was checked: nobody vouches for it."
                    .to_owned()
            }
            Self::Admitted => "Judged, signed with the operator's key, proven, stored.".to_owned(),
            Self::Pending => "It is signed, and does not count until others sign it.".to_owned(),
            Self::Rejected(n) => format!("For {} below. Do not use it.", count(n, "reason")),
            Self::Compared { .. } => "Nothing below was verified.".to_owned(),
            Self::CouldNotCheck => "There is no verdict. Do not use it.".to_owned(),
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Verified | Self::Admitted => "good",
            Self::Passed | Self::Pending => "open",
            Self::Rejected(_) => "bad",
            Self::Compared { .. } | Self::CouldNotCheck => "none",
        }
    }

    /// A check, a cross, or a ring: the word beside it says the same.
    const fn sign(self) -> &'static str {
        match self {
            Self::Verified | Self::Admitted => "M6 13l5 5 9-11",
            Self::Rejected(_) => "M7 7l10 10M17 7L7 17",
            Self::Compared { .. } => "M6 9h12M6 15h12",
            Self::Passed | Self::Pending | Self::CouldNotCheck => "M12 6v8M12 17.5v.5",
        }
    }

    pub(super) fn banner(self, subject: &str, outcome: &Result<Report, Failure>) -> Markup {
        html! {
            header.verdict.(self.class()) {
                svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round" {
                    circle cx="12" cy="12" r="11" {}
                    path d=(self.sign()) {}
                }
                div {
                    h1 { (self.word()) }
                    @if !subject.is_empty() { p.subject { (code(subject)) } }
                    p { (self.sentence()) }
                    (signers(outcome))
                }
            }
        }
    }
}

/// Who vouches, before anything else is said.
fn signers(outcome: &Result<Report, Failure>) -> Markup {
    let evidence = outcome.as_ref().ok().map(|report| &report.evidence);
    let signers = evidence.and_then(|evidence| evidence["signers"].as_array());
    let signers = signers.map_or(&[][..], Vec::as_slice);
    let words = |signer: &Value, field: &str| signer[field].as_str().map(code);
    html! {
        @for signer in signers.iter().take(LISTED) {
            p {
                "Signed by "
                @if let Some(name) = words(signer, "name").or_else(|| words(signer, "subject")) { (name) ", " }
                "key "
                @if let Some(key) = words(signer, "key") { (key) }
            }
        }
        (more(left_out(signers), "signer"))
    }
}

/// Why it was refused or not checked, or what was let pass with a word.
pub(super) fn reasons(outcome: &Result<Report, Failure>) -> Markup {
    match outcome {
        Err(Failure::Rejected(all)) => html! {
            section {
                h2 { "Why it was rejected" }
                ul.found {
                    @for found in all.iter().take(LISTED) { (finding(found)) }
                }
                (more(left_out(all), "reason"))
            }
        },
        Err(Failure::Error(trouble)) => html! {
            section {
                h2 { "Why it could not be checked" }
                ul.found {
                    li.let {
                        p { (Foreign(&trouble.detail)) }
                        @if let Some(hint) = &trouble.hint { p.hint { "Hint: " (Foreign(hint)) } }
                    }
                }
            }
        },
        Ok(report) => notices(report),
    }
}

fn finding(found: &Finding) -> Markup {
    html! {
        li {
            p { code.code { (found.rejection.code()) } (code(&found.subject)) }
            p { (Foreign(&found.detail)) }
            p.hint { "Hint: " (Foreign(found.hint())) }
        }
    }
}

fn notices(report: &Report) -> Markup {
    if report.notices.is_empty() && report.waived.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Worth knowing" }
            ul.found {
                @for found in report.waived.iter().take(LISTED) {
                    li.let {
                        p { code.code { (found.rejection.code()) } (code(&found.subject)) }
                        p { (Foreign(&found.detail)) " (let pass by the rules)" }
                    }
                }
                @for notice in report.notices.iter().take(LISTED) {
                    li.let { p { (Foreign(notice)) } }
                }
            }
            (more(left_out(&report.waived) + left_out(&report.notices), "notice"))
        }
    }
}

const fn left_out<T>(all: &[T]) -> usize {
    all.len().saturating_sub(LISTED)
}

fn more(hidden: usize, what: &str) -> Markup {
    html! {
        @if hidden > 0 { p.quiet { "and " (count(hidden, what)) " more; " code { "--json" } " has them all." } }
    }
}

/// Fields of the evidence and the words for them, in the order in which people ask. Who signed is
/// said above.
const EVIDENCE: [(&str, &str); 24] = [
    ("authenticated", "signature checked"),
    ("method", "method"),
    ("repo", "repository"),
    ("repo_type", "repository type"),
    ("name", "named by the signer"),
    ("policy", "policy"),
    ("sequence", "sequence"),
    ("issued", "issued"),
    ("expires", "expires"),
    ("manifest", "manifest, SHA-256"),
    ("statement", "statement, SHA-256"),
    ("threshold", "signatures needed"),
    ("may_sign", "could still sign"),
    ("ignored_signatures", "signatures that did not count"),
    ("not_promised", "not promised"),
    ("trust_policy", "trust policy, SHA-256"),
    ("now", "judged as of"),
    ("now_given", "instant by --now, not the clock"),
    ("files", "files"),
    ("bytes", "bytes"),
    ("full", "digests of whole files, too"),
    ("holds", "weights were held"),
    ("externals", "externals declared"),
    ("reviewed_code", "reviews of code declared"),
];

/// What the verdict rests on: its fields, under words for them.
pub(super) fn evidence(outcome: &Result<Report, Failure>) -> Markup {
    let Ok(Report { evidence, .. }) = outcome else {
        return html! {};
    };
    let named = EVIDENCE
        .iter()
        .map(|(field, words)| (words, &evidence[*field]));
    let rows: Vec<_> = named
        .filter_map(|(words, value)| Some((words, shown(value)?)))
        .collect();
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "What the verdict rests on" }
                div.wide tabindex="0" role="region" aria-label="Evidence" {
                    table.facts {
                        tbody { @for (words, value) in rows { tr { th scope="row" { (words) } td { (value) } } } }
                    }
                }
            }
        }
    }
}

/// A value in one cell: an object as its own values, a list line by line.
fn shown(value: &Value) -> Option<Markup> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(yes) => html! { (if *yes { "yes" } else { "no" }) },
        Value::Number(number) => match number.as_u64() {
            Some(number) => html! { (thousands(number)) },
            None => html! { (crate::text::number(number.as_f64().unwrap_or_default())) },
        },
        Value::String(text) => code(text),
        Value::Array(all) if all.is_empty() => return None,
        Value::Array(all) => html! {
            @for one in all.iter().take(LISTED).filter_map(shown) { div { (one) } }
            (more(left_out(all), "value"))
        },
        Value::Object(fields) => match (fields.get("id"), fields.get("revision")) {
            (Some(Value::String(id)), Some(Value::String(revision))) => {
                code(format!("{id}@{revision}"))
            }
            // `holding` is the word of `words` for programs.
            _ => html! {
                @for one in fields.iter().filter(|(name, _)| *name != "holding").filter_map(|(_, one)| shown(one)) {
                    (one) " "
                }
            },
        },
    })
}
