//! What an operator is told of trust policies, stores and Hubs: see `book`.

use std::fs;

use crate::book::Book;
use crate::fixture::Fixture;
use crate::support::{EXPIRES, REVISION, Workshop};
use crate::told::SIGN;

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
    let second = revoke.replace("release", "second");
    book.tell(
        2,
        "a second signer, whom nobody can ask",
        &format!("{second} --add-signature"),
    );
    book.tell(
        2,
        "a second signer of another list",
        &format!("{second} --add-signature=[ZEROS]"),
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
