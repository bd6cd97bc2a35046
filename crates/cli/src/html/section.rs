//! What the sections of a page have in common.

use maud::{Markup, html};

use crate::text::count;

/// Rows of one table; the rest is counted.
pub(super) const ROWS: usize = 200;

/// One section: its title, what has to be known before it is read, and what it shows.
pub(super) fn section(title: &str, lead: &str, body: &Markup) -> Markup {
    html! {
        section {
            h2 { (title) }
            @if !lead.is_empty() { p { (lead) } }
            (body)
        }
    }
}

/// A section that is one table.
pub(super) struct Table<'t> {
    pub(super) title: &'t str,
    pub(super) lead: &'t str,
    /// What a screen reader calls it.
    pub(super) label: &'t str,
    /// The heads of the columns; none where each row is a name and what it stands for.
    pub(super) columns: Markup,
    /// What a row is.
    pub(super) what: &'t str,
}

impl Table<'_> {
    /// A row for each; of nothing, no section.
    pub(super) fn of<T>(&self, all: &[T], row: impl Fn(&T) -> Markup) -> Markup {
        if all.is_empty() {
            return html! {};
        }
        let rows = html! { tbody { @for one in all.iter().take(ROWS) { (row(one)) } } };
        let table = match self.columns.0.is_empty() {
            true => html! { table.facts { (rows) } },
            false => html! { table { thead { tr { (self.columns) } } (rows) } },
        };
        let body = html! {
            (wide(self.label, &table))
            (more(all.len().saturating_sub(ROWS), self.what))
        };
        section(self.title, self.lead, &body)
    }
}

/// The heads of columns of words.
pub(super) fn columns(names: &[&str]) -> Markup {
    html! { @for name in names { th scope="col" { (name) } } }
}

/// What may be wider than a phone: moved by a finger, or by keys.
pub(super) fn wide(label: &str, inside: &Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(label) { (inside) } }
}

/// What is not shown is counted.
pub(super) fn more(hidden: usize, what: &str) -> Markup {
    html! { @if hidden > 0 { p.quiet { "and " (count(hidden, what)) " more." } } }
}
