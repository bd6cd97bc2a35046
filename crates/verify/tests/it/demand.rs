//! Weights are proven when somebody asks for them, and nobody gets any that are not.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use rayon::prelude::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tensorgate_verify::*;

use crate::support::*;

const WEIGHTS: &str = "model.safetensors";

fn authenticated(fixture: &Fixture) -> Verified<Manifest> {
    let signed = fixture.signed();
    trust(1, &[1]).authenticate(&signed, &context()).unwrap()
}

fn begin(fixture: &Fixture) -> Result<OnDemand> {
    let directory = directory(fixture.folder.path());
    authenticated(fixture).open_on_demand(&directory, &Rules::default())
}

/// Every file as bytes that somebody hands over.
fn holds(fixture: &Fixture) -> Vec<(FilePath, Hold)> {
    let files = fixture.manifest.files.iter();
    let hold = |entry: &FileEntry| {
        let bytes = fs::read(fixture.path(entry.path.as_str())).unwrap();
        (entry.path.clone(), Hold::Owned(bytes.into()))
    };
    files.map(hold).collect()
}

/// Where the tensor begins in the file of weights.
fn place(fixture: &Fixture, name: &str) -> u64 {
    let entry = weights_entry(&fixture.manifest);
    let tensors = entry.tensors.as_ref().unwrap();
    let tensor = tensors.iter().find(|tensor| tensor.name == name).unwrap();
    entry.size - tensors.last().unwrap().end + tensor.begin
}

fn weights_entry(manifest: &Manifest) -> &FileEntry {
    let path = WEIGHTS.parse().unwrap();
    manifest.file(&path).unwrap()
}

