//! Trust policies that must not be used.

use crate::support::*;
use tensorgate_verify::*;

#[test]
fn trust_policies_fail_when_they_are_read() {
    let parse = |text: &str| {
        let absent = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        TrustPolicy::parse(text, absent).unwrap_err().to_string()
    };
    let one = trust_text(1, &[1]);
    let cases = [
        (
            one.replace("threshold = 1", "threshold = 2"),
            "line 1: a threshold of 2 cannot be met by 1 key",
        ),
        (
            one.replace("threshold = 1", "threshold = 0"),
            "line 1: a threshold of 0 would trust everybody",
        ),
        (one.replace("threshold = 1", "treshold = 1"), "line 1"),
        (
            format!(
                "{one}{}",
                one.replace("threshold = 1", "").replace("key 1", "another")
            ),
            "the same key as \"key 1\"",
        ),
        (
            trust_text(1, &[1, 2]).replace("key 2", "key 1"),
            "another key has this name",
        ),
        (
            one.replace("public_key =", "public_key_file = 'x'\npublic_key ="),
            "give one of",
        ),
        (
            "threshold = 1\n[[keys]]\nname = 'a'\npublic_key_file = 'a.pem'".into(),
            "line 2: the file \"a.pem\"",
        ),
        (
            "threshold = 1\n[[keys]]\nname = 'a'\npublic_key = 'no pem'".into(),
            "not an ed25519 public key",
        ),
        (format!("{one}repos = []"), "it would never count"),
        (
            format!("{one}repos = ['acme']"),
            "a pattern over repositories",
        ),
        (format!("{one}not_after = 'soon'"), "line 8"),
        (format!("{one}[freshness]\nexpires = 'maybe'"), "line 9"),
        (format!("{one}[freshness]\nexpire = 'warn'"), "line 9"),
        (format!("{one}[rollback]\nmax_jump = -1"), "line 9"),
        (format!("{one}[content]\ndtypes = ['f32']"), "line 9"),
        (format!("{one}[content]\nkinds = ['pickle']"), "line 9"),
        (format!("{one}[limits]\nfile = 7"), "line 9"),
        (format!("{one}[unheard]\nof = 1"), "line 8"),
        (
            format!("{one}[[revoked]]\nreason = 'lost'"),
            "names one of `key`, `manifest`, `blake3`, `revision`",
        ),
        (
            format!("{one}[[revoked]]\nrevision = '{REVISION}'\nreason = \"a\\u001bb\""),
            "line 8: [[revoked]]",
        ),
        (
            format!("{one}[[oms]]\nrepos = ['a/*']"),
            "line 8: [[oms]]: give one of",
        ),
        (
            format!("{one}[[oms]]\nrepos = ['a/*']\npublic_key_file = 'x.pem'\nsubject = 'CN=a'"),
            "`subject` with the latter only",
        ),
        (
            format!("{one}[[oms]]\nrepos = ['a/*']\npublic_key_file = 'x.pem'"),
            "line 8: the file \"x.pem\"",
        ),
        // The point of order 1: under it, a signature for any message is easily made.
        (low_order(), "low order"),
    ];
    for (text, expected) in cases {
        let message = parse(&text);
        assert!(message.contains(expected), "{message:?} for\n{text}");
    }
}

