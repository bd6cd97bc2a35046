//! Hubs behind TLS: whose certificates count, for every request.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends"
)]

mod common;

use std::path::PathBuf;

use common::tls::{Authority, Fronts, NOW, Years};
use common::{Set, assert_identical, config_of};
use tensorgate_hub::*;
use tensorgate_testhub::{Fault, Port, TestHub};

const LOCALHOST: &str = "localhost";

/// A hub and a CDN at `https://localhost`, and the file of the authority that vouches for them.
async fn hub(name: &str, years: Years) -> (Set, PathBuf) {
    let site = Authority::new();
    let set = behind([(&site, name, years), (&site, LOCALHOST, NOW)]).await;
    let file = site.write(set.dir.path());
    (set, file)
}

async fn behind(certificates: [(&Authority, &str, Years); 2]) -> Set {
    let fronts = Fronts::new().await;
    let [hub, cdn] = fronts
        .addresses()
        .map(|a| format!("https://localhost:{}", a.port()));
    let builder = TestHub::builder()
        .seen_as(Port::Hub, &hub)
        .seen_as(Port::Cdn, &cdn);
    let set = Set::built(builder, |repository| repository);
    fronts.serve(&set.hub, certificates);
    set
}

fn config(set: &Set, vars: &[(&str, &str)]) -> Config {
    let endpoint = ("HF_ENDPOINT", set.hub.endpoint());
    config_of(&[&[endpoint][..], vars].concat()).unwrap()
}

/// What is wrong with the certificate, and what to do.
async fn distrust(set: &Set, vars: &[(&str, &str)]) -> (String, &'static str) {
    let error = set.fetch_with(&config(set, vars)).await.unwrap_err();
    assert_eq!(error.rejection(), None);
    let FetchError::NotTrusted { cause, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(error.to_string().contains("is not trusted"), "{error}");
    // It would be the same again.
    assert!(
        !set.said.all().contains("trying again"),
        "{}",
        set.said.all()
    );
    (cause.to_string(), error.hint().unwrap())
}

#[tokio::test]
async fn an_authority_that_nobody_named_does_not_count() {
    let (set, _) = hub(LOCALHOST, NOW).await;
    let (cause, hint) = distrust(&set, &[]).await;
    assert!(cause.contains("UnknownIssuer"), "{cause}");
    assert!(hint.contains("SSL_CERT_FILE"), "{hint}");
    assert_eq!(set.hub.requests(), []);

    // Nor does another of the same name.
    let other = tempfile::tempdir().unwrap();
    let other = Authority::new().write(other.path());
    let other = [("SSL_CERT_FILE", other.to_str().unwrap())];
    let (cause, hint) = distrust(&set, &other).await;
    assert!(cause.contains("BadSignature"), "{cause}");
    assert!(hint.contains("SSL_CERT_FILE"), "{hint}");
    assert_eq!(set.hub.requests(), []);
}

#[tokio::test]
async fn an_authority_that_is_named_counts_for_listing_files_and_cdn() {
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let (set, file) = hub(LOCALHOST, NOW).await;
        let place = match name {
            "SSL_CERT_FILE" => file.to_str().unwrap().to_owned(),
            _ => format!(
                "{}:{}",
                file.parent().unwrap().display(),
                file.parent().unwrap().display()
            ),
        };
        if name == "SSL_CERT_DIR" {
            // OpenSSL finds files there by the hash of their subject.
            std::fs::copy(&file, file.with_file_name("0123abcd.0")).unwrap();
        }
        let mut config = config(&set, &[(name, &place)]);
        config.token = Some(Token::new("hf_secret", "the test").unwrap());
        let fetched = set.fetch_with(&config).await.unwrap();
        assert_identical(&fetched.path);
        let tokens = |port| {
            let requests = set.hub.requests_at(port);
            assert!(!requests.is_empty());
            requests.iter().filter(|r| r.token().is_some()).count()
        };
        assert_eq!(tokens(Port::Hub), set.hub.requests_at(Port::Hub).len());
        assert_eq!(tokens(Port::Cdn), 0);
    }
}

#[tokio::test]
async fn a_certificate_that_is_over_or_for_another_does_not_count() {
    for (name, years, cause, hint) in [
        (LOCALHOST, (2000, 2001), "expired", "clock"),
        (LOCALHOST, (2090, 2100), "not valid yet", "clock"),
        ("hub.example", NOW, "not valid for name", "endpoint"),
    ] {
        let (set, file) = hub(name, years).await;
        let vars = [("SSL_CERT_FILE", file.to_str().unwrap())];
        let found = distrust(&set, &vars).await;
        assert!(
            found.0.contains(cause) && found.1.contains(hint),
            "{found:?}"
        );
        assert_eq!(set.hub.requests(), []);
    }
}