fn flip(fixture: &Fixture, at: u64) {
    let path = fixture.path(WEIGHTS);
    let options = OpenOptions::new().read(true).write(true).open(path);
    let (file, mut byte) = (options.unwrap(), [0]);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// Signs what lies there, as a signer would who does not look.
fn sign_blindly(fixture: &mut Fixture, name: &str) {
    let bytes = fs::read(fixture.path(name)).unwrap();
    let files = &mut fixture.manifest.files;
    let entry = files.iter_mut().find(|entry| entry.path.as_str() == name);
    let entry = entry.unwrap();
    entry.size = bytes.len() as u64;
    (entry.sha256, entry.blake3) = (Sha256::of(&bytes), Blake3::of(&bytes));
    let header = entry.tensors.as_ref().map_or(0, |tensors| {
        bytes.len() - tensors.last().unwrap().end as usize
    });
    for tensor in entry.tensors.iter_mut().flatten() {
        let data = &bytes[header + tensor.begin as usize..header + tensor.end as usize];
        tensor.blake3 = Blake3::of(data);
    }
}

#[test]
fn all_in_the_end_is_the_same_as_all_at_once() {
    let fixture = Fixture::new();
    let policy = begin(&fixture).unwrap();
    let weight = policy.tensor("actor.weight").unwrap().unwrap();
    assert_eq!(weight.shape(), [6]);
    assert_eq!(weight.data()[4..8], 1.0_f32.to_le_bytes());
    assert_eq!(weight.evidence(), policy.evidence());
    assert!(policy.tensor("nobody").unwrap().is_none());
    assert!(policy.tensor("gripper.mean").unwrap().is_none());

    let (finished, opened) = (policy.finish().unwrap(), fixture.open().unwrap());
    assert_eq!(finished.evidence(), opened.evidence());
    assert_eq!(finished.notices(), opened.notices());
    for (finished, opened) in finished.files().iter().zip(opened.files()) {
        assert_eq!(finished.path(), opened.path());
        assert_eq!(finished.bytes(), opened.bytes());
        assert_eq!(finished.header(), opened.header());
    }
    assert_eq!(finished.files().len(), opened.files().len());
}

#[test]
fn what_is_shown_before_is_proven() {
    let policy = begin(&Fixture::new()).unwrap();
    assert!(policy.files().all(|file| file.kind() != Kind::Weights));
    assert_eq!(policy.files().count(), 3);
    let tables: Vec<_> = policy.headers().collect();
    let [(path, header)] = tables[..] else {
        panic!("one file of weights")
    };
    assert_eq!(path.as_str(), WEIGHTS);
    assert_eq!(header.tensors.len(), 3);
    let shown = format!("{policy:?}");
    assert!(
        !shown.contains("hold") && !shown.contains("file: File"),
        "{shown}"
    );
}

#[test]
fn a_tampered_tensor_is_refused_each_time_and_no_other_is() {
    let fixture = Fixture::new();
    flip(&fixture, place(&fixture, "big") + 1_000_000);
    let policy = begin(&fixture).unwrap();
    let refuse = || policy.tensor("big").unwrap_err().to_string();
    let refused = refuse();
    assert!(refused.contains("digest-mismatch"), "{refused}");
    assert!(refused.contains("model.safetensors#big"), "{refused}");
    assert_eq!(refuse(), refused);
    assert!(policy.tensor("actor.bias").unwrap().is_some());
    assert!(policy.tensor("actor.weight").unwrap().is_some());
    assert_eq!(refusal(policy.prove_all()), Rejection::DigestMismatch);
    assert_eq!(refuse(), refused);
    let Err(Error::Rejected(all)) = policy.finish() else {
        panic!("refused")
    };
    assert_eq!(all.iter().count(), 1);
    assert_eq!(all.first().rejection, Rejection::DigestMismatch);
}

#[test]
fn the_whole_is_refused_though_nobody_asked_for_the_part() {
    let fixture = Fixture::new();
    flip(&fixture, place(&fixture, "actor.bias"));
    let finished = begin(&fixture).unwrap().finish();
    assert_eq!(refusal(finished), Rejection::DigestMismatch);
}

#[test]
fn everything_else_is_refused_when_it_is_opened() {
    let state = "policy_preprocessor_step_3_normalizer_processor.safetensors";
    let write = |f: &Fixture, name: &str, bytes: &[u8]| fs::write(f.path(name), bytes).unwrap();
    let cases: &[(&str, &dyn Fn(&Fixture), Rejection)] = &[
        ("header", &|f| flip(f, 20), Rejection::DigestMismatch),
        ("its length", &|f| flip(f, 0), Rejection::DigestMismatch),
        (
            "no weights",
            &|f| fs::remove_file(f.path(WEIGHTS)).unwrap(),
            Rejection::FileMissing,
        ),
        (
            "no config",
            &|f| fs::remove_file(f.path("config.json")).unwrap(),
            Rejection::FileMissing,
        ),
        (
            "one file more",
            &|f| write(f, "extra.json", b"{}"),
            Rejection::FileUnexpected,
        ),
        (
            "a link",
            &|f| {
                fs::rename(f.path(WEIGHTS), f.path("target")).unwrap();
                std::os::unix::fs::symlink("target", f.path(WEIGHTS)).unwrap();
            },
            Rejection::FileNotRegular,
        ),
        (
            "weights of another size",
            &|f| {
                let file = OpenOptions::new().append(true).open(f.path(WEIGHTS));
                file.unwrap().write_all_at(b"\0", 2_000_000).unwrap();
            },
            Rejection::SizeMismatch,
        ),
        (
            "another config",
            &|f| write(f, "config.json", CONFIG.replace('2', "9").as_bytes()),
            Rejection::DigestMismatch,
        ),
        (
            "other statistics",
            &|f| write(f, state, &weights_of("gripper.mean", &[1.0; 12])),
            Rejection::DigestMismatch,
        ),
    ];
    for (name, tamper, expected) in cases {
        let fixture = Fixture::new();
        tamper(&fixture);
        assert_eq!(refusal(begin(&fixture)), *expected, "{name}");
    }
}

#[test]
fn a_signature_excuses_nothing_that_the_open_refuses() {
    let mut fixture = Fixture::new();
    let config = r#"{"type": "mlp", "vlm_model_name": "acme/eyes"}"#;
    fs::write(fixture.path("config.json"), config).unwrap();
    sign_blindly(&mut fixture, "config.json");
    assert_eq!(refusal(begin(&fixture)), Rejection::ExternalUnpinned);

    // An end-of-central-directory record, whose archive is empty, as the last bytes of a tensor.
    let mut fixture = Fixture::new();
    let mut bytes = fs::read(fixture.path(WEIGHTS)).unwrap();
    let end = bytes.len();
    bytes[end - 22..].copy_from_slice(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    fs::write(fixture.path(WEIGHTS), bytes).unwrap();
    sign_blindly(&mut fixture, WEIGHTS);
    assert_eq!(refusal(begin(&fixture)), Rejection::PolyglotZip);
}

#[test]
fn element_types_are_judged_before_anything_is_given() {
    let fixture = Fixture::new();
    let mut rules = Rules::default();
    rules.content.dtypes = Some(vec![safetensors::Dtype::BF16]);
    let refused = |result: Result<()>| match result {
        Err(Error::Rejected(all)) => all.iter().any(|found| {
            let is_dtype = found.rejection == Rejection::TensorDtypeForbidden;
            is_dtype && &*found.subject == "model.safetensors#actor.bias"
        }),
        other => panic!("{other:?}"),
    };
    let part = authenticated(&fixture).open_holds_on_demand(holds(&fixture), &rules);
    assert!(refused(part.map(drop)));
    let none = authenticated(&fixture).dangerously_trust_sender(holds(&fixture), &rules);
    assert!(refused(none.map(drop)));
}

#[test]
fn numbers_are_judged_by_the_rules_when_they_are_asked_for() {
    let mut fixture = Fixture::new();
    let at = place(&fixture, "actor.weight");
    let file = OpenOptions::new().write(true).open(fixture.path(WEIGHTS));
    file.unwrap()
        .write_all_at(&f32::NAN.to_le_bytes(), at)
        .unwrap();
    sign_blindly(&mut fixture, WEIGHTS);

    let policy = begin(&fixture).unwrap();
    assert!(policy.tensor("actor.bias").unwrap().is_some());
    for _ in 0..2 {
        let refused = refusal(policy.tensor("actor.weight"));
        assert_eq!(refused, Rejection::WeightsNonFinite);
    }
    assert_eq!(refusal(policy.finish()), Rejection::WeightsNonFinite);

    let mut waive = Rules::default();
    waive.content.non_finite = Severity::Warn;
    let directory = directory(fixture.folder.path());
    let policy = authenticated(&fixture).open_on_demand(&directory, &waive);
    let policy = policy.unwrap();
    assert!(policy.tensor("actor.weight").unwrap().is_some());
    let finished = policy.finish().unwrap();
    let found = finished.notices().iter();
    let found = found.filter(|notice| notice.rejection == Rejection::WeightsNonFinite);
    assert_eq!(found.count(), 1);
}

#[test]
fn sixteen_threads_and_the_background_get_the_same_bytes() {
    let policy = Arc::new(begin(&Fixture::new()).unwrap());
    let start = Arc::new(Barrier::new(17));
    let ask = |policy: Arc<OnDemand>, start: Arc<Barrier>| {
        move || {
            start.wait();
            let tensor = policy.tensor("big").unwrap().unwrap();
            tensor.data().as_ptr() as usize
        }
    };
    let asking: Vec<_> = (0..16)
        .map(|_| thread::spawn(ask(Arc::clone(&policy), Arc::clone(&start))))
        .collect();
    let rest = Arc::clone(&policy);
    let proven = thread::spawn(move || {
        start.wait();
        rest.prove_all()
    });
    let places: Vec<usize> = asking.into_iter().map(|t| t.join().unwrap()).collect();
    proven.join().unwrap().unwrap();
    assert!(places.iter().all(|place| *place == places[0]));
    assert!(Arc::into_inner(policy).unwrap().finish().is_ok());
}

#[test]
fn it_may_be_asked_for_in_the_pool_that_proves() {
    let policy = begin(&Fixture::new()).unwrap();
    let names = ["big", "actor.bias", "actor.weight"];
    let asked = (0..600_usize).into_par_iter().map(|i| {
        let tensor = policy.tensor(names[i % 3]).unwrap();
        tensor.is_some()
    });
    assert!(asked.all(|found| found));
}

#[test]
fn what_was_opened_stays_while_a_writer_comes() {
    let Some(fixture) = Fixture::guarded() else {
        return;
    };
    let (sender, moved) = channel();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |event| {
        assert!(matches!(event.outcome, LeaseOutcome::Moved { .. }));
        sender.send(()).unwrap();
    });
    let directory = directory(fixture.folder.path()).guarded_by(&holder.unwrap());
    let policy = authenticated(&fixture).open_on_demand(&directory, &Rules::default());
    let policy = policy.unwrap();
    flip(&fixture, place(&fixture, "big"));
    fs::write(fixture.path(WEIGHTS), "gone").unwrap();
    moved.recv_timeout(Duration::from_secs(20)).unwrap();
    let big = policy.tensor("big").unwrap().unwrap();
    assert_eq!(big.data()[4..8], 1.0_f32.to_le_bytes());
    let finished = policy.finish().unwrap();
    let hold = finished.file(WEIGHTS).unwrap().hold();
    assert_eq!(hold.holding(), Holding::Sealed(Unguarded::Moved));
}

#[test]
fn bytes_that_cannot_be_kept_are_no_verdict() {
    // The limit would be that of the other tests, too.
    const CHILD: &str = "TENSORGATE_TEST_STARVED";
    if std::env::var_os(CHILD).is_some() {
        return starve();
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "demand::bytes_that_cannot_be_kept_are_no_verdict",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

fn starve() {
    let Some(fixture) = Fixture::guarded() else {
        return;
    };
    let (sender, told) = channel();
    let holder = LeaseHolder::start(LeaseSignal::default(), move |event| {
        let moved = matches!(event.outcome, LeaseOutcome::Moved { .. });
        sender.send(moved).unwrap();
    });
    let directory = directory(fixture.folder.path()).guarded_by(&holder.unwrap());
    let rules = Rules::default();
    let policy = authenticated(&fixture).open_on_demand(&directory, &rules);
    let policy = policy.unwrap();
    let held = authenticated(&fixture).open(&directory, Proof::Tensors, &rules);
    let held = held.unwrap();
    let reopened = || authenticated(&fixture).reopen(&held, &rules);
    assert!(reopened().is_some());
    let limit = |bytes| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let current = bytes;
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    let both_moved = || {
        let next = || told.recv_timeout(Duration::from_secs(20)).unwrap();
        [next(), next()]
    };

    limit(Some(1000));
    // Does not wait, and is noticed all the same (fcntl(2)).
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut writer = OpenOptions::new();
    writer.write(true).custom_flags(nonblock);
    assert!(writer.open(fixture.path(WEIGHTS)).is_err());
    assert_eq!(both_moved(), [false; 2], "nowhere to move to");
    for result in [policy.tensor("big").map(drop), policy.prove_all()] {
        assert!(matches!(result, Err(Error::Io { .. })), "{result:?}");
    }
    assert!(reopened().is_none());
    limit(None);
    assert_eq!(both_moved(), [true; 2], "as soon as there is a place");
    assert!(reopened().is_some());
    assert!(policy.tensor("big").unwrap().is_some());
    assert!(policy.finish().is_ok());
}

#[test]
fn what_is_handed_over_is_proven_alike() {
    let fixture = Fixture::new();
    // As it comes from another process: sealed memory.
    let sender = fixture.open().unwrap();
    let handed: Vec<(FilePath, Hold)> = sender
        .files()
        .iter()
        .map(|file| {
            let memfd = file.hold().to_memfd().unwrap();
            let hold = Hold::of_memfd(memfd, file.bytes().len() as u64);
            (file.path().clone(), hold.unwrap())
        })
        .rev()
        .collect();
    let policy = authenticated(&fixture).open_holds_on_demand(handed, &Rules::default());
    let policy = policy.unwrap();
    assert_eq!(policy.tensor("actor.bias").unwrap().unwrap().shape(), [3]);
    assert!(policy.finish().is_ok());
    let whole = |holds| authenticated(&fixture).open_holds(holds, Proof::Whole, &Rules::default());
    assert_eq!(whole(holds(&fixture)).unwrap().files().len(), 4);
}

#[test]
fn what_is_handed_over_is_all_that_was_signed_and_nothing_else() {
    type Tamper = dyn Fn(&mut Vec<(FilePath, Hold)>);
    fn small() -> Hold {
        Hold::Owned(Box::new([0]))
    }
    let cases: &[(&str, &Tamper, Rejection)] = &[
        ("nothing", &|h| h.clear(), Rejection::FileMissing),
        ("too little", &|h| drop(h.pop()), Rejection::FileMissing),
        (
            "too much",
            &|h| h.push(("LICENSE".parse().unwrap(), small())),
            Rejection::FileUnexpected,
        ),
        (
            "twice",
            &|h| h.push((h[0].0.clone(), small())),
            Rejection::FileUnexpected,
        ),
        (
            "another's bytes",
            &|h| h[1].1 = small(),
            Rejection::SizeMismatch,
        ),
        (
            "another's name",
            &|h| {
                let name = h[0].0.clone();
                h[0].0 = std::mem::replace(&mut h[1].0, name);
            },
            Rejection::SizeMismatch,
        ),
    ];
    let fixture = Fixture::new();
    let rules = Rules::default();
    for (name, tamper, expected) in cases {
        let tampered = || {
            let mut holds = holds(&fixture);
            tamper(&mut holds);
            holds
        };
        let whole = authenticated(&fixture).open_holds(tampered(), Proof::Tensors, &rules);
        assert_eq!(refusal(whole), *expected, "{name}");
        let part = authenticated(&fixture).open_holds_on_demand(tampered(), &rules);
        assert_eq!(refusal(part), *expected, "{name}");
        let none = authenticated(&fixture).dangerously_trust_sender(tampered(), &rules);
        assert_eq!(refusal(none), *expected, "{name}");
    }
}

#[test]
fn a_trusted_sender_may_send_any_number_but_no_other_shape() {
    let fixture = Fixture::new();
    flip(&fixture, place(&fixture, "actor.bias") + 4);
    let rules = Rules::default();
    let policy = authenticated(&fixture).dangerously_trust_sender(holds(&fixture), &rules);
    let policy = policy.unwrap();
    let bias = policy.tensor("actor.bias").unwrap();
    assert_eq!(bias.shape(), [3]);
    assert_ne!(
        bias.data()[4..8],
        1.0_f32.to_le_bytes(),
        "this is what is lost"
    );
    assert!(policy.files().all(|file| file.kind() != Kind::Weights));
    assert_eq!(policy.headers().count(), 1);

    flip(&fixture, 20);
    let refused = authenticated(&fixture).dangerously_trust_sender(holds(&fixture), &rules);
    assert_eq!(refusal(refused), Rejection::DigestMismatch);
}
