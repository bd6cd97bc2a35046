use tensorgate_verify::Rejection;

use super::*;

fn named() -> Named {
    Named {
        manifest: "ab".repeat(32).parse().unwrap(),
        epoch: 3,
    }
}

fn health(state: State) -> Health {
    Health {
        state,
        session_id: [0x5a; 16],
        policy: Some(About {
            repo: "acme/walk".into(),
            revision: "0".repeat(40),
            sequence: 7,
            digest: named().manifest,
            signers: "release".into(),
            hold: "guarded by a lease".into(),
            bytes: 1000,
            fragments: 2,
            delivery: Delivery::Pulled,
            expires: Timestamp::MAX,
        }),
        announced: None,
        lease: Duration::from_millis(500),
        channel: None,
        last_rejection: None,
    }
}

fn graph(publishers: &[&str]) -> Graph {
    Graph {
        subscribers: Some(2),
        publishers: publishers.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn status(health: &Health, graph: &Graph) -> DiagnosticStatus {
    health.status("robot/gate: policy", graph, Instant::now())
}

fn value(status: &DiagnosticStatus, key: &str) -> String {
    let found = status.values.iter().find(|pair| pair.key == key);
    found.unwrap().value.clone()
}

#[test]
fn every_state_has_its_level_and_its_words() {
    let expired = Rejection::ManifestExpired;
    let cases = [
        (State::NoPolicy, OK, "no policy"),
        (State::Loading, WARN, "being fetched or verified"),
        (State::Ready(named()), OK, "is announced"),
        (
            State::Rejected(Rejection::DigestMismatch),
            ERROR,
            "refused: digest-mismatch",
        ),
        (State::Failed, ERROR, "could not be checked"),
        (State::Withdrawn(named(), Reason::Asked), OK, "taken back"),
        (
            State::Withdrawn(named(), Reason::Rejected(expired)),
            ERROR,
            "manifest-expired",
        ),
        (
            State::Withdrawn(named(), Reason::CouldNotCheck),
            ERROR,
            "could not be kept",
        ),
        (
            State::Revoked(named(), Rejection::ManifestRevoked),
            ERROR,
            "manifest-revoked",
        ),
    ];
    for (state, level, words) in cases {
        let status = status(&health(state), &graph(&["/robot/gate"]));
        assert_eq!(status.level, level, "{state:?}");
        assert!(status.message.contains(words), "{}", status.message);
        assert_eq!(value(&status, "state"), state.name());
    }
}

#[test]
fn the_values_say_what_is_held() {
    let now = Instant::now();
    let announced = now.checked_sub(Duration::from_secs(65)).unwrap();
    let health = Health {
        announced: Some(announced),
        ..health(State::Ready(named()))
    };
    let status = health.status("robot/gate: policy", &graph(&["/robot/gate"]), now);
    assert_eq!(status.hardware_id, "acme/walk");
    assert_eq!(status.name, "robot/gate: policy");
    let expected = [
        ("digest", "ab".repeat(32)),
        ("session", "5a".repeat(16)),
        ("epoch", "3".into()),
        ("delivery", "pulled".into()),
        ("subscribers", "2".into()),
        ("publishers", "1".into()),
        ("lease_ms", "500".into()),
        ("age_s", "65".into()),
        ("last_rejection", String::new()),
    ];
    for (key, expected) in expected {
        assert_eq!(value(&status, key), expected, "{key}");
    }
}

#[test]
fn a_second_publisher_is_a_warning_wherever_nothing_is_worse() {
    let two = graph(&["/robot/gate", "/rogue\x1b[2J"]);
    for (state, level) in [
        (State::Ready(named()), WARN),
        (State::NoPolicy, WARN),
        (State::Failed, ERROR),
    ] {
        let status = status(&health(state), &two);
        assert_eq!(status.level, level, "{state:?}");
        assert_eq!(value(&status, "publishers"), "2");
        assert!(level == ERROR || status.message.contains("/rogue\u{fffd}[2J"));
    }
    let renamed = status(&health(State::Ready(named())), &graph(&[]));
    assert_eq!(
        (renamed.level, value(&renamed, "publishers")),
        (OK, "unknown".into())
    );
}

#[test]
fn a_later_refusal_is_a_warning_an_earlier_one_is_history() {
    let (earlier, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let with = |announced, refused| Health {
        announced: Some(announced),
        last_rejection: Some((refused, "threshold-not-met: 0 of 1".into())),
        ..health(State::Ready(named()))
    };
    let status = |health| status(&health, &graph(&["/robot/gate"]));
    assert_eq!(status(with(earlier, later)).level, WARN);
    assert_eq!(status(with(later, earlier)).level, OK);
    let kept = value(&status(with(later, earlier)), "last_rejection");
    assert_eq!(kept, "threshold-not-met: 0 of 1");
}

#[test]
fn a_channel_that_is_polled_and_silent_is_a_warning() {
    let now = Instant::now();
    let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
    let with = |interval, polled| Health {
        announced: ago(1000),
        channel: Some(Channel {
            name: "acme/walk@main".into(),
            interval,
            polled,
        }),
        ..health(State::Ready(named()))
    };
    let level = |health: Health| health.status("gate: policy", &graph(&["/gate"]), now).level;
    let ten = Some(Duration::from_secs(10));
    assert_eq!(level(with(ten, ago(5))), OK);
    assert_eq!(level(with(ten, ago(31))), WARN);
    assert_eq!(level(with(ten, None)), WARN);
    assert_eq!(level(with(None, None)), OK);
}

#[test]
fn time_alone_is_no_news() {
    let now = Instant::now();
    let health = Health {
        announced: Some(now),
        ..health(State::Ready(named()))
    };
    let at = |seconds| {
        let then = now + Duration::from_secs(seconds);
        health.status("gate: policy", &graph(&["/gate"]), then)
    };
    assert_ne!(value(&at(0), "age_s"), value(&at(9), "age_s"));
    assert!(!differ(&at(0), &at(9)));
    let failed = Health {
        state: State::Failed,
        ..health.clone()
    };
    assert!(differ(
        &at(0),
        &failed.status("gate: policy", &graph(&["/gate"]), now)
    ));
}

#[test]
fn hostile_text_is_short_and_printable() {
    let long = Health {
        last_rejection: Some((Instant::now(), "\0\x1b".repeat(1 << 20))),
        ..health(State::Failed)
    };
    let value = value(&status(&long, &graph(&[])), "last_rejection");
    assert_eq!(value.chars().count(), LONGEST);
    assert!(!value.contains(['\0', '\x1b']));
}
