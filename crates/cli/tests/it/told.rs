//! What a signer and a verifier are told: see `book`.

use crate::book::Book;
use crate::support::{EXPIRES, REVISION, Workshop, weights};

pub(crate) const SIGN: &str = "sign walk --key release.key.pem --repo acme/walk --revision 0123456789abcdef0123456789abcdef01234567 --sequence 5 --expires 2099-01-01T00:00:00Z";
const VERIFY: &str = "verify walk --trust trust.toml";

#[test]
fn keygen() {
    let workshop = Workshop::new();
    let mut book = Book::of(&workshop, "keygen");
    book.tell(0, "a new pair", "keygen --out release");
    book.tell(2, "the name is taken", "keygen --out release");
    book.tell(2, "the name is none", "keygen --out ..");
    workshop.write("open.txt", "secret\n");
    workshop.chmod("open.txt", 0o644);
    book.tell(
        2,
        "anybody may read the passphrase",
        "keygen --out other --passphrase-file open.txt",
    );
    workshop.secret("empty.txt", "\n");
    book.tell(
        2,
        "the passphrase is empty",
        "keygen --out other --passphrase-file empty.txt",
    );
    book.tell(
        2,
        "there is no passphrase file",
        "keygen --out other --passphrase-file missing.txt",
    );
    book.tell(
        2,
        "the directory is not there",
        "keygen --out nowhere/release",
    );
    book.close("keygen");
}

#[test]
fn sign() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    let mut book = Book::of(&workshop, "sign");
    book.tell(0, "a first signature", SIGN);
    book.tell(0, "the same again", SIGN);
    workshop.keygen("second");
    book.tell(0, "a second signer", &SIGN.replace("release", "second"));
    book.tell(
        2,
        "another sequence",
        &SIGN.replace("--sequence 5", "--sequence 6"),
    );
    book.tell(
        1,
        "it has ended",
        &SIGN.replace(EXPIRES, "2020-01-01T00:00:00Z"),
    );
    book.tell(
        2,
        "the key is the public half",
        &SIGN.replace("release.key", "release.pub"),
    );
    workshop.chmod("release.key.pem", 0o644);
    book.tell(2, "others may read the key", SIGN);
    workshop.chmod("release.key.pem", 0o600);
    workshop.secret("noise.key.pem", "noise");
    book.tell(
        2,
        "the key is no PEM",
        &SIGN.replace("release.key", "noise.key"),
    );
    workshop.secret(
        "cert.key.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    book.tell(
        2,
        "the key is a certificate",
        &SIGN.replace("release.key", "cert.key"),
    );
    workshop.secret("pass.txt", "secret\n");
    workshop.secret("wrong.txt", "terces\n");
    workshop
        .run(["keygen", "--out", "locked", "--passphrase-file", "pass.txt"])
        .expect(0);
    let locked = SIGN.replace("release", "locked");
    book.tell(2, "the key is encrypted", &locked);
    book.tell(
        2,
        "the passphrase is another",
        &format!("{locked} --passphrase-file wrong.txt"),
    );
    book.tell(
        2,
        "a passphrase for a plain key",
        &format!("{SIGN} --passphrase-file pass.txt"),
    );
    let ec = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "ec.key.pem",
    ];
    workshop.openssl(&ec);
    workshop.chmod("ec.key.pem", 0o600);
    book.tell(
        2,
        "the key is on another curve",
        &SIGN.replace("release", "ec"),
    );
    book.tell(
        2,
        "an ed25519 key for OMS",
        "sign walk --format oms --key release.key.pem --out x.sig",
    );
    workshop.write("walk/config.json", "{}");
    book.tell(2, "the policy has no type", SIGN);
    workshop.write("walk/weights.pkl", "\u{80}");
    book.tell(1, "a file is rejected", SIGN);
    workshop.remove("walk/weights.pkl");
    workshop.write("walk/config.json", r#"{"type": "mlp"}"#);
    book.tell(
        2,
        "the manifest would be one of the files",
        &format!("{SIGN} --out walk/other.json"),
    );
    workshop.write("taken.json", "{}");
    book.tell(
        2,
        "what is to be replaced is no manifest",
        &format!("{SIGN} --out taken.json --replace"),
    );
    workshop.write(
        "bad.toml",
        "[[externals]]\nfield = \"a\"\nname = \"b\"\ndecision = \"absent\"\n",
    );
    book.tell(
        2,
        "a declaration is not complete",
        &format!("{SIGN} --externals bad.toml"),
    );
    book.tell(
        2,
        "the directory is not there",
        &SIGN.replace("walk ", "nowhere "),
    );
    workshop.remove("walk/policy.dsse.json");
    book.tell(
        0,
        "a weaker bundle",
        "sign walk --format oms --key ec.key.pem --out walk.sig",
    );
    book.tell(
        2,
        "the bundle is there",
        "sign walk --format oms --key ec.key.pem --out walk.sig",
    );
    workshop.write("walk/model.sig", workshop.read("walk.sig"));
    book.tell(1, "a manifest beside a bundle", SIGN);
    book.close("sign");
}