#[tokio::test]
async fn a_cdn_is_trusted_no_more_than_its_certificate() {
    let (site, other) = (Authority::new(), Authority::new());
    let set = behind([(&site, LOCALHOST, NOW), (&other, LOCALHOST, NOW)]).await;
    let file = site.write(set.dir.path());
    let (cause, _) = distrust(&set, &[("SSL_CERT_FILE", file.to_str().unwrap())]).await;
    assert!(cause.contains("BadSignature"), "{cause}");
    assert!(!set.hub.requests_at(Port::Hub).is_empty());
    assert_eq!(set.hub.requests_at(Port::Cdn), []);
}

#[tokio::test]
async fn an_https_endpoint_never_leaves_https() {
    let (set, file) = hub(LOCALHOST, NOW).await;
    let plain = TestHub::start().unwrap();
    set.hub.inject(Fault::Redirect {
        path: common::WEIGHTS.into(),
        url: format!("{}/x", plain.endpoint()),
    });
    let config = config(&set, &[("SSL_CERT_FILE", file.to_str().unwrap())]);
    let error = set.fetch_with(&config).await.unwrap_err();
    common::raw::assert_malformed(&error, "redirected from https to http");
    assert_eq!(plain.requests(), []);
}

#[tokio::test]
async fn an_http_endpoint_may_lead_to_https() {
    let (site, fronts) = (Authority::new(), Fronts::new().await);
    let [_, cdn] = fronts
        .addresses()
        .map(|a| format!("https://localhost:{}", a.port()));
    // The hub itself is asked without TLS.
    let builder = TestHub::builder().seen_as(Port::Cdn, &cdn);
    let set = Set::built(builder, |repository| repository);
    fronts.serve(&set.hub, [(&site, LOCALHOST, NOW), (&site, LOCALHOST, NOW)]);
    let file = site.write(set.dir.path());
    let config = config(&set, &[("SSL_CERT_FILE", file.to_str().unwrap())]);
    assert_identical(&set.fetch_with(&config).await.unwrap().path);
    assert!(!set.hub.requests_at(Port::Cdn).is_empty());
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_no_https_hub() {
    let set = Set::new();
    let endpoint = set.hub.endpoint().replace("http://", "https://");
    let mut config = common::config(&endpoint, None);
    config.limits.retries = 0;
    let error = set.fetch_with(&config).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("corrupt message"), "{error}");
}

#[test]
fn roots_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    // Neither is waited for, nor read to its end.
    let fifo = dir.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for (name, path) in [
        ("SSL_CERT_FILE", fifo.to_str().unwrap().to_owned()),
        ("SSL_CERT_FILE", "/dev/zero".to_owned()),
        (
            "SSL_CERT_FILE",
            dir.path().join("none.pem").to_str().unwrap().to_owned(),
        ),
        ("SSL_CERT_FILE", dir.path().to_str().unwrap().to_owned()),
        ("SSL_CERT_FILE", write("empty.pem", "")),
        ("SSL_CERT_FILE", write("words.pem", "no certificate")),
        ("SSL_CERT_FILE", write("broken.pem", broken)),
        (
            "SSL_CERT_DIR",
            dir.path().join("none").to_str().unwrap().to_owned(),
        ),
    ] {
        let error = config_of(&[(name, &path)]).unwrap_err();
        assert!(matches!(error, ConfigError::Roots { .. }), "{error:?}");
        assert!(error.to_string().contains(&path), "{error}");
        assert!(error.hint().unwrap().contains("PEM"));
    }
    // Of a bundle, one that can be used is enough.
    let site = Authority::new().write(dir.path());
    let both = format!("{broken}{}", std::fs::read_to_string(site).unwrap());
    assert!(config_of(&[("SSL_CERT_FILE", &write("both.pem", &both))]).is_ok());
    assert!(config_of(&[("SSL_CERT_FILE", "")]).unwrap().roots.is_none());
    // What is no file in a directory of them is passed over, and so is a link that leads nowhere.
    for name in ["words.pem", "empty.pem", "broken.pem"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("nowhere", dir.path().join("0123abcd.0")).unwrap();
    let folder = dir.path().to_str().unwrap();
    assert!(
        config_of(&[("SSL_CERT_DIR", folder)])
            .unwrap()
            .roots
            .is_some()
    );
    write(
        "bad.pem",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    );
    let error = config_of(&[("SSL_CERT_DIR", folder)]).unwrap_err();
    assert!(
        error.to_string().contains("bad.pem\": it is no PEM: "),
        "{error}"
    );
}
