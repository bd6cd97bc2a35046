//! Proxies: every request goes through, and nothing that is secret is said on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::process::Command;

use common::forward::{Forward, Rule};
use common::raw::assert_malformed;
use common::tls::{Authority, Fronts, NOW};
use common::{Set, WEIGHTS, assert_identical, config_of};
use tensorgate_hub::*;
use tensorgate_testhub::{Builder, Fault, Port, TestHub};

const TOKEN: &str = "hf_secret";

/// A hub that calls itself by names which only the proxy knows.
fn named(scheme: &str) -> Builder {
    TestHub::builder()
        .seen_as(Port::Hub, &format!("{scheme}://hub.example"))
        .seen_as(Port::Cdn, &format!("{scheme}://cdn.example"))
}

fn set() -> Set {
    Set::built(named("http"), |repository| repository)
}

fn before(set: &Set) -> Forward {
    let [hub, cdn] = [Port::Hub, Port::Cdn].map(|port| set.hub.address(port));
    Forward::to(hub, cdn)
}

fn config(set: &Set, vars: &[(&str, &str)]) -> Config {
    let endpoint = ("HF_ENDPOINT", set.hub.endpoint());
    let mut config = config_of(&[&[endpoint][..], vars].concat()).unwrap();
    config.limits.retries = 0;
    config
}

/// What a fetch through that proxy ends with.
async fn end_of(set: &Set, proxy: &Forward) -> FetchError {
    let address = format!("http://{}", proxy.address);
    let config = config(set, &[("ALL_PROXY", &address)]);
    set.fetch_with(&config).await.unwrap_err()
}

#[tokio::test]
async fn every_plain_request_goes_through_the_proxy() {
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let set = set();
        let proxy = before(&set);
        // A name and password are for the proxy, and for nobody behind it.
        let address = format!("http://me:hunter2@{}", proxy.address);
        let config = config(&set, &[(name, &address)]);
        let hub = Hub::new(&config).unwrap();
        assert!(!format!("{config:?} {hub:?}").contains("hunter2"));
        let fetched = set.fetch_with(&config).await.unwrap();
        assert_identical(&fetched.path);
        let heads = proxy.heads();
        assert_eq!(heads.len(), set.hub.requests().len());
        for head in heads {
            assert!(head.starts_with("GET http://"), "{head}");
            // `me:hunter2`
            assert!(head.contains("Basic bWU6aHVudGVyMg=="), "{head}");
        }
        let requests = set.hub.requests();
        assert!(requests.iter().all(|r| r.authorization.is_none()));
    }
}

#[tokio::test]
async fn every_request_goes_through_a_tunnel_that_hears_no_token() {
    let (site, fronts) = (Authority::new(), Fronts::new().await);
    let [hub, cdn] = fronts.addresses();
    let set = Set::built(named("https"), |repository| repository);
    fronts.serve(
        &set.hub,
        [(&site, "hub.example", NOW), (&site, "cdn.example", NOW)],
    );
    let (proxy, file) = (Forward::to(hub, cdn), site.write(set.dir.path()));
    let address = format!("http://me:hunter2@{}", proxy.address);
    let vars = [
        ("HTTPS_PROXY", &*address),
        ("SSL_CERT_FILE", file.to_str().unwrap()),
        ("HF_TOKEN", TOKEN),
    ];
    let fetched = set.fetch_with(&config(&set, &vars)).await.unwrap();
    assert_identical(&fetched.path);
    let heads = proxy.heads();
    for host in ["hub.example", "cdn.example"] {
        let begin = format!("CONNECT {host}:443 ");
        assert!(
            heads.iter().any(|head| head.starts_with(&begin)),
            "{heads:?}"
        );
    }
    for head in heads {
        assert!(
            head.starts_with("CONNECT ") && !head.contains(TOKEN),
            "{head}"
        );
        assert!(head.contains("Basic bWU6aHVudGVyMg=="), "{head}");
    }
    let hub = set.hub.requests_at(Port::Hub);
    assert!(hub.iter().all(|request| request.token() == Some(TOKEN)));
    let cdn = set.hub.requests_at(Port::Cdn);
    assert!(cdn.iter().all(|request| request.authorization.is_none()));
}

