//! Whose signatures count, and trust policies that cannot say.

use crate::support::Workshop;

#[test]
fn another_key_is_not_trusted() {
    let workshop = Workshop::signed();
    workshop.keygen("other");
    workshop.trust(1, &["other"]);
    workshop
        .verify(&[])
        .rejected("signature-invalid", "signatures");
}

#[test]
fn two_keys_must_have_signed() {
    let workshop = Workshop::signed();
    workshop.keygen("second");
    workshop.trust(2, &["release", "second"]);
    workshop
        .verify(&[])
        .rejected("threshold-not-met", "signatures");
    workshop.sign_as("second", &[]).expect(0);
    let signers = workshop.verify(&["--json"]).json()["evidence"]["signers"].clone();
    assert_eq!(signers.as_array().unwrap().len(), 2);
}

#[test]
fn signatures_that_do_not_count_are_told() {
    let workshop = Workshop::signed();
    workshop.keygen("stranger");
    workshop.sign_as("stranger", &[]).expect(0);
    let run = workshop.verify(&[]);
    run.expect(0)
        .says("note: 1 more signature, wrong or by no key that counts here, did not count");
    assert_eq!(
        workshop.verify(&["--json"]).json()["evidence"]["ignored_signatures"],
        1
    );
}

#[test]
fn a_trust_policy_that_others_can_write_is_not_used() {
    let workshop = Workshop::signed();
    for mode in [0o666, 0o664, 0o646] {
        workshop.chmod("trust.toml", mode);
        let run = workshop.verify(&[]);
        run.could_not_check("the trust policy \"trust.toml\" cannot be used");
        run.says("chmod go-w");
    }
    workshop.chmod("trust.toml", 0o644);
    workshop.chmod("release.pub.pem", 0o666);
    workshop
        .verify(&[])
        .could_not_check("line 2: the file \"release.pub.pem\"");
}

#[test]
fn a_malformed_trust_policy_is_shown_with_its_line() {
    let workshop = Workshop::signed();
    let cases = [
        ("threshold = 1\ntreshold = 2\n", "line 2"),
        ("threshold = 1\n[[keys]\n", "line 2"),
        (
            "threshold = 1\n[[keys]]\nname = \"a\"\nrepos = [\"x\"]\n",
            "line 4",
        ),
        ("", "missing field `threshold`"),
        ("threshold = 0\n", "a threshold of 0 would trust everybody"),
        (
            "threshold = 1\n",
            "a threshold of 1 cannot be met by 0 keys",
        ),
        (
            "threshold = 1\n[[keys]]\nname = \"a\"\n",
            "give one of `public_key` and `public_key_file`",
        ),
        (
            "threshold = 1\n[[keys]]\nname = \"a\"\npublic_key = \"x\"\n",
            "not an ed25519 public key in PEM",
        ),
        (
            "threshold = 1\n[[keys]]\nname = \"a\"\npublic_key_file = \"x\"\n",
            "line 2: the file \"x\": No such file",
        ),
    ];
    for (text, why) in cases {
        workshop.write("trust.toml", text);
        let run = workshop.verify(&[]);
        run.could_not_check(why);
        run.says("\nhint: ");
        let object = workshop.verify(&["--json"]);
        let object = object.expect(2).json();
        assert_eq!(
            (&object["verdict"], &object["code"]),
            (&"error".into(), &"could-not-check".into())
        );
        assert!(object["detail"].as_str().unwrap().contains(why));
    }
}
