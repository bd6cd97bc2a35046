//! A stranger's words in a page: never markup, never wider than the page, never turned around.

use maud::{Markup, Render, html};

use crate::text::{line, shorten};

/// Characters of one name or value that a page shows: more than any published policy has.
const MOST: usize = 300;

/// Text that a policy, a key's name or a file system brought along.
pub(super) struct Foreign<T>(pub(super) T);

impl<T: AsRef<str>> Render for Foreign<T> {
    fn render(&self) -> Markup {
        // What cannot be seen, or turns the reading direction, is written as an escape; the template
        // escapes what would be markup.
        let words = line(&shorten(self.0.as_ref(), MOST));
        html! { bdi { (words) } }
    }
}

/// The same for names and values that a person compares letter by letter.
pub(super) fn code(text: impl AsRef<str>) -> Markup {
    html! { code { (Foreign(text)) } }
}

/// The same without an element, for a title.
pub(super) fn words(text: &str) -> String {
    line(&shorten(text, MOST))
}
