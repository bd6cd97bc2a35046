//! The network's tensors: how large they are, and how their numbers lie.

use maud::{Markup, html};

use super::foreign::{code, words};
use super::number::size;
use super::plots::bar;
use super::section::section;
use crate::facts::{BINS, Numbers, Tensor};
use crate::text::{count, number, thousands, total};

/// Bars, the largest tensors first; the rest is one bar more.
const BARS: usize = 16;
/// Histograms, of the largest tensors.
const HISTOGRAMS: usize = 24;

pub(super) fn sections(tensors: &[Tensor]) -> Markup {
    html! {
        @if !tensors.is_empty() {
            (sizes(tensors))
            (histograms(tensors))
        }
    }
}

fn sizes(tensors: &[Tensor]) -> Markup {
    let (shown, rest) = tensors.split_at(tensors.len().min(BARS));
    let all = total(tensors.iter().map(|tensor| tensor.bytes));
    let rest_bytes = total(rest.iter().map(|tensor| tensor.bytes));
    let widest = shown
        .first()
        .map_or(0, |tensor| tensor.bytes)
        .max(rest_bytes);
    let bars = html! {
        ul.sizes {
            @for tensor in shown {
                li {
                    div.label {
                        (code(&tensor.name))
                        span.quiet { (tensor.dtype.to_string()) " " (shape(tensor)) " · " (size(tensor.bytes)) }
                    }
                    (bar(tensor.bytes as f64, widest as f64, "part", &bytes(tensor)))
                }
            }
            @if !rest.is_empty() {
                li {
                    div.label {
                        span { (count(rest.len(), "smaller tensor")) ", together" }
                        span.quiet { (size(rest_bytes)) }
                    }
                    (bar(rest_bytes as f64, widest as f64, "rest", &format!("{} bytes", thousands(rest_bytes))))
                }
            }
        }
    };
    let lead = format!("The largest tensors, of {} of weights.", size(all));
    section("Where the bytes are", &lead, &bars)
}

fn bytes(tensor: &Tensor) -> String {
    format!("{}: {} bytes", words(&tensor.name), thousands(tensor.bytes))
}

fn shape(tensor: &Tensor) -> String {
    let dims: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
    match dims.is_empty() {
        true => "scalar".to_owned(),
        false => dims.join(" × "),
    }
}

fn histograms(tensors: &[Tensor]) -> Markup {
    let mut lead = format!(
        "From the least value of a tensor to the greatest, in {BINS} equal parts; the height is the \
         logarithm of how many there are."
    );
    if tensors.len() > HISTOGRAMS {
        let all = thousands(tensors.len() as u64);
        lead += &format!(" The {HISTOGRAMS} largest of {all}.");
    }
    let figures = html! {
        div.many { @for tensor in tensors.iter().take(HISTOGRAMS) { (figure(tensor)) } }
    };
    section("How the values lie", &lead, &figures)
}

fn figure(tensor: &Tensor) -> Markup {
    html! {
        figure {
            figcaption { (code(&tensor.name)) }
            @match &tensor.numbers {
                None => p.quiet { "not read as numbers (" (tensor.dtype.to_string()) ")" },
                Some(numbers) => { (histogram(tensor, numbers)) (troubles(numbers)) }
            }
        }
    }
}

fn histogram(tensor: &Tensor, numbers: &Numbers) -> Markup {
    let Some(((min, max), counts)) = numbers.range.zip(numbers.histogram.as_ref()) else {
        return html! { p.bad-number { "no finite number" } };
    };
    let most = counts.iter().max().map_or(1.0, |most| height(*most));
    let title = format!(
        "{}: {} values from {} to {}, L2 norm {}",
        words(&tensor.name),
        thousands(tensor.elements()),
        number(min),
        number(max),
        number(numbers.l2)
    );
    html! {
        svg.histogram viewBox="0 0 128 60" preserveAspectRatio="none" role="img" {
            title { (title) }
            @for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let tall = height(*count) / most * 60.0;
                rect x=(at * 4) y=(format!("{:.2}", 60.0 - tall)) width="3.4" height=(format!("{tall:.2}")) {}
            }
        }
        div.axis { span { (number(min)) } span { "L2 " (number(numbers.l2)) } span { (number(max)) } }
    }
}

/// Of one value, too, there is something to be seen.
fn height(count: u64) -> f64 {
    (count as f64).ln_1p()
}

fn troubles(numbers: &Numbers) -> Markup {
    html! {
        @if numbers.nan > 0 { p.bad-number { (thousands(numbers.nan)) " NaN" } }
        @if numbers.infinite > 0 { p.bad-number { (thousands(numbers.infinite)) " infinite" } }
    }
}