#[test]
fn verify() {
    let workshop = Workshop::signed();
    let mut book = Book::of(&workshop, "verify");
    book.tell(0, "the first release", VERIFY);
    book.tell(0, "again", VERIFY);
    book.tell(
        0,
        "as of another instant",
        &format!("{VERIFY} --now 2027-01-01T00:00:00Z"),
    );
    book.tell(
        1,
        "another repository",
        &format!("{VERIFY} --repo acme/other"),
    );
    workshop.flip("walk/model.safetensors", 400);
    book.tell(1, "a byte was changed", VERIFY);
    workshop.flip("walk/model.safetensors", 400);
    workshop.trust(2, &["release"]);
    book.tell(2, "a threshold that cannot be met", VERIFY);
    workshop.trust(1, &["missing"]);
    book.tell(2, "the key's file is not there", VERIFY);
    workshop.write(
        "trust.toml",
        "threshold = 1\n[[keys]]\nname = \"a\"\npublic_key = \"x\"\n",
    );
    book.tell(2, "the key is none", VERIFY);
    workshop.write("trust.toml", "threshold = 1\nthresold = 2\n");
    book.tell(2, "an unknown field", VERIFY);
    workshop.trust(1, &["release"]);
    workshop.chmod("trust.toml", 0o666);
    book.tell(2, "others may write to the trust policy", VERIFY);
    workshop.chmod("trust.toml", 0o644);
    book.tell(
        2,
        "there is no trust policy",
        &VERIFY.replace("trust.toml", "missing.toml"),
    );
    book.tell(
        2,
        "the trust policy is in a file",
        &VERIFY.replace("trust.toml", "trust.toml/x"),
    );
    book.tell(
        2,
        "there is no directory",
        &VERIFY.replace("walk", "nowhere"),
    );
    book.tell(
        2,
        "there is no such manifest",
        &format!("{VERIFY} --manifest missing.json"),
    );
    book.tell(
        2,
        "there is no such list",
        &format!("{VERIFY} --revocations missing.json"),
    );
    let trust = String::from_utf8(workshop.read("trust.toml")).unwrap();
    workshop.write(
        "trust.toml",
        format!("{trust}[rollback]\nrequire_state = true\n"),
    );
    book.tell(
        2,
        "a store that must be there",
        &format!("{VERIFY} --state elsewhere"),
    );
    workshop.trust(1, &["release"]);
    workshop.write("store/state/index.json", "{");
    book.tell(2, "the memory is damaged", VERIFY);
    book.close("verify");
}

