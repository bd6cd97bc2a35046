//! Chains of certificates, as openssl makes them.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tensorgate_oms::{Anchor, RootCertificate, Statement};
use tensorgate_verify::{Rejection, Result};

use crate::support::*;

pub(crate) const ROOT: &str =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
const BETWEEN: &str = ROOT;
const SIGNER: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning";
const RSA: &str = "rsa:3072";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";

/// Certificates beside a policy.
pub(crate) struct Authorities(pub(crate) Policy);

/// What is asked of openssl for one certificate.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    subject: &'a str,
    key: &'a str,
    hash: &'a str,
    days: u16,
    extensions: &'a str,
}

impl Ask<'static> {
    pub(crate) const fn of(
        subject: &'static str,
        key: &'static str,
        extensions: &'static str,
    ) -> Self {
        Self {
            subject,
            key,
            hash: "sha256",
            days: 3650,
            extensions,
        }
    }
}

impl Authorities {
    fn new() -> Self {
        Self(Policy::new())
    }

    pub(crate) fn root(&self, file: &str, ask: Ask<'_>) {
        self.configure(file, ask);
        let Ask {
            key, hash, days, ..
        } = ask;
        self.0.openssl(&format!(
            "req -x509 -config {file}.cnf -newkey {key} -nodes -keyout {file}.key -out {file}.pem -days {days} -{hash}"
        ));
    }

    fn issue(&self, file: &str, issuer: &str, ask: Ask<'_>) {
        self.configure(file, ask);
        let Ask {
            key, hash, days, ..
        } = ask;
        self.0.openssl(&format!(
            "req -new -config {file}.cnf -newkey {key} -nodes -keyout {file}.key -out {file}.csr"
        ));
        self.0.openssl(&format!(
            "x509 -req -in {file}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial 7 -days {days} -{hash} -extfile {file}.cnf -extensions ext -out {file}.pem"
        ));
    }

    fn configure(&self, file: &str, ask: Ask<'_>) {
        let Ask {
            subject,
            extensions,
            ..
        } = ask;
        let text = format!(
            "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN={subject}\n[ext]\n{extensions}\n"
        );
        fs::write(self.0.beside(&format!("{file}.cnf")), text).unwrap();
    }

    pub(crate) fn anchor(&self, file: &str) -> Anchor {
        Anchor::root_certificate(&self.0.text(&format!("{file}.pem"))).unwrap()
    }

    fn der(&self, file: &str) -> Vec<u8> {
        let pem = self.0.text(&format!("{file}.pem"));
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        STANDARD.decode(lines.collect::<String>()).unwrap()
    }

    /// A bundle signed by the first of these, with the chain that they are.
    fn bundle(&self, chain: &[&str]) -> Value {
        let payload = statement(&resources(&self.0)).to_string();
        let message = self.0.beside("message");
        fs::write(message, tensorgate_verify::pae(payload.as_bytes())).unwrap();
        let signer = chain[0];
        self.0.openssl(&format!(
            "dgst -sha256 -sign {signer}.key -out signature message"
        ));
        let signature = fs::read(self.0.beside("signature")).unwrap();
        let raw = |file: &&str| json!({"rawBytes": STANDARD.encode(self.der(file))});
        let mut bundle = bundle(payload.as_bytes(), &Key::p256(7));
        let certificates: Vec<Value> = chain.iter().map(raw).collect();
        bundle["verificationMaterial"] =
            json!({"x509CertificateChain": {"certificates": certificates}});
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(STANDARD.encode(signature));
        bundle
    }

    fn authenticate(&self, chain: &[&str], root: &str) -> Result<Statement> {
        self.authenticate_at(chain, root, soon())
    }

    fn authenticate_at(&self, chain: &[&str], root: &str, now: Timestamp) -> Result<Statement> {
        let bundle = self.bundle(chain).to_string();
        authenticate_bytes(bundle.as_bytes(), &[self.anchor(root)], now)
    }

    /// Refused for this reason.
    #[track_caller]
    fn refuse(&self, chain: &[&str], root: &str, why: &str) {
        said(self.authenticate(chain, root), why);
    }
}

#[track_caller]
fn said(result: Result<Statement>, why: &str) {
    let text = result.as_ref().map(drop).unwrap_err().to_string();
    assert!(text.contains(why), "{text}");
    refused(result, Rejection::OmsSignatureInvalid, "signatures");
}

/// A minute after openssl dated its certificates.
pub(crate) fn soon() -> Timestamp {
    Timestamp::now() + SignedDuration::from_mins(1)
}

