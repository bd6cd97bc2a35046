//! What the command says, situation by situation, with its exit status: word for word in
//! `tests/cmd/told/`, a file a command. What differs from run to run stands as `[SHA256]`, `[COMMIT]`,
//! `[INSTANT]`, `[SECONDS]`, `[HELD]`, `[USED]`, `[ROOM]` or `[HUB]`.

use std::fs;
use std::path::Path;

use crate::fixture::Fixture;
use crate::support::{EXPIRES, REVISION, Run, Workshop, weights};

const SIGN: &str = "sign walk --key release.key.pem --repo acme/walk --revision 0123456789abcdef0123456789abcdef01234567 --sequence 5 --expires 2099-01-01T00:00:00Z";
const VERIFY: &str = "verify walk --trust trust.toml";
const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The situations of a command, in one directory.
struct Book<'w> {
    workshop: &'w Workshop,
    hub: Option<&'w str>,
    text: String,
}

impl<'w> Book<'w> {
    fn of(workshop: &'w Workshop, command: &str) -> Self {
        let text = format!("What `tensorgate {command}` says, and its exit status.\n");
        let hub = None;
        Self {
            workshop,
            hub,
            text,
        }
    }

    /// One situation: the command ends with this status, and says what the book has.
    #[track_caller]
    fn tell(&mut self, status: i32, situation: &str, line: &str) {
        let line = line.replace("[ZEROS]", ZEROS);
        let typed = match self.hub {
            Some(hub) => line.replace("[HUB]", hub),
            None => line.clone(),
        };
        let mut command = self.workshop.command();
        command.env("TENSORGATE_STORE", "store");
        let run = Run::of(command.args(typed.split(' ').filter(|word| !word.is_empty())));
        assert_eq!(run.status, status, "{situation}\n{run:#?}");
        let told = self.masked(&format!("{}{}", run.stderr, run.stdout));
        let ending = if told.is_empty() || told.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let status = match status {
            0 => String::new(),
            status => format!("? {status}\n"),
        };
        self.text.push_str(&format!(
            "\n## {situation}\n```console\n$ tensorgate {line}\n{status}{told}{ending}```\n"
        ));
    }

    fn masked(&self, told: &str) -> String {
        let told = match self.hub {
            Some(hub) => told.replace(hub, "[HUB]"),
            None => told.to_owned(),
        };
        let here = format!("{}/", self.workshop.path("").display());
        let told = told.replace(here.trim_end_matches("//"), "[HERE]");
        let lines: Vec<String> = told.lines().map(masked_line).collect();
        let end = if told.ends_with('\n') { "\n" } else { "" };
        lines.join("\n") + end
    }

    /// Compares with the book that is kept, or keeps this one.
    #[track_caller]
    fn close(self, name: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cmd/told/{name}.md"));
        if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &self.text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let differ = kept.lines().zip(self.text.lines()).find(|(a, b)| a != b);
        assert!(
            kept == self.text,
            "{file:?} has another word: {differ:#?}\n{}",
            self.text
        );
    }
}

/// A line without what no two runs have in common.
fn masked_line(line: &str) -> String {
    if let Some((_, rest)) = line.split_once("  on disk    ") {
        let (_, quota) = rest.split_once(", ").unwrap();
        return format!("  on disk    [USED] bytes, {quota}");
    }
    if let Some((before, _)) = line.split_once("held       ") {
        return format!("{before}held       [HELD]");
    }
    let mut out = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-:.,".contains(c) {
            word.push(c);
            continue;
        }
        out.push_str(&masked_word(&word, out.ends_with("room for ")));
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

fn masked_word(word: &str, is_room: bool) -> String {
    let hex = |word: &str| word.bytes().all(|b| b.is_ascii_hexdigit());
    let (bare, end) = match word
        .strip_suffix(".json")
        .or_else(|| word.strip_suffix([':', ',', '.']))
    {
        Some(bare) => (bare, &word[bare.len()..]),
        None => (word, ""),
    };
    let fixed = ["2099", "2020", "2027"]
        .iter()
        .any(|year| bare.starts_with(year));
    let is_instant = bare.len() > 18 && bare.ends_with('Z') && bare.as_bytes()[10] == b'T';
    let is_time = bare.split_once('.').is_some_and(|(a, b)| {
        b.len() == 2 && [a, b].concat().bytes().all(|byte| byte.is_ascii_digit())
    });
    let mask = match bare.len() {
        64 if hex(bare) && bare != ZEROS => "[SHA256]",
        40 if hex(bare) && bare != REVISION => "[COMMIT]",
        _ if is_instant && !fixed => "[INSTANT]",
        _ if is_time => "[SECONDS]",
        _ if is_room && !bare.is_empty() => "[ROOM]",
        _ => bare,
    };
    format!("{mask}{end}")
}

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