#[tokio::test]
async fn what_is_near_or_named_is_asked_without_a_proxy() {
    let refuse = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let proxy = Forward::start(Rule::Answer(refuse));
    let address = format!("http://{}", proxy.address);
    // On this machine.
    let near = Set::new();
    let config_near = config(&near, &[("ALL_PROXY", &address)]);
    assert_identical(&near.fetch_with(&config_near).await.unwrap().path);
    // By name: without the proxy, nobody knows it.
    let far = set();
    for none in ["hub.example", ".example", "*", "x, hub.example"] {
        let vars = [("ALL_PROXY", &*address), ("NO_PROXY", none)];
        let error = far.fetch_with(&config(&far, &vars)).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    }
    assert_eq!(proxy.heads(), [""; 0]);
    let vars = [("ALL_PROXY", &*address), ("NO_PROXY", "other.example")];
    let error = far.fetch_with(&config(&far, &vars)).await.unwrap_err();
    assert!(matches!(error, FetchError::Refused(_)), "{error:?}");
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_says_so() {
    let plain = set();
    let tunnel = Set::built(named("https"), |repository| repository);
    let unknown = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let proxy = Forward::start(Rule::Answer(unknown));
    for set in [&plain, &tunnel] {
        let error = end_of(set, &proxy).await;
        let FetchError::Refused(refused) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(refused.reason, Reason::ProxyAuthentication);
        assert!(
            error.to_string().starts_with("the proxy wants a login"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("NAME:PASSWORD"));
    }
    assert_eq!(proxy.heads().len(), 2);

    let broken = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let proxy = Forward::start(Rule::Answer(broken));
    let error = end_of(&plain, &proxy).await;
    let FetchError::Refused(refused) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refused.reason, Reason::Unavailable);
    assert!(error.hint().unwrap().contains("proxy"));
    let error = end_of(&tunnel, &proxy).await;
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("tunnel"), "{error}");

    // Nothing listens.
    let address = proxy.address;
    let nothing = format!(
        "http://me:hunter2@127.0.0.1:{}",
        if address.port() == 1 { 2 } else { 1 }
    );
    let vars = [("ALL_PROXY", &*nothing)];
    let error = plain.fetch_with(&config(&plain, &vars)).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("proxy"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

/// A Hub that somebody else runs must not make the robot ask the machines around it.
#[tokio::test]
async fn a_redirect_leads_no_nearer_than_the_endpoint_is() {
    let near = TestHub::start().unwrap();
    let port = near.address(Port::Hub).port();
    for (host, what) in [
        (
            "127.0.0.1",
            "redirected to 127.0.0.1, an address of this machine",
        ),
        ("2130706433", "redirected to 127.0.0.1"),
        ("0x7f.1", "redirected to 127.0.0.1"),
        ("[::1]", "redirected to ::1, an address of this machine"),
        ("[::ffff:127.0.0.1]", "this machine"),
        ("0.0.0.0", "this machine"),
        (
            "10.0.0.1",
            "redirected to 10.0.0.1, an address of a private network",
        ),
        ("192.168.1.1", "a private network"),
        ("169.254.169.254", "an address of this link"),
        ("[fe80::1]", "an address of this link"),
        ("[fd00::1]", "a private network"),
        ("100.64.0.1", "a private network"),
        ("[64:ff9b::10.0.0.1]", "a private network"),
        ("[2002:a00:1::1]", "a private network"),
        ("224.0.0.1", "an address of no Hub"),
        ("192.0.2.1", "an address of no Hub"),
        // Names are judged by what they stand for, where no proxy looks them up.
        ("localhost", "redirected to localhost at "),
    ] {
        let set = set();
        let proxy = before(&set);
        let address = format!("http://{}", proxy.address);
        let (path, url) = (WEIGHTS.into(), format!("http://{host}:{port}/x"));
        set.hub.inject(Fault::Redirect { path, url });
        let vars = [("ALL_PROXY", &*address), ("NO_PROXY", "localhost")];
        let error = set.fetch_with(&config(&set, &vars)).await.unwrap_err();
        assert_malformed(&error, what);
        assert!(
            error
                .to_string()
                .contains("from an endpoint of the internet")
        );
        assert!(!proxy.heads().iter().any(|head| head.contains(host)));
    }
    assert_eq!(near.requests(), []);
}

/// The variables of a real process; the test runs itself in one.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_a_process_is_what_counts() {
    const CHILD: &str = "TENSORGATE_TEST_TARGET";
    if let Ok(target) = std::env::var(CHILD) {
        let hub = Hub::new(&Config::from_env().unwrap()).unwrap();
        let target: Target = target.parse().unwrap();
        let repository = hub.repository_of(&target);
        let commit = repository.resolve("main", &Silent).await.unwrap();
        assert_eq!(target.at, At::Commit(commit));
        return;
    }
    let (site, fronts) = (Authority::new(), Fronts::new().await);
    let [hub, cdn] = fronts.addresses();
    let set = Set::built(named("https"), |repository| repository);
    let certificate = (&site, "hub.example", NOW);
    fronts.serve(&set.hub, [certificate, certificate]);
    let proxy = Forward::to(hub, cdn);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_environment_of_a_process_is_what_counts"])
        .env_clear()
        .env(CHILD, set.target().to_string())
        .env("HF_ENDPOINT", set.hub.endpoint())
        .env("HF_TOKEN", TOKEN)
        .env("HTTPS_PROXY", format!("http://{}", proxy.address))
        .env("SSL_CERT_FILE", site.write(set.dir.path()))
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let requests = set.hub.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].token(), Some(TOKEN));
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1);
    assert!(
        heads[0].starts_with("CONNECT hub.example:443 "),
        "{heads:?}"
    );
}

/// A system without root certificates: also what was not said here is clear.
#[test]
fn a_system_without_roots_is_said() {
    const CHILD: &str = "TENSORGATE_TEST_NO_ROOTS";
    if std::env::var_os(CHILD).is_some() {
        let config = Config::new("https://hub.example".parse().unwrap());
        let error = Hub::new(&config).unwrap_err();
        assert!(matches!(error, ConfigError::Client(_)), "{error:?}");
        assert!(error.to_string().contains("No CA certificates"), "{error}");
        assert!(error.hint().unwrap().contains("SSL_CERT_FILE"));
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_system_without_roots_is_said"])
        .env_clear()
        .env(CHILD, "1")
        .env("SSL_CERT_FILE", "/nowhere/roots.pem")
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
}
