//! What came before a cut: found again by what is expected, read before it counts, and never
//! anything else than a file of the store's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use common::{REVISION, path, quarantine, store};
use tensorgate_store::{PartName, Quarantine, Record};

const SIZE: u64 = 1 << 20;

fn name() -> PartName {
    PartName::of(&path("model.safetensors"), SIZE, "sha256:00")
}

/// Adds `bytes` to the part and lets go of it.
fn add(quarantine: &Quarantine, bytes: &[u8]) {
    let mut part = quarantine.resume(&name(), SIZE).unwrap();
    part.write(bytes).unwrap();
}

/// What a later attempt finds there.
fn found(quarantine: &Quarantine) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = quarantine.resume(&name(), SIZE).unwrap();
    part.read(|chunk| bytes.extend_from_slice(chunk)).unwrap();
    bytes
}

fn drafts(quarantine: &Quarantine) -> PathBuf {
    let files = quarantine.path();
    files.with_file_name(format!("{REVISION}.part"))
}

/// The one part.
fn place(quarantine: &Quarantine) -> PathBuf {
    let mut all = fs::read_dir(drafts(quarantine)).unwrap();
    let only = all.next().unwrap().unwrap().path();
    assert!(all.next().is_none());
    only
}

fn count(quarantine: &Quarantine) -> usize {
    fs::read_dir(drafts(quarantine)).unwrap().count()
}

#[test]
fn a_part_is_found_again_and_goes_on() {
    let (_dir, store) = store();
    let first = quarantine(&store);
    add(&first, b"one ");
    fs::write(drafts(&first).join("1-0"), "a crash left this").unwrap();
    drop(first);
    let second = quarantine(&store);
    assert_eq!(count(&second), 1);
    assert_eq!(found(&second), b"one ");
    assert_eq!(second.part_size(&name(), SIZE).unwrap(), 4);
    let mut part = second.resume(&name(), SIZE).unwrap();
    part.write(b"two").unwrap();
    second.place(part, &path("model.safetensors")).unwrap();
    let whole = fs::read(second.path().join("model.safetensors")).unwrap();
    assert_eq!((whole, count(&second)), (b"one two".to_vec(), 0));
}

#[test]
fn another_expectation_has_another_part() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    add(&quarantine, b"one");
    let file = path("model.safetensors");
    for other in [
        PartName::of(&path("model-2.safetensors"), SIZE, "sha256:00"),
        PartName::of(&file, SIZE + 1, "sha256:00"),
        PartName::of(&file, SIZE, "sha256:01"),
        PartName::of(&file, SIZE, "git:00"),
    ] {
        assert_eq!(quarantine.part_size(&other, SIZE).unwrap(), 0);
        assert_ne!(other, name());
    }
    quarantine.remove_other_parts(&[name()]).unwrap();
    assert_eq!(count(&quarantine), 1);
    quarantine.remove_other_parts(&[]).unwrap();
    assert_eq!(count(&quarantine), 0);
}

#[test]
fn nothing_that_is_empty_refused_or_finished_stays() {
    let (_dir, store) = store();
    let download = quarantine(&store);
    add(&download, b"");
    assert_eq!(count(&download), 0);
    add(&download, b"wrong");
    download.resume(&name(), SIZE).unwrap().discard();
    assert_eq!(count(&download), 0);
    add(&download, b"of no use any more");
    download.finish(&Record::default()).unwrap();
    assert_eq!(count(&download), 0);
    add(&download, b"who put it there?");
    drop(download);
    assert_eq!(count(&quarantine(&store)), 0);
}

#[test]
fn a_part_is_never_longer_than_its_file() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    add(&quarantine, b"one");
    let file = fs::File::options().write(true).open(place(&quarantine));
    file.unwrap().set_len(8 << 40).unwrap();
    assert_eq!(quarantine.part_size(&name(), SIZE).unwrap(), 0);
    assert_eq!(found(&quarantine), b"");
    add(&quarantine, &vec![1; 1 << 20]);
    assert_eq!(found(&quarantine).len(), 1 << 20);
}

