//! What is in the files, in tables: files, card, fields that nobody knows, and what was declared.

use maud::{Markup, html};
use tensorgate_verify::{Decision, External, ReviewedCode};

use super::foreign::{Foreign, code};
use super::number::size;
use crate::facts::{Card, Facts, Odd, Seen};
use crate::text::{count, thousands, total};

/// Rows of one table; the rest is counted.
const ROWS: usize = 200;

/// `is_partial` where files were refused, of which nothing is shown.
pub(super) fn sections(facts: &Facts, is_partial: bool) -> Markup {
    html! {
        section {
            h2 { "What is in it" }
            @if is_partial { p { "Of the files that were not refused themselves." } }
            (amounts(facts))
        }
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
    html! {
        section {
            h2 { "Files" }
            div.wide tabindex="0" role="region" aria-label="Files" {
                table {
                    thead { tr { th scope="col" { "file" } th scope="col" { "kind" } th.n scope="col" { "bytes" } } }
                    tbody {
                        @for file in files.iter().take(ROWS) {
                            tr {
                                th scope="row" {
                                    (code(file.path.as_str()))
                                    @if let Some(sha256) = &file.sha256 { span.digest.mono { "sha256 " (sha256) } }
                                }
                                td { (file.kind) }
                                td.n { (thousands(file.bytes)) }
                            }
                        }
                    }
                }
            }
            (more(files.len(), "file"))
        }
    }
}

fn card(card: &Card) -> Markup {
    let rows = card.rows();
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "What the model card says" }
                p { "Its author's words. Nothing of it was verified." }
                div.wide tabindex="0" role="region" aria-label="Model card" {
                    table.facts {
                        tbody {
                            @for (name, words) in &rows {
                                tr { th scope="row" { (name) } td { (Foreign(words)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn odd(odd: &[Odd]) -> Markup {
    html! {
        @if !odd.is_empty() {
            section {
                h2 { "Fields that no table knows" }
                p { "No policy type of LeRobot has them: whoever signs should know what they do." }
                div.wide tabindex="0" role="region" aria-label="Unknown fields" {
                    table.facts {
                        tbody {
                            @for odd in odd.iter().take(ROWS) {
                                tr { th scope="row" { (code(&odd.field)) } td { (code(&odd.value)) } }
                            }
                        }
                    }
                }
                (more(odd.len(), "field"))
            }
        }
    }
}

/// What somebody declared of things that are not in the files.
pub(super) fn declared(externals: &[External], reviews: &[ReviewedCode]) -> Markup {
    html! {
        @if !externals.is_empty() {
            section {
                h2 { "What loading it would pull in" }
                div.wide tabindex="0" role="region" aria-label="Externals" {
                    table {
                        thead { tr { th scope="col" { "field" } th scope="col" { "artifact" } th scope="col" { "decided" } } }
                        tbody { @for external in externals.iter().take(ROWS) { (self::external(external)) } }
                    }
                }
                (more(externals.len(), "external"))
            }
        }
        @if !reviews.is_empty() {
            section {
                h2 { "Code that a person reviewed" }
                div.wide tabindex="0" role="region" aria-label="Reviewed code" {
                    table {
                        thead { tr { th scope="col" { "file" } th scope="col" { "reviewer" } th scope="col" { "note" } } }
                        tbody { @for review in reviews.iter().take(ROWS) { (reviewed(review)) } }
                    }
                }
                (more(reviews.len(), "file"))
            }
        }
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

fn reviewed(review: &ReviewedCode) -> Markup {
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

fn more(all: usize, what: &str) -> Markup {
    html! {
        @if all > ROWS { p.quiet { "and " (count(all - ROWS, what)) " more." } }
    }
}
