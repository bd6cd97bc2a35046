//! Whether the clock can be believed: expiry and rollback are judged by it.

use std::path::Path;

use jiff::Timestamp;

use super::check::Check;

/// Before this version was written no clock is right.
const WRITTEN: &str = "2026-11-01T00:00:00Z";
/// No manifest that is signed today is meant to be judged then.
const BEYOND: &str = "2100-01-01T00:00:00Z";

/// What is known of the clock.
pub(super) struct Facts {
    now: Timestamp,
    /// The latest instant that a signer named.
    floor: Option<Timestamp>,
    synchronised: Option<bool>,
}

impl Facts {
    pub(super) fn of_machine(now: Timestamp, floor: Option<Timestamp>) -> Self {
        let synchronised = by_timesyncd(Path::new("/run/systemd/timesync"));
        Self {
            now,
            floor,
            synchronised,
        }
    }
}

/// systemd-timesyncd(8) makes the file once it has set the clock.
fn by_timesyncd(directory: &Path) -> Option<bool> {
    directory
        .is_dir()
        .then(|| directory.join("synchronized").exists())
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![plausible(facts), floor(facts), synchronised(facts)]
}

fn plausible(facts: &Facts) -> Check {
    const NAME: &str = "clock";
    let instant = |text: &str| text.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let now = facts.now;
    if now < instant(WRITTEN) || now > instant(BEYOND) {
        return Check::fail(NAME, format!("it shows {now}, which is not now")).hint(SET);
    }
    Check::ok(NAME, format!("it shows {now}"))
}

const SET: &str = "set it, and have it kept: `timedatectl set-ntp true`, or chrony";

fn floor(facts: &Facts) -> Check {
    const NAME: &str = "clock-floor";
    match facts.floor {
        None => Check::skipped(NAME, "nothing was accepted here yet that names an instant"),
        Some(floor) if facts.now < floor => {
            let seen = format!(
                "the clock is behind {floor}, when something was accepted that was signed then"
            );
            Check::fail(NAME, seen).hint(SET)
        }
        Some(floor) => Check::ok(
            NAME,
            format!("not behind {floor}, the latest that was accepted"),
        ),
    }
}

fn synchronised(facts: &Facts) -> Check {
    const NAME: &str = "clock-source";
    match facts.synchronised {
        Some(true) => Check::ok(NAME, "kept by systemd-timesyncd"),
        Some(false) => Check::warn(NAME, "systemd-timesyncd has not set it yet")
            .hint("wait for the network, or look: `timedatectl timesync-status`"),
        None => Check::skipped(
            NAME,
            "not known who keeps it: systemd-timesyncd does not run",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::Status::{self, Fail, Ok, Skipped, Warn};

    fn of(now: &str, synchronised: Option<bool>) -> Vec<(Status, Option<String>)> {
        let facts = Facts {
            now: now.parse().unwrap(),
            floor: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            synchronised,
        };
        let checks = checks(&facts).into_iter();
        checks.map(|check| (check.status, check.hint)).collect()
    }

    #[test]
    fn a_clock_that_nobody_set_is_noticed() {
        let set =
            || Some("set it, and have it kept: `timedatectl set-ntp true`, or chrony".to_owned());
        for (now, plausible, behind) in [
            ("1970-01-01T00:00:09Z", (Fail, set()), (Fail, set())),
            ("2026-11-01T00:00:00Z", (Ok, None), (Fail, set())),
            ("2027-01-01T00:00:00Z", (Ok, None), (Ok, None)),
            ("2106-02-07T06:28:15Z", (Fail, set()), (Ok, None)),
        ] {
            assert_eq!(of(now, None), [plausible, behind, (Skipped, None)], "{now}");
        }
    }

    #[test]
    fn who_keeps_it_is_said_where_it_is_known() {
        let run = tempfile::tempdir().unwrap();
        let place = run.path().join("timesync");
        assert_eq!(by_timesyncd(&place), None);
        std::fs::create_dir(&place).unwrap();
        assert_eq!(by_timesyncd(&place), Some(false));
        std::fs::write(place.join("synchronized"), "").unwrap();
        assert_eq!(by_timesyncd(&place), Some(true));
        let now = "2027-06-01T00:00:00Z";
        let wait = "wait for the network, or look: `timedatectl timesync-status`";
        assert_eq!(of(now, Some(true))[2], (Ok, None));
        assert_eq!(of(now, Some(false))[2], (Warn, Some(wait.to_owned())));
    }
}
