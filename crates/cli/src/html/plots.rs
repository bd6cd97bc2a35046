//! What plots have in common. Words are HTML, which wraps; only shapes are SVG, which stretches.

use maud::{Markup, html};

use super::number::percent;

/// A bar as long as its part of the whole; `words` say the same.
pub(super) fn bar(part: f64, whole: f64, class: &str, words: &str) -> Markup {
    html! {
        svg.bar viewBox="0 0 100 6" preserveAspectRatio="none" role="img" {
            title { (words) }
            rect.all width="100" height="6" {}
            rect.(class) width=(percent(part, whole)) height="6" {}
        }
    }
}