#[test]
fn trust() {
    let workshop = Workshop::signed();
    let mut book = Book::of(&workshop, "trust");
    book.tell(0, "it can be used", "trust check trust.toml");
    let key = "public_key_file = \"release.pub.pem\"";
    let scoped = format!(
        "threshold = 1\n[[keys]]\nname = \"r\"\n{key}\nrepos = [\"acme/*\"]\nnot_after = \"2027-01-01T00:00:00Z\"\n"
    );
    workshop.write("trust.toml", scoped);
    book.tell(
        0,
        "its key speaks for some",
        "trust check trust.toml --now 2026-12-01T00:00:00Z",
    );
    book.tell(
        2,
        "its key has ended",
        "trust check trust.toml --now 2027-12-01T00:00:00Z",
    );
    let revoke = "trust revoke list.json --key release.key.pem";
    let more = format!("{revoke} --expires {EXPIRES} --reason falls --manifest [ZEROS]");
    book.tell(2, "nothing to sign", &format!("{revoke} --add-signature"));
    book.tell(0, "a first list", &more);
    book.tell(0, "the next", &more);
    workshop.keygen("second");
    book.tell(
        2,
        "somebody else's list",
        &more.replace("release", "second"),
    );
    book.tell(
        0,
        "a second signer",
        &format!("{} --add-signature", revoke.replace("release", "second")),
    );
    book.tell(2, "no reason", &more.replace(" --reason falls", ""));
    book.tell(2, "no file", &more.replace("list.json", ".."));
    book.tell(
        2,
        "no directory",
        &more.replace("list.json", "nowhere/list.json"),
    );
    book.close("trust");
}

#[test]
fn store() {
    let workshop = Workshop::signed();
    let mut book = Book::of(&workshop, "store");
    book.tell(2, "there is none", "store check --store stroe");
    book.tell(0, "a new one", "store init");
    book.tell(0, "a quota", "store init --quota 20GiB");
    book.tell(2, "no quota", "store init --quota 20GB");
    book.tell(0, "nothing in it", "store ls");
    workshop.verify(&[]).expect(0);
    book.tell(0, "a release", "store ls");
    book.tell(0, "it is whole", "store check");
    book.tell(0, "nothing to remove", "store gc");
    book.tell(0, "what would be removed", "store gc --dry-run");
    book.tell(0, "what was never revoked", "store unrevoke [ZEROS]");
    workshop.write("store/objects/stranger", "");
    book.tell(1, "something of a stranger's", "store check");
    workshop.remove("store/objects/stranger");
    book.tell(
        0,
        "one repository is forgotten",
        "store reset-state --repo acme/walk",
    );
    book.tell(
        0,
        "what was not known is forgotten",
        "store reset-state --repo acme/walk",
    );
    book.tell(0, "all is forgotten", "store reset-state --all");
    book.tell(
        2,
        "a cache that is not there",
        "store import-hf-cache acme/walk@main --cache nowhere",
    );
    workshop.chmod("store", 0o777);
    book.tell(2, "others may write to it", "store ls");
    workshop.chmod("store", 0o700);
    workshop.write("store/quota.json", "{");
    book.tell(2, "its quota is damaged", "store check");
    workshop.remove("store/quota.json");
    workshop.write("store/state/index.json", "{");
    book.tell(2, "its memory is damaged", "store ls");
    book.tell(2, "a file", "store init --store release.pub.pem");
    book.tell(2, "a place of somebody else's", "store init --store walk");
    book.close("store");
}

