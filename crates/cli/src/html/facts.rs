//! What is in the files, in tables: files, card, fields that nobody knows, and what was declared.

use maud::{Markup, html};
use tensorgate_verify::{Decision, External, ReviewedCode};

use super::foreign::{Foreign, code};
use super::number::size;
use super::section::{Table, columns, section};
use crate::facts::{Card, Facts, Odd, Seen};
use crate::text::{count, thousands, total};

/// `is_partial` where files were refused, of which nothing is shown.
pub(super) fn sections(facts: &Facts, is_partial: bool) -> Markup {
    let lead = match is_partial {
        true => "Of the files that were not refused themselves.",
        false => "",
    };
    html! {
        (section("What is in it", lead, &amounts(facts)))
        (files(&facts.files))
        (card(&facts.card))
        (odd(&facts.odd))
    }
}

fn amounts(facts: &Facts) -> Markup {
    let bytes = total(facts.files.iter().map(|file| file.bytes));
    let elements = total(facts.tensors.iter().map(|tensor| tensor.elements()));
    html! {
        dl.cards {
            div { dt { "Files" } dd { (thousands(facts.files.len() as u64)) small { (size(bytes)) } } }
            div { dt { "Tensors" } dd { (thousands(facts.tensors.len() as u64)) small { (thousands(elements)) " numbers" } } }
            @for sum in facts.dtypes() {
                div {
                    dt { (sum.dtype.to_string()) }
                    dd { (size(sum.bytes)) small { (count(sum.tensors, "tensor")) ", " (thousands(sum.elements)) " numbers" } }
                }
            }
        }
    }
}

fn files(files: &[Seen]) -> Markup {
    let table = Table {
        title: "Files",
        lead: "",
        label: "Files",
        columns: html! { (columns(&["file", "kind"])) th.n scope="col" { "bytes" } },
        what: "file",
    };
    table.of(files, |file| {
        html! {
            tr {
                th scope="row" {
                    (code(file.path.as_str()))
                    @if let Some(sha256) = &file.sha256 { span.digest.mono { "sha256 " (sha256) } }
                }
                td { (file.kind) }
                td.n { (thousands(file.bytes)) }
            }
        }
    })
}

fn card(card: &Card) -> Markup {
    let table = Table {
        title: "What the model card says",
        lead: "Its author's words. Nothing of it was verified.",
        label: "Model card",
        columns: html! {},
        what: "field",
    };
    table.of(&card.rows(), |(name, words)| {
        html! { tr { th scope="row" { (name) } td { (Foreign(words)) } } }
    })
}

fn odd(odd: &[Odd]) -> Markup {
    let table = Table {
        title: "Fields that no table knows",
        lead: "No policy type of LeRobot has them: whoever signs should know what they do.",
        label: "Unknown fields",
        columns: html! {},
        what: "field",
    };
    table.of(odd, |odd| {
        html! { tr { th scope="row" { (code(&odd.field)) } td { (code(&odd.value)) } } }
    })
}

/// What somebody declared of things that are not in the files.
pub(super) fn declared(externals: &[External], reviews: &[ReviewedCode]) -> Markup {
    let pulled_in = Table {
        title: "What loading it would pull in",
        lead: "",
        label: "Externals",
        columns: columns(&["field", "artifact", "decided"]),
        what: "external",
    };
    let reviewed = Table {
        title: "Code that a person reviewed",
        lead: "",
        label: "Reviewed code",
        columns: columns(&["file", "reviewer", "note"]),
        what: "file",
    };
    html! {
        (pulled_in.of(externals, external))
        (reviewed.of(reviews, review))
    }
}

fn external(external: &External) -> Markup {
    html! {
        tr {
            th scope="row" { (code(&external.field)) }
            td { (code(&external.name)) }
            td {
                @match external.decision {
                    Decision::Absent => "not loaded",
                    Decision::Pinned => "pinned",
                    _ => "",
                }
                @if let Some(reason) = &external.reason { ": " (Foreign(reason)) }
                @if let Some((repo, revision)) = external.repo.as_ref().zip(external.revision.as_ref()) {
                    span.digest.mono { (Foreign(repo.as_str())) "@" (revision.as_str()) }
                }
                @if let Some(files) = &external.files { span.digest { (count(files.len(), "file")) } }
            }
        }
    }
}

fn review(review: &ReviewedCode) -> Markup {
    html! {
        tr {
            th scope="row" {
                (code(review.path.as_str()))
                span.digest.mono { "sha256 " (review.sha256) }
            }
            td { (Foreign(&review.reviewer)) }
            td { (Foreign(&review.note)) }
        }
    }
}
