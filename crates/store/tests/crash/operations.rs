//! What is done to a store, step by step, and what a store means to whoever opens it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tensorgate_store::{Gc, PartName, Quarantine, Record, Recorded, Store, StoreError};
use tensorgate_verify::{Blake3, File, History as _, Policy, RepoType, Sha256, Verified};

use crate::common::{REVISION, policy_of, repo, revocations};

type Act = Box<dyn FnOnce() -> Result<(), StoreError>>;

/// Something that a process does to a store.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Makes the store as it is before.
    pub(crate) before: fn(&Path),
    /// Makes ready what needs no store.
    pub(crate) prepare: fn(&Path) -> Act,
}

pub(crate) const OPERATIONS: [Operation; 21] = [
    Operation {
        name: "open a store where there is none",
        before: |_| {},
        prepare: |root| {
            let path = root.join("srv/store");
            Box::new(|| Store::open(path).map(drop))
        },
    },
    Operation {
        name: "admit a policy",
        before: |root| drop(open(root).admit(&walk(root, 1)).unwrap()),
        prepare: admit_second,
    },
    Operation {
        name: "admit a policy over a damaged one",
        before: |root| {
            let kept = open(root).admit(&walk(root, 2)).unwrap();
            let weights = kept.path().join("model.safetensors");
            fs::set_permissions(&weights, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(weights, "damaged").unwrap();
            fs::write(kept.path().join("stranger.py"), "").unwrap();
        },
        prepare: admit_second,
    },
    Operation {
        name: "record a newer release",
        before: |root| {
            open(root)
                .record_accepted(walk(root, 1).evidence())
                .unwrap()
        },
        prepare: |root| record(root, walk(root, 2)),
    },
    Operation {
        name: "record another repository",
        before: |root| {
            open(root)
                .record_accepted(walk(root, 1).evidence())
                .unwrap()
        },
        prepare: |root| record(root, policy_of(&root.join("run"), "acme/run", 1, 64)),
    },
    Operation {
        name: "record a list of revocations",
        before: |root| {
            open(root)
                .state()
                .record_revocations(&revocations(1))
                .unwrap()
        },
        prepare: |root| {
            let (store, list) = (open(root), revocations(2));
            Box::new(move || store.state().record_revocations(&list))
        },
    },
    Operation {
        name: "revoke a manifest here, the first one",
        before: |root| {
            open(root)
                .record_accepted(walk(root, 1).evidence())
                .unwrap()
        },
        prepare: |root| revoke(root, "first"),
    },
    Operation {
        name: "revoke another manifest here",
        before: |root| revoke(root, "first")().unwrap(),
        prepare: |root| revoke(root, "second"),
    },
    Operation {
        name: "take a revocation back",
        before: |root| {
            revoke(root, "first")().unwrap();
            revoke(root, "second")().unwrap();
        },
        prepare: |root| {
            let store = open(root);
            Box::new(move || store.state().unrevoke(&Sha256::of(b"first")).map(drop))
        },
    },
    Operation {
        name: "make a state ready",
        before: |root| drop(open(root)),
        prepare: |root| {
            let store = open(root);
            Box::new(move || store.state().make_ready())
        },
    },
    Operation {
        name: "forget one repository",
        before: two_releases,
        prepare: |root| {
            let store = open(root);
            Box::new(move || {
                let only = Some((RepoType::Model, &repo("acme/walk")));
                store.state().reset(only).map(drop)
            })
        },
    },
    Operation {
        name: "forget all, and a list that cannot be read",
        before: |root| {
            two_releases(root);
            open(root)
                .state()
                .record_revocations(&revocations(1))
                .unwrap();
            fs::write(root.join("store/state/revocations.dsse.json"), "{").unwrap();
        },
        prepare: |root| {
            let store = open(root);
            Box::new(move || store.state().reset(None).map(drop))
        },
    },
    Operation {
        name: "place a file in quarantine and finish",
        before: |root| drop(download(&open(root), &walk(root, 2), 2)),
        prepare: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            Box::new(move || finish(&store, &walk))
        },
    },
    Operation {
        name: "go on with a part and finish",
        before: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            let quarantine = download(&store, &walk, 1).unwrap();
            // Of each other file, half came.
            for file in walk.files().iter().skip(1) {
                let bytes = file.bytes();
                let mut part = quarantine.resume(&part(file), u64::MAX).unwrap();
                part.write(&bytes[..bytes.len() / 2]).unwrap();
            }
        },
        prepare: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            Box::new(move || go_on(&quarantine(&store)?, walk.files()))
        },
    },
    Operation {
        name: "open a finished download again",
        before: |root| finish(&open(root), &walk(root, 2)).unwrap(),
        prepare: |root| {
            let store = open(root);
            Box::new(move || quarantine(&store)?.reopen())
        },
    },
    Operation {
        name: "finish an open download with other files",
        before: |root| {
            let store = open(root);
            finish(&store, &walk(root, 2)).unwrap();
            let quarantine = quarantine(&store).unwrap();
            quarantine.reopen().unwrap();
            fs::create_dir(quarantine.path().join("deep")).unwrap();
            fs::write(quarantine.path().join("deep/stranger.py"), "").unwrap();
        },
        prepare: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            Box::new(move || {
                let (quarantine, wanted) = (quarantine(&store)?, &walk.files()[1..]);
                let paths: Vec<_> = wanted.iter().map(File::path).collect();
                quarantine.remove_others(&paths)?;
                go_on(&quarantine, wanted)
            })
        },
    },
    Operation {
        name: "remove a file and parts that nobody wants, and finish",
        before: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            let quarantine = download(&store, &walk, 1).unwrap();
            for file in walk.files() {
                let mut part = quarantine.resume(&part(file), u64::MAX).unwrap();
                part.write(&file.bytes()[..1]).unwrap();
            }
        },
        prepare: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            Box::new(move || {
                let (quarantine, wanted) = (quarantine(&store)?, &walk.files()[1..]);
                quarantine.remove(walk.files()[0].path())?;
                quarantine.remove_other_parts(&[part(&wanted[0])])?;
                go_on(&quarantine, wanted)
            })
        },
    },
    Operation {
        name: "share a download with its policy",
        before: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            finish(&store, &walk).unwrap();
            store.admit(&walk).unwrap();
        },
        prepare: |root| {
            let (store, walk) = (open(root), walk(root, 2));
            Box::new(move || quarantine(&store)?.share(&store, &recorded(&walk)))
        },
    },
    Operation {
        name: "remove what nobody wants",
        before: |root| {
            let store = open(root);
            for sequence in 1..=3 {
                store.admit(&walk(root, sequence)).unwrap();
            }
            store.record_accepted(walk(root, 1).evidence()).unwrap();
            finish(&store, &walk(root, 2)).unwrap();
            quarantine(&store)
                .unwrap()
                .share(&store, &recorded(&walk(root, 2)))
                .unwrap();
            fs::create_dir_all(root.join("store/tmp/half/of/it")).unwrap();
        },
        prepare: |root| {
            let store = open(root);
            let mut how = Gc::default();
            how.keep = 1;
            Box::new(move || store.gc(how, &mut |_| {}).map(drop))
        },
    },
    Operation {
        name: "set a quota",
        before: |root| open(root).set_quota(Some(1 << 20)).unwrap(),
        prepare: |root| {
            let store = open(root);
            Box::new(move || store.set_quota(Some(2 << 20)))
        },
    },
    Operation {
        name: "lift a quota",
        before: |root| open(root).set_quota(Some(1 << 20)).unwrap(),
        prepare: |root| {
            let store = open(root);
            Box::new(move || store.set_quota(None))
        },
    },
];