/// A megabyte that nobody wrote counts for nothing, and takes no time to read.
#[test]
fn a_part_ends_at_its_first_hole() {
    let (_dir, store) = store();
    let quarantine = quarantine(&store);
    let block = vec![7; 64 << 10];
    add(&quarantine, &block);
    let part = place(&quarantine);
    let file = fs::File::options().write(true).open(&part).unwrap();
    file.set_len(SIZE).unwrap();
    file.sync_all().unwrap();
    let on_disk = fs::metadata(&part).unwrap().blocks() * 512;
    assert!(on_disk < SIZE, "the file system of this test has no holes");
    assert_eq!(quarantine.part_size(&name(), SIZE).unwrap(), on_disk);
    assert_eq!(found(&quarantine), block);
    assert_eq!(fs::metadata(&part).unwrap().len(), 64 << 10);
}

/// Puts something odd at a path; its directory is there.
type Plant = fn(&Path, &Path);

const ODD: [(&str, Plant); 5] = [
    ("a link", |at, outside| symlink(outside, at).unwrap()),
    ("a broken link", |at, _| symlink("nowhere", at).unwrap()),
    ("a second name", |at, outside| {
        fs::hard_link(outside, at).unwrap();
    }),
    ("a pipe", |at, _| {
        let status = std::process::Command::new("mkfifo").arg(at).status();
        assert!(status.unwrap().success());
    }),
    ("a directory", |at, _| {
        fs::create_dir(at).unwrap();
        fs::write(at.join("x"), "x").unwrap();
    }),
];

#[test]
fn whatever_is_planted_a_part_takes_its_place_and_changes_nothing_else() {
    for (what, plant) in ODD {
        let (dir, store) = store();
        let quarantine = quarantine(&store);
        add(&quarantine, b"one");
        let (at, outside) = (place(&quarantine), dir.path().join("outside"));
        fs::write(&outside, "mine").unwrap();
        fs::remove_file(&at).unwrap();
        plant(&at, &outside);
        if what != "a second name" {
            assert_eq!(quarantine.part_size(&name(), SIZE).unwrap(), 0, "{what}");
        }
        assert_eq!(found(&quarantine), b"", "{what}");
        add(&quarantine, b"two");
        assert_eq!(found(&quarantine), b"two", "{what}");
        assert_eq!(fs::read(&outside).unwrap(), b"mine", "{what}");
    }
}

/// Does something to a part.
type Touch = fn(&Path);

/// Whoever goes on without reading again must know that nobody was there meanwhile.
#[test]
fn whatever_is_done_to_a_part_shows() {
    let touches: [(&str, Touch); 5] = [
        ("cut", |at| {
            let file = fs::File::options().write(true).open(at).unwrap();
            file.set_len(2).unwrap();
        }),
        ("written to", |at| {
            use std::os::unix::fs::FileExt as _;
            let file = fs::File::options().write(true).open(at).unwrap();
            file.write_all_at(b"ONE", 0).unwrap();
        }),
        ("replaced", |at| {
            let other = at.with_extension("other");
            fs::write(&other, "one").unwrap();
            fs::rename(other, at).unwrap();
        }),
        ("linked", |at| {
            fs::hard_link(at, at.with_extension("other")).unwrap();
        }),
        ("removed", |at| fs::remove_file(at).unwrap()),
    ];
    for (what, touch) in touches {
        let (_dir, store) = store();
        let quarantine = quarantine(&store);
        let mut part = quarantine.resume(&name(), SIZE).unwrap();
        part.write(b"one").unwrap();
        let left = part.stamp().unwrap();
        assert!(left.is_some());
        assert_eq!(part.stamp().unwrap(), left);
        // Times of a file change with the clock's ticks, of which there are 100 a second or more.
        std::thread::sleep(std::time::Duration::from_millis(20));
        touch(&place(&quarantine));
        assert_ne!(part.stamp().unwrap(), left, "{what}");
    }
}