/// `root` and `between` of RSA, and `signer`, as the reference tool's own test chain is: an
/// authority under the name of its issuer.
pub(crate) fn rsa() -> Authorities {
    let made = Authorities::new();
    made.root("root", Ask::of("root", RSA, ROOT));
    made.issue("between", "root", Ask::of("between", RSA, BETWEEN));
    let own = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning";
    made.issue("signer", "between", Ask::of("between", P256, own));
    made
}

/// `root` of ECDSA and what it issues.
fn ec(root: &'static str, signer: Ask<'_>) -> Authorities {
    let made = Authorities::new();
    made.root("root", Ask::of("root", P256, root));
    made.issue("signer", "root", signer);
    made
}

const fn signer() -> Ask<'static> {
    Ask::of("signer", P256, SIGNER)
}

#[test]
fn a_chain_leads_to_the_root_in_whatever_order() {
    let made = rsa();
    for chain in [
        &["signer", "between"][..],
        &["signer", "between", "root"],
        &["signer", "root", "between"],
    ] {
        let found = made.authenticate(chain, "root").unwrap();
        let signer = &found.signers()[0];
        assert_eq!(signer.subject.as_deref(), Some("CN=between"));
        assert_eq!(signer.issuers.len(), 2);
        made.0.open(&found).unwrap();
    }
    made.authenticate(&["signer"], "between").unwrap();
    made.refuse(
        &["signer"],
        "root",
        "nobody trusted certifies \"CN=between\"",
    );
    made.refuse(&["between", "signer"], "root", "not for digital signatures");
    let many = ["between"; 9];
    let result = made.authenticate(&many, "root");
    refused(result, Rejection::ManifestMalformed, "bundle");
}

#[test]
fn the_name_of_an_issuer_is_not_enough() {
    let made = rsa();
    made.root("other", Ask::of("root", P256, ROOT));
    made.refuse(&["signer", "between"], "other", "nobody trusted certifies");
    made.issue("thief", "other", signer());
    made.refuse(
        &["thief", "other", "root"],
        "root",
        "nobody trusted certifies",
    );
}

#[test]
fn the_certified_key_signs() {
    let made = ec(ROOT, signer());
    made.issue("other", "root", signer());
    let mut bundle = made.bundle(&["signer"]);
    let other = made.bundle(&["other"]);
    bundle["verificationMaterial"] = other["verificationMaterial"].clone();
    let bytes = bundle.to_string();
    said(
        authenticate_bytes(bytes.as_bytes(), &[made.anchor("root")], soon()),
        "no signature by the key",
    );
}

#[test]
fn certificates_end() {
    let made = Authorities::new();
    made.root("root", Ask::of("root", P256, ROOT));
    let short = |ask| Ask { days: 1, ..ask };
    made.issue("between", "root", short(Ask::of("between", P256, BETWEEN)));
    made.issue("signer", "between", signer());
    made.issue("brief", "root", short(signer()));
    let chain = ["signer", "between"];
    made.authenticate(&chain, "root").unwrap();
    for (chain, days, subject) in [
        (&["brief"][..], 2, "CN=signer"),
        (&chain, 2, "CN=between"),
        (&chain, 4000, "CN=between"),
        (&["signer", "between"], -1, "CN=between"),
        (&["brief"], -1, "CN=root"),
    ] {
        let at = soon() + SignedDuration::from_hours(24 * days);
        let why = format!("\"{subject}\": valid from ");
        said(made.authenticate_at(chain, "root", at), &why);
    }
}

#[test]
fn a_signer_is_certified_for_signing_code() {
    for (extensions, why) in [
        ("basicConstraints=CA:FALSE", "not for digital signatures"),
        ("keyUsage=digitalSignature", "not for signing code"),
        ("extendedKeyUsage=codeSigning", "not for digital signatures"),
        (
            "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth",
            "not for signing code",
        ),
        (
            "keyUsage=keyCertSign\nextendedKeyUsage=codeSigning",
            "not for digital signatures",
        ),
    ] {
        let made = ec(ROOT, Ask::of("signer", P256, extensions));
        made.refuse(&["signer"], "root", why);
    }
}

#[test]
fn only_authorities_certify() {
    for (extensions, why) in [
        ("basicConstraints=critical,CA:FALSE", "not an authority"),
        ("keyUsage=keyCertSign", "not an authority"),
        (
            "basicConstraints=CA:TRUE\nkeyUsage=digitalSignature",
            "may not sign certificates",
        ),
        (
            "basicConstraints=CA:TRUE\nextendedKeyUsage=serverAuth",
            "may not certify signers of code",
        ),
    ] {
        let made = Authorities::new();
        made.root("root", Ask::of("root", P256, ROOT));
        made.issue("between", "root", Ask::of("between", P256, extensions));
        made.issue("signer", "between", signer());
        made.refuse(&["signer", "between"], "root", why);
    }
    let made = Authorities::new();
    made.root("root", Ask::of("root", P256, SIGNER));
    let error = Anchor::root_certificate(&made.0.text("root.pem")).unwrap_err();
    assert!(error.to_string().contains("not an authority"), "{error}");
}