fn open(root: &Path) -> Store {
    Store::open(root.join("store")).unwrap()
}

fn walk(root: &Path, sequence: u64) -> Verified<Policy> {
    policy_of(
        &root.join(format!("walk-{sequence}")),
        "acme/walk",
        sequence,
        64,
    )
}

fn admit_second(root: &Path) -> Act {
    let (store, walk) = (open(root), walk(root, 2));
    Box::new(move || store.admit(&walk).map(drop))
}

fn record(root: &Path, policy: Verified<Policy>) -> Act {
    let store = open(root);
    Box::new(move || store.record_accepted(policy.evidence()))
}

fn revoke(root: &Path, manifest: &'static str) -> Act {
    let store = open(root);
    Box::new(move || {
        let manifest = Sha256::of(manifest.as_bytes());
        store.state().revoke(&manifest, "falls on stairs")
    })
}

fn two_releases(root: &Path) {
    let store = open(root);
    let run = policy_of(&root.join("run"), "acme/run", 1, 64);
    store.record_accepted(run.evidence()).unwrap();
    store.record_accepted(walk(root, 1).evidence()).unwrap();
}

fn quarantine(store: &Store) -> Result<Quarantine, StoreError> {
    store.quarantine(
        RepoType::Model,
        &repo("acme/walk"),
        &REVISION.parse().unwrap(),
    )
}

/// Downloads so many of the files.
fn download(
    store: &Store,
    policy: &Verified<Policy>,
    files: usize,
) -> Result<Quarantine, StoreError> {
    let quarantine = quarantine(store)?;
    for file in policy.files().iter().take(files) {
        let mut incoming = quarantine.incoming()?;
        incoming.write(file.bytes())?;
        quarantine.place(incoming, file.path())?;
    }
    Ok(quarantine)
}

fn finish(store: &Store, policy: &Verified<Policy>) -> Result<(), StoreError> {
    let quarantine = download(store, policy, usize::MAX)?;
    quarantine.finish(&Record::new(recorded(policy), Vec::new()))
}

