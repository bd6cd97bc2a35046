//! When a server says that one may come back.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How long to stay away: `Retry-After` (RFC 9110, section 10.2.3), or what `RateLimit` and
/// `RateLimit-Reset` say of the limit that is spent. What cannot be read was not said.
pub(crate) fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let texts = |name: &str| {
        let values = headers.get_all(name).iter();
        values.filter_map(|value| value.to_str().ok())
    };
    let after = texts(RETRY_AFTER.as_str()).filter_map(|text| after(text.trim(), headers, now));
    let seconds = after
        .max()
        .or_else(|| {
            texts("ratelimit")
                .filter_map(reset)
                .map(|(_, reset)| reset)
                .max()
        })
        .or_else(|| texts("ratelimit-reset").filter_map(seconds).max());
    seconds.map(Duration::from_secs)
}

/// How long a limit stays spent that `RateLimit` says is, with an answer that is no refusal.
pub(crate) fn spent(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("ratelimit").iter();
    let limits = values.filter_map(|value| reset(value.to_str().ok()?));
    let spent = limits.filter_map(|(is_spent, reset)| is_spent.then_some(reset));
    spent.max().map(Duration::from_secs)
}

/// Seconds, or a date: by the server's own clock if it shows it, since a robot's may be wrong.
fn after(text: &str, headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    if let Some(seconds) = seconds(text) {
        return Some(seconds);
    }
    let server = headers.get(DATE).and_then(|date| date.to_str().ok());
    let now = server.and_then(date).unwrap_or(now);
    let wait = date(text)?.as_second().saturating_sub(now.as_second());
    Some(u64::try_from(wait).unwrap_or(0))
}

fn date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// Digits alone, however many.
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `t` of the items of `"resolvers";r=0;t=55` with nothing left, which is said, or else of any; `reset` of
/// `limit=100, remaining=0, reset=50` (draft-ietf-httpapi-ratelimit-headers, 10 and 6).
fn reset(text: &str) -> Option<(bool, u64)> {
    let items = text.split(',').filter_map(|item| {
        let value = |name: &str| {
            let mut pairs = item
                .split(';')
                .filter_map(|pair| pair.trim().split_once('='));
            pairs.find_map(|(key, value)| seconds(value).filter(|_| key == name))
        };
        let reset = value("t").or_else(|| value("reset"))?;
        let left = value("r").or_else(|| value("remaining"));
        Some((left == Some(0), reset))
    });
    // One that is spent counts before any other.
    items.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-26T03:00:00Z";

    fn wait_of(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        let wait = wait(&headers, NOW.parse().unwrap());
        wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn every_form_of_a_wait_is_read() {
        for (name, value, expected) in [
            ("retry-after", "120", Some(120)),
            ("retry-after", " 0 ", Some(0)),
            ("retry-after", "Thu, 26 Nov 2026 03:02:00 GMT", Some(120)),
            ("retry-after", "Thu, 26 Nov 2026 02:59:00 GMT", Some(0)),
            ("retry-after", "18446744073709551615", Some(u64::MAX)),
            ("retry-after", "99999999999999999999999", Some(u64::MAX)),
            ("retry-after", "-5", None),
            ("retry-after", "+5", None),
            ("retry-after", "1.5", None),
            ("retry-after", "NaN", None),
            ("retry-after", "soon", None),
            ("retry-after", "", None),
            ("retry-after", "Thu, 99 Nov 2026 03:02:00 GMT", None),
            ("ratelimit", "\"resolvers\";r=0;t=55", Some(55)),
            (
                "ratelimit",
                "\"api\";r=9;t=99, \"resolvers\";r=0;t=55",
                Some(55),
            ),
            ("ratelimit", "\"a\";r=0;t=5,\"b\";r=0;t=7", Some(7)),
            ("ratelimit", "\"a\";r=3;t=5,\"b\";r=2;t=7", Some(7)),
            ("ratelimit", "limit=100, remaining=0, reset=50", Some(50)),
            ("ratelimit", "\"resolvers\";r=0;t=-1", None),
            ("ratelimit", "\"resolvers\";r=0;t=NaN", None),
            ("ratelimit", ";;;===,,,", None),
            ("ratelimit-reset", "42", Some(42)),
        ] {
            assert_eq!(wait_of(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_limit_is_spent_that_says_so() {
        for (value, expected) in [
            ("\"resolvers\";r=0;t=55", Some(55)),
            ("\"api\";r=9;t=99, \"resolvers\";r=0;t=55", Some(55)),
            ("\"resolvers\";r=1;t=55", None),
            ("\"resolvers\";t=55", None),
            ("\"resolvers\";r=0", None),
            ("\"resolvers\";r=0;t=18446744073709551616", Some(u64::MAX)),
        ] {
            let mut headers = HeaderMap::new();
            headers.append("ratelimit", value.parse().unwrap());
            let seconds = spent(&headers).map(|spent| spent.as_secs());
            assert_eq!(seconds, expected, "{value}");
        }
    }

    #[test]
    fn of_two_words_the_more_careful_counts() {
        let after = |text| ("retry-after", text);
        assert_eq!(wait_of(&[after("1"), after("30"), after("x")]), Some(30));
        let rate = ("ratelimit", "\"resolvers\";r=0;t=55");
        assert_eq!(wait_of(&[after("7"), rate]), Some(7));
        assert_eq!(wait_of(&[after("soon"), rate]), Some(55));
        // The server's clock is an hour ahead.
        let date = after("Thu, 26 Nov 2026 04:02:00 GMT");
        let clock = ("date", "Thu, 26 Nov 2026 04:00:00 GMT");
        assert_eq!(wait_of(&[date, clock]), Some(120));
    }
}