#[test]
fn authorities_allow_so_many_below_them() {
    let made = Authorities::new();
    let none = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign";
    made.root("root", Ask::of("root", P256, none));
    made.issue("between", "root", Ask::of("between", P256, none));
    made.issue("below", "between", Ask::of("below", P256, BETWEEN));
    made.issue("signer", "between", signer());
    made.issue("lowest", "below", signer());
    made.authenticate(&["signer"], "between").unwrap();
    made.refuse(
        &["signer", "between"],
        "root",
        "\"CN=root\": more authorities",
    );
    made.refuse(
        &["lowest", "below"],
        "between",
        "\"CN=between\": more authorities",
    );
}

#[test]
fn unknown_limits_are_refused() {
    for (extension, why) in [
        (
            "1.2.3.4=critical,ASN1:NULL",
            "the critical extension 1.2.3.4",
        ),
        ("nameConstraints=permitted;dirName:dn", "name constraints"),
        (
            "subjectAltName=critical,email:a@example.org",
            "the critical extension",
        ),
    ] {
        let extensions = format!("{SIGNER}\n{extension}");
        let ask = Ask {
            extensions: &extensions,
            ..signer()
        };
        ec(ROOT, ask).refuse(&["signer"], "root", why);
    }
    let harmless = format!("{SIGNER}\n1.2.3.4=ASN1:NULL\nsubjectAltName=email:a@example.org");
    let ask = Ask {
        extensions: &harmless,
        ..signer()
    };
    ec(ROOT, ask).authenticate(&["signer"], "root").unwrap();
}

#[test]
fn weak_and_other_algorithms_are_refused() {
    let made = Authorities::new();
    made.root("root", Ask::of("root", "rsa:1024", ROOT));
    made.issue("signer", "root", signer());
    made.refuse(&["signer"], "root", "nobody trusted certifies");

    let made = Authorities::new();
    made.root("root", Ask::of("root", RSA, ROOT));
    let sha1 = Ask {
        hash: "sha1",
        ..signer()
    };
    made.issue("old", "root", sha1);
    made.refuse(&["old"], "root", "nobody trusted certifies");
    made.issue("signer", "root", Ask::of("signer", RSA, SIGNER));
    made.refuse(&["signer"], "root", "not a key on P-256, P-384 or P-521");
    for hash in ["sha384", "sha512"] {
        made.issue("signer", "root", Ask { hash, ..signer() });
        made.authenticate(&["signer"], "root").unwrap();
    }
}

#[test]
fn a_root_may_be_trusted_about_one_subject() {
    let made = ec(ROOT, signer());
    let root = |subject| {
        let root = RootCertificate::from_pem(&made.0.text("root.pem")).unwrap();
        [Anchor::Root(root.only_for(subject))]
    };
    let bundle = made.bundle(&["signer"]).to_string();
    authenticate_bytes(bundle.as_bytes(), &root("CN=signer"), soon()).unwrap();
    said(
        authenticate_bytes(bundle.as_bytes(), &root("CN=other"), soon()),
        "signed by \"CN=signer\", trusted is \"CN=other\"",
    );
}

#[test]
fn a_method_is_for_its_own_anchors() {
    let made = ec(ROOT, signer());
    let bundle = made.bundle(&["signer"]);
    said(
        authenticate(&bundle, &[Key::p256(7).anchor()]),
        "signed with a certificate",
    );
    let payload = statement(&resources(&made.0)).to_string();
    let bundle = crate::support::bundle(payload.as_bytes(), &Key::p256(7));
    said(
        authenticate(&bundle, &[made.anchor("root")]),
        "signed with a bare key",
    );
}

#[test]
fn no_changed_byte_of_a_certificate_passes() {
    let made = ec(ROOT, signer());
    let good = made.bundle(&["signer"]);
    let der = made.der("signer");
    for at in 0..der.len() {
        let mut der = der.clone();
        der[at] ^= 1;
        let mut bundle = good.clone();
        bundle["verificationMaterial"]["x509CertificateChain"]["certificates"][0]["rawBytes"] =
            json!(STANDARD.encode(der));
        let bytes = bundle.to_string();
        let result = authenticate_bytes(bytes.as_bytes(), &[made.anchor("root")], soon());
        refused(result, Rejection::OmsSignatureInvalid, "signatures");
    }
}