/// Goes on with what came of each of these files, and finishes.
fn go_on(quarantine: &Quarantine, files: &[File]) -> Result<(), StoreError> {
    for file in files {
        let bytes = file.bytes();
        // As the fetcher does: what is there whole is not placed again.
        if quarantine.size_of(file.path())? == Some(bytes.len() as u64) {
            continue;
        }
        let mut incoming = quarantine.resume(&part(file), bytes.len() as u64)?;
        let mut there = Vec::new();
        incoming.read(|bytes| there.extend_from_slice(bytes))?;
        // What is there is what was written, from its beginning on.
        incoming.write(bytes.strip_prefix(&*there).unwrap())?;
        quarantine.place(incoming, file.path())?;
    }
    let files = files.iter().map(record_of).collect();
    quarantine.finish(&Record::new(files, Vec::new()))
}

fn part(file: &File) -> PartName {
    let (bytes, path) = (file.bytes(), file.path());
    PartName::of(path, bytes.len() as u64, Sha256::of(bytes))
}

fn recorded(policy: &Verified<Policy>) -> Vec<Recorded> {
    policy.files().iter().map(record_of).collect()
}

fn record_of(file: &File) -> Recorded {
    let (bytes, size) = (file.bytes(), file.bytes().len() as u64);
    let (sha256, blake3) = (Sha256::of(bytes), Blake3::of(bytes));
    Recorded::new(file.path().clone(), size, sha256, blake3)
}

/// What a store means, part by part. Each part of one that was broken off must be the old one or the
/// new one.
pub(crate) type Meaning = BTreeMap<String, String>;

pub(crate) fn meaning(root: &Path) -> Meaning {
    let store = open(root);
    let mut meaning = Meaning::new();
    let mut add = |part: String, value: String| drop(meaning.insert(part, value));
    let state = store.state();
    for (repo_type, repo, accepted) in state.accepted().unwrap() {
        let asked = state.last_accepted(repo_type, &repo).unwrap();
        assert_eq!(asked, Some(accepted));
        add(format!("accepted {repo}"), format!("{accepted:?}"));
    }
    add(
        "floor".into(),
        format!("{:?}", state.clock_floor().unwrap()),
    );
    add("new".into(), format!("{:?}", state.is_new().unwrap()));
    add("revoked".into(), format!("{:?}", state.revoked().unwrap()));
    add("quota".into(), format!("{:?}", store.quota().unwrap()));
    let list = fs::read(store.path().join("state/revocations.dsse.json"));
    add(
        "revocations".into(),
        format!("{:?}", list.ok().map(|list| Sha256::of(&list))),
    );
    for policy in entries(&store.path().join("policies")) {
        let mut content = String::new();
        each_file(&policy, &mut |file| content += &described(&policy, file));
        add(
            policy.file_name().unwrap().to_string_lossy().into_owned(),
            content,
        );
    }
    let downloads = store.path().join("quarantine/model/acme/walk");
    each_file(&downloads, &mut |file| {
        let name = file.strip_prefix(&downloads).unwrap().to_string_lossy();
        let shared = fs::metadata(file).unwrap().nlink() > 1;
        if !name.contains(".part/") && !name.ends_with(".lock") {
            add(
                format!("download {name}"),
                format!("{} {shared}", described(&downloads, file)),
            );
        }
    });
    meaning
}

fn described(root: &Path, file: &Path) -> String {
    let name = file.strip_prefix(root).unwrap();
    format!("{name:?} {} ", Blake3::of(&fs::read(file).unwrap()))
}

/// After whatever was broken off was done again, all is whole and nothing is left over.
pub(crate) fn assert_tidy(root: &Path) {
    let store = open(root);
    let checked = store.check(&mut |_| {}).unwrap();
    assert_eq!(checked.damage, []);
    let mut how = Gc::default();
    (how.keep, how.dry_run) = (usize::MAX, true);
    let mut litter = Vec::new();
    store
        .gc(how, &mut |found| litter.push(found.clone()))
        .unwrap();
    // A download is nobody's once it has ended.
    litter.retain(|found| found.what != tensorgate_store::What::Download);
    assert_eq!(litter, []);
    each_file(&store.path().join("state/tmp"), &mut |file| {
        panic!("{file:?} is left over")
    });
    each_file(&store.path().join("quarantine"), &mut |file| {
        let parent = file.parent().unwrap();
        assert!(parent.extension().is_none(), "{file:?} is left over");
    });
}

fn each_file(path: &Path, visit: &mut dyn FnMut(&Path)) {
    for path in entries(path) {
        match path.is_dir() {
            true => each_file(&path, visit),
            false => visit(&path),
        }
    }
}

fn entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort_unstable();
    entries
}
