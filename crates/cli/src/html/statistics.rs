//! Normaliser statistics: the range of each dimension, and where its values are mostly.

use maud::{Markup, html};

use super::foreign::code;
use super::section::{more, section};
use crate::facts::{Feature, State};
use crate::text::{count, number};

/// Dimensions of one feature that are drawn; a humanoid has about thirty joints.
const DIMENSIONS: usize = 64;
/// Features of one file that are drawn.
const FEATURES: usize = 32;
/// Files that are drawn: one pipeline before the network, one after.
const FILES: usize = 8;

pub(super) fn sections(states: &[State]) -> Markup {
    if states.is_empty() {
        return html! {};
    }
    let lead = "Each dimension of a feature, all of a feature on one scale. It decides what the motors get \
                as much as the weights do.";
    let plots = html! {
        div.key { span { "least to greatest" } span.spread { "mean ± standard deviation" } span.mean { "mean" } }
        @for state in states.iter().take(FILES) { (file(state)) }
        (more(states.len().saturating_sub(FILES), "file"))
    };
    section("What scales observations and actions", lead, &plots)
}

fn file(state: &State) -> Markup {
    html! {
        p.quiet { (code(state.file.as_str())) }
        @for feature in state.features.iter().take(FEATURES) { (self::feature(feature)) }
        (more(state.features.len().saturating_sub(FEATURES), "feature"))
        @if state.left_out > 0 {
            p.quiet { "and " (count(state.left_out, "statistic")) " that were not read." }
        }
    }
}

fn feature(feature: &Feature) -> Markup {
    let dimensions = feature.dimensions();
    let hidden = dimensions.saturating_sub(DIMENSIONS) + feature.left_out;
    html! {
        h3 { (code(&feature.name)) " " span.quiet { "(" (count(dimensions, "dimension")) ")" } }
        @match Scale::of(feature) {
            None => p { "no finite numbers" },
            Some(scale) => ul.dots {
                li.axis-row aria-hidden="true" {
                    span {}
                    div.axis { span { (number(scale.low)) } span { (number(scale.high)) } }
                    span {}
                }
                @for dimension in 0..dimensions.min(DIMENSIONS) { (scale.row(feature, dimension)) }
            },
        }
        (more(hidden, "dimension"))
    }
}

/// What the width of a plot stands for.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Wide enough for all that is drawn.
    fn of(feature: &Feature) -> Option<Self> {
        let drawn = 0..feature.dimensions().min(DIMENSIONS);
        let all: Vec<f64> = drawn
            .flat_map(|dimension| ends(feature, dimension))
            .collect();
        let low = all.iter().copied().reduce(f64::min)?;
        let high = all.iter().copied().reduce(f64::max)?;
        Some(Self { low, high })
    }

    /// Halves, since the whole may be wider than the largest float.
    fn at(&self, value: f64) -> f64 {
        let (part, whole) = (
            value / 2.0 - self.low / 2.0,
            self.high / 2.0 - self.low / 2.0,
        );
        let share = if whole > 0.0 { part / whole } else { 0.5 };
        // Room for what is as thick as a line.
        1.0 + share.clamp(0.0, 1.0) * 98.0
    }

    fn row(&self, feature: &Feature, dimension: usize) -> Markup {
        let mean = feature.number("mean", dimension);
        let std = feature.number("std", dimension);
        let range = feature.range(dimension);
        html! {
            li {
                span.quiet { (dimension) }
                svg.range viewBox="0 0 100 10" preserveAspectRatio="none" role="img" {
                    title { (words(feature, dimension)) }
                    @if self.low < 0.0 && self.high > 0.0 { path.zero d=(format!("M{:.2} 0v10", self.at(0.0))) {} }
                    @if let Some(range) = range { (self.line("ends", range.low, range.high)) }
                    @if let Some((mean, std)) = mean.zip(std) { (self.line("spread", mean - std, mean + std)) }
                    @if let Some(mean) = mean { (self.line("mean", mean, mean)) }
                }
                span { (words(feature, dimension)) }
            }
        }
    }

    /// A line without length is a dot, as round as it is thick.
    fn line(&self, class: &str, from: f64, to: f64) -> Markup {
        let (from, to) = (self.at(from), self.at(to));
        html! { path.(class) d=(format!("M{from:.2} 5H{:.2}", to.max(from + 0.01))) {} }
    }
}

fn ends(feature: &Feature, dimension: usize) -> impl Iterator<Item = f64> {
    let mean = feature.number("mean", dimension);
    let std = feature.number("std", dimension).unwrap_or(0.0);
    let range = feature
        .range(dimension)
        .map(|range| [range.low, range.high]);
    let spread = mean.map(|mean| [mean - std, mean + std]);
    let all = range.into_iter().chain(spread).flatten();
    all.filter(|end| end.is_finite())
}

fn words(feature: &Feature, dimension: usize) -> String {
    let mut words = Vec::new();
    if let Some(range) = feature.range(dimension) {
        let (low, high) = (number(range.low), number(range.high));
        words.push(match range.names {
            ("min", "max") => format!("{low} to {high}"),
            (from, to) => format!("{from} {low} to {to} {high}"),
        });
    }
    if let Some(mean) = feature.number("mean", dimension) {
        let std = feature.number("std", dimension);
        let std = std.map_or_else(String::new, |std| format!(" ± {}", number(std)));
        words.push(format!("mean {}{std}", number(mean)));
    }
    words.join(", ")
}