#[test]
fn fetch() {
    let fixture = Fixture::new();
    let mut book = Book::of(&fixture.workshop, "fetch");
    book.hub = Some(fixture.hub.endpoint());
    let hub = "--endpoint [HUB]";
    let at = &fixture.files;
    let signed = format!("--manifest acme/walk@{} --trust trust.toml", fixture.signed);
    // The commits of the Hub are those of this run; the book has them by their place.
    let tell = |book: &mut Book<'_>, status, situation: &str, line: &str| {
        book.tell(status, situation, line);
        book.text = book
            .text
            .replace(at, "[COMMIT]")
            .replace(&fixture.signed, "[COMMIT]");
    };
    tell(
        &mut book,
        0,
        "what would come",
        &format!("fetch acme/walk@{at} {hub} --dry-run"),
    );
    tell(
        &mut book,
        0,
        "one commit",
        &format!("fetch acme/walk@{at} {hub}"),
    );
    tell(
        &mut book,
        0,
        "again",
        &format!("fetch acme/walk@{at} {hub}"),
    );
    tell(
        &mut book,
        0,
        "what was signed",
        &format!("fetch acme/walk {hub} {signed}"),
    );
    tell(
        &mut book,
        0,
        "again, without a network",
        &format!("fetch acme/walk@{at} --offline"),
    );
    tell(
        &mut book,
        1,
        "signed for another commit",
        &format!("fetch acme/walk@{} {hub} {signed}", fixture.signed),
    );
    tell(
        &mut book,
        2,
        "no such repository",
        &format!("fetch acme/other@main {hub}"),
    );
    tell(
        &mut book,
        2,
        "no such branch",
        &format!("fetch acme/walk@other {hub}"),
    );
    let unsigned = format!("--manifest acme/walk@{at} --trust trust.toml");
    tell(
        &mut book,
        2,
        "no manifest there",
        &format!("fetch acme/walk {hub} {unsigned}"),
    );
    tell(
        &mut book,
        2,
        "a manifest on a Hub, and no network",
        &format!("fetch acme/walk {signed} --offline"),
    );
    tell(
        &mut book,
        2,
        "not in the store, and no network",
        &format!("fetch acme/other@{REVISION} --offline"),
    );
    tell(
        &mut book,
        2,
        "the manifest's file is not there",
        "fetch acme/walk --manifest missing.json --trust trust.toml",
    );
    tell(
        &mut book,
        2,
        "no Hub at all",
        "fetch acme/walk@main --endpoint huggingface.co",
    );
    tell(
        &mut book,
        2,
        "a file is watched",
        "fetch acme/walk --manifest walk/policy.dsse.json --trust trust.toml --watch 5m",
    );
    tell(
        &mut book,
        2,
        "a commit is watched",
        &format!("fetch acme/walk@{at} {hub} {signed} --watch 5m"),
    );
    let workshop = &fixture.workshop;
    workshop.write("token", "hf_x");
    workshop.chmod("token", 0o644);
    tell(
        &mut book,
        2,
        "others may read the token",
        &format!("fetch acme/walk@main {hub} --token-file token"),
    );
    workshop.secret("token", "two words");
    tell(
        &mut book,
        2,
        "the token is none",
        &format!("fetch acme/walk@main {hub} --token-file token"),
    );
    workshop.secret("good", "hf_x");
    tell(
        &mut book,
        2,
        "the token would cross the network",
        "fetch acme/walk@main --endpoint http://192.0.2.1 --token-file good",
    );
    let download = format!("store/quarantine/model/acme/walk/{at}");
    let sign = SIGN.replace("walk --key", &format!("{download} --key"));
    tell(&mut book, 2, "a download is signed in its place", &sign);
    book.close("fetch");
}

/// Of a store, what became of it on the disk.
#[test]
fn damage() {
    let fixture = Fixture::new();
    let workshop = &fixture.workshop;
    fixture.fetch_signed(&[]).expect(0);
    let mut book = Book::of(workshop, "store check");
    book.tell(0, "a release, whole", "store check");
    let folder = format!("store/quarantine/model/acme/walk/{}", fixture.files);
    let record = format!("{folder}.json");
    let kept = workshop.read(&record);
    workshop.write(&record, "{");
    book.tell(1, "the record of a download is damaged", "store check");
    workshop.write(&record, kept);
    let object = format!("store/objects/{}", largest_object(workshop));
    workshop.chmod(&object, 0o644);
    workshop.flip(&object, 2000);
    book.tell(1, "an object is damaged", "store check");
    workshop.remove(&object);
    std::os::unix::fs::symlink("/dev/null", workshop.path(&object)).unwrap();
    book.tell(1, "an object is a link", "store check");
    book.close("damage");
}

fn largest_object(workshop: &Workshop) -> String {
    let objects = fs::read_dir(workshop.path("store/objects")).unwrap();
    let objects = objects.map(Result::unwrap);
    let largest = objects.max_by_key(|entry| entry.metadata().unwrap().len());
    largest.unwrap().file_name().into_string().unwrap()
}