#[test]
fn oms() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    workshop.keygen("release");
    let ec = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        "ec.key.pem",
    ];
    workshop.openssl(&ec);
    workshop.chmod("ec.key.pem", 0o600);
    workshop.openssl(&["ec", "-in", "ec.key.pem", "-pubout", "-out", "ec.pub.pem"]);
    workshop
        .run(["sign", "walk", "--format", "oms", "--key", "ec.key.pem"])
        .expect(0);
    workshop.trust(1, &["release"]);
    let mut book = Book::of(&workshop, "verify --oms");
    book.tell(1, "a bundle, and nobody says of which repository", VERIFY);
    let verify = format!("{VERIFY} --repo acme/walk");
    book.tell(1, "the trust policy takes none of it", &verify);
    let trust = String::from_utf8(workshop.read("trust.toml")).unwrap();
    let oms = "[[oms]]\nrepos = [\"acme/*\"]\npublic_key_file = \"ec.pub.pem\"\n";
    workshop.write("trust.toml", format!("{trust}{oms}"));
    book.tell(
        1,
        "a commit, which it does not prove",
        &format!("{verify} --revision {REVISION}"),
    );
    book.tell(0, "by the bundle", &verify);
    workshop.write("walk/code.py", "print()\n");
    workshop.run([
        "sign",
        "walk",
        "--format",
        "oms",
        "--key",
        "ec.key.pem",
        "--out",
        "code.sig",
    ]);
    book.tell(
        1,
        "code, which it cannot declare",
        &format!("{verify} --oms walk/model.sig"),
    );
    workshop.remove("walk/code.py");
    workshop.write("bundle.sig", workshop.read("walk/model.sig"));
    workshop.remove("walk/model.sig");
    workshop.run(SIGN.split(' ')).expect(0);
    book.tell(
        1,
        "a manifest beside it",
        &format!("{verify} --oms bundle.sig"),
    );
    workshop.run(verify.split(' ')).expect(0);
    workshop.remove("walk/policy.dsse.json");
    workshop.write("walk/model.sig", workshop.read("bundle.sig"));
    book.tell(1, "somebody took the manifest away", &verify);
    book.close("oms");
}

#[test]
fn audit() {
    let workshop = Workshop::new();
    workshop.policy("walk");
    let mut book = Book::of(&workshop, "audit");
    book.tell(0, "nothing is the matter", "audit walk");
    workshop.write("walk/config.json", r#"{"type": "mlp", "type": "act"}"#);
    workshop.write("walk/run.sh", "#!/bin/sh\n");
    book.tell(1, "two things are", "audit walk");
    book.tell(2, "there is no directory", "audit nowhere");
    book.tell(
        2,
        "the declarations are not there",
        "audit walk --externals missing.toml",
    );
    workshop.write("bad.toml", "[[external]]\n");
    book.tell(
        2,
        "the declarations have an unknown table",
        "audit walk --externals bad.toml",
    );
    book.tell(
        2,
        "a commit that is not in the store",
        &format!("audit acme/walk@{REVISION} --offline"),
    );
    book.close("audit");
}

#[test]
fn inspect() {
    let workshop = Workshop::signed();
    let mut book = Book::of(&workshop, "inspect");
    book.tell(0, "weights", "inspect walk/model.safetensors");
    book.tell(0, "a directory", "inspect walk");
    book.tell(0, "a manifest", "inspect walk/policy.dsse.json");
    book.tell(2, "something else", "inspect release.pub.pem");
    book.tell(2, "nothing", "inspect nowhere");
    workshop.write("cut.safetensors", &weights()[..100]);
    book.tell(1, "a beginning of weights", "inspect cut.safetensors");
    book.close("inspect");
}

#[test]
fn diff() {
    let workshop = Workshop::new();
    workshop.policy("a");
    workshop.policy("b");
    workshop.write("b/config.json", r#"{"type": "act"}"#);
    workshop.flip("b/model.safetensors", 1000);
    let mut book = Book::of(&workshop, "diff");
    book.tell(0, "two policies", "diff a b");
    book.tell(0, "one policy", "diff a a");
    book.tell(2, "one that is not there", "diff a nowhere");
    book.close("diff");
}