#[test]
fn what_a_trust_policy_says_can_be_asked() {
    let more = "[freshness]\nexpires = 'warn'\nmax_age_days = 9\n[rollback]\nmax_jump = 7\nrequire_state = true\n[[oms]]\nrepos = ['a/*']\npublic_key_file = 'k.pem'\n[[revoked]]\nrevision = '0123456789abcdef0123456789abcdef01234567'\nreason = 'lost'";
    let text = format!("{}{more}", trust_text(2, &[1, 2]));
    let trust = TrustPolicy::parse(&text, |file| Ok(format!("text of {file}"))).unwrap();
    assert_eq!((trust.threshold(), trust.keys().len()), (2, 2));
    assert_eq!(trust.expired_is(), Severity::Warn);
    assert_eq!((trust.max_age_days(), trust.max_jump()), (Some(9), Some(7)));
    assert!(trust.requires_state());
    assert!(trust.oms()[0].repos[0].matches(&"a/b".parse().unwrap()));
    let expected = OmsAnchor::PublicKey("text of k.pem".to_owned());
    assert_eq!(trust.oms()[0].anchor, expected);
    assert_eq!(trust.oms()[0].repos[0].to_string(), "a/*");
    assert_eq!(trust.revoked()[0].reason, "lost");
    assert_eq!(trust.digest(), Sha256::of(text.as_bytes()));
    let root = "root_certificate_file = 'ca.pem'\nsubject = 'CN=signer'";
    let text = text.replace("public_key_file = 'k.pem'", root);
    let rooted = TrustPolicy::parse(&text, |file| Ok(format!("text of {file}"))).unwrap();
    let expected = OmsAnchor::RootCertificate {
        pem: "text of ca.pem".to_owned(),
        subject: Some("CN=signer".to_owned()),
    };
    assert_eq!(rooted.oms()[0].anchor, expected);
    let plain = crate::support::trust(1, &[1]);
    assert_eq!((plain.max_age_days(), plain.max_jump()), (None, None));
    assert!(!plain.requires_state() && plain.oms().is_empty());
}

fn low_order() -> String {
    use base64::Engine;
    let mut der = vec![
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 0x01,
    ];
    der.extend([0; 31]);
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    format!("threshold = 1\n[[keys]]\nname = 'low'\npublic_key = '''{pem}'''")
}

#[test]
fn a_trust_policy_that_others_can_write_is_not_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let handle = std::fs::File::open(folder.path()).unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = || TrustPolicy::open(&handle, std::path::Path::new("trust.toml"));
    let text = "threshold = 1\n[[keys]]\nname = 'a'\npublic_key_file = 'a.pub.pem'";
    write("a.pub.pem", &key(1).public_pem().unwrap(), 0o644);
    write("trust.toml", text, 0o644);
    let chmod = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path().join(name), mode).unwrap();
    };
    chmod(".", 0o755);
    assert_eq!(open().unwrap().keys()[0].id(), key(1).public().id());
    for (name, mode, good) in [
        ("trust.toml", 0o664, 0o644),
        ("trust.toml", 0o646, 0o644),
        ("a.pub.pem", 0o666, 0o644),
        (".", 0o777, 0o755),
    ] {
        chmod(name, mode);
        let message = open().unwrap_err().to_string();
        assert!(message.contains("chmod go-w"), "{name} {mode:o}: {message}");
        chmod(name, good);
        assert!(open().is_ok());
    }
    chmod(".", 0o1777);
    assert!(
        open().is_ok(),
        "nobody else can replace a file in a sticky directory"
    );
    std::fs::rename(
        folder.path().join("a.pub.pem"),
        folder.path().join("b.pub.pem"),
    )
    .unwrap();
    std::os::unix::fs::symlink("b.pub.pem", folder.path().join("a.pub.pem")).unwrap();
    let message = open().unwrap_err().to_string();
    assert!(message.contains("it is a link"), "{message}");
}

#[test]
fn a_trust_policy_of_another_user_is_not_read() {
    if !rustix::process::geteuid().is_root() {
        println!("NOT RUN: only root can give a file away");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trust.toml"), trust_text(1, &[1])).unwrap();
    // Whatever the umask.
    for (name, mode) in [(".", 0o755), ("trust.toml", 0o644)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(folder.path().join(name), mode).unwrap();
    }
    let handle = std::fs::File::open(folder.path()).unwrap();
    let open = || TrustPolicy::open(&handle, std::path::Path::new("trust.toml"));
    assert!(open().is_ok());
    for stranger in ["trust.toml", "."] {
        std::os::unix::fs::chown(folder.path().join(stranger), Some(65_534), None).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("another user, 65534"), "{message}");
        std::os::unix::fs::chown(folder.path().join(stranger), Some(0), None).unwrap();
    }
}
