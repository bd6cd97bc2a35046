//! A policy in pieces is the policy, and nothing else becomes one.

use crate::support::*;
use proptest::prelude::*;
use tensorgate_verify::*;

const SIZE: FragmentSize = FragmentSize::new(64 << 10).unwrap();

struct Sender {
    policy: Verified<Policy>,
    cut: Cut,
    digests: Vec<Blake3>,
}

impl Sender {
    fn new() -> Self {
        Self::from(Fixture::new().open().unwrap())
    }

    /// A sender of one weights file alone.
    fn of(tensors: &[(&str, usize)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), weights(tensors)).unwrap();
        let files = survey(folder.path()).unwrap();
        let manifest = Manifest::new(repo(), 1, validity(), About::of_type("t"), files);
        let verified = trust(1, &[1])
            .authenticate(&sign(&manifest, &[1]), &context())
            .unwrap();
        Self::from(
            verified
                .open(&directory(folder.path()), Proof::Tensors, &Rules::default())
                .unwrap(),
        )
    }

    fn from(policy: Verified<Policy>) -> Self {
        let cut = Cut::new(policy.manifest(), SIZE);
        let digests = cut.digests(&policy);
        Self {
            policy,
            cut,
            digests,
        }
    }

    fn small(&self) -> Vec<(FilePath, Vec<u8>)> {
        let bytes = |file: &File| match file.header() {
            Some(header) => file.bytes()[..header.len as usize].to_vec(),
            None => file.bytes().to_vec(),
        };
        self.policy
            .files()
            .iter()
            .map(|file| (file.path().clone(), bytes(file)))
            .collect()
    }

    fn fragment(&self, index: usize) -> &[u8] {
        self.cut
            .bytes(&self.policy, &self.cut.spans()[index])
            .unwrap()
    }

    fn manifest(&self) -> Verified<Manifest> {
        let signed =
            SignedManifest::parse(self.policy.evidence().envelope(), &Limits::default()).unwrap();
        trust(1, &[1]).authenticate(&signed, &context()).unwrap()
    }

    fn begin(&self, small: Vec<(FilePath, Vec<u8>)>, digests: Vec<Blake3>) -> Result<Assembly> {
        Assembly::begin(self.manifest(), small, SIZE, digests, &Rules::default())
    }

    fn assembly(&self) -> Assembly {
        self.begin(self.small(), self.digests.clone()).unwrap()
    }
}

fn same(a: &Verified<Policy>, b: &Verified<Policy>) {
    for (a, b) in a.files().iter().zip(b.files()) {
        assert_eq!(
            (a.path(), a.bytes(), a.header()),
            (b.path(), b.bytes(), b.header())
        );
    }
    assert_eq!(a.evidence().manifest, b.evidence().manifest);
}

#[test]
fn a_tensor_of_any_length_is_the_sum_of_its_fragments() {
    // Around every boundary of the tree: chunk, fragment, powers of two of both.
    let step = 64 << 10;
    for len in [
        4,
        1024,
        step - 4,
        step,
        step + 4,
        2 * step,
        3 * step + 1028,
        4 * step,
        7 * step - 4,
        9 * step + 8,
    ] {
        let bytes = weights_of("t", &vec![0.25; len / 4]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let files = survey(folder.path()).unwrap();
        let manifest = Manifest::new(repo(), 1, validity(), About::of_type("t"), files);
        let open = || {
            trust(1, &[1])
                .authenticate(&sign(&manifest, &[1]), &context())
                .unwrap()
        };
        let policy = open()
            .open(&directory(folder.path()), Proof::Tensors, &Rules::default())
            .unwrap();
        let cut = Cut::new(&manifest, SIZE);
        assert_eq!(cut.spans().len(), len.div_ceil(step));
        let header = policy.files()[0].header().unwrap().len as usize;
        let small = vec![(
            policy.files()[0].path().clone(),
            policy.files()[0].bytes()[..header].to_vec(),
        )];
        let mut assembly =
            Assembly::begin(open(), small, SIZE, cut.digests(&policy), &Rules::default()).unwrap();
        for (index, span) in cut.spans().iter().enumerate() {
            assembly
                .accept(index, cut.bytes(&policy, span).unwrap())
                .unwrap();
        }
        same(&assembly.finish().unwrap(), &policy);
    }
}

#[test]
fn the_received_policy_is_sealed() {
    let sender = Sender::new();
    let mut assembly = sender.assembly();
    (0..sender.digests.len()).for_each(|i| assembly.accept(i, sender.fragment(i)).unwrap());
    let policy = assembly.finish().unwrap();
    assert!(
        policy
            .tensor_files()
            .all(|file| matches!(file.hold(), Hold::Sealed(_)))
    );
}

#[test]
fn announcements_that_do_not_add_up_are_refused() {
    let sender = Sender::new();
    let changed = |change: &dyn Fn(&mut Vec<(FilePath, Vec<u8>)>)| {
        let mut small = sender.small();
        change(&mut small);
        refusal(sender.begin(small, sender.digests.clone()))
    };
    assert_eq!(changed(&|s| drop(s.remove(0))), Rejection::FileMissing);
    assert_eq!(
        changed(&|s| s.push(s[0].clone())),
        Rejection::FileUnexpected
    );
    assert_eq!(changed(&|s| s[0].1[9] ^= 1), Rejection::DigestMismatch);
    assert_eq!(changed(&|s| s[0].1.push(b' ')), Rejection::SizeMismatch);
    assert_eq!(changed(&|s| s[1].1[9] ^= 1), Rejection::DigestMismatch);
    assert_eq!(changed(&|s| s[1].1.truncate(10)), Rejection::SizeMismatch);
    assert_eq!(changed(&|s| s[1].1.clear()), Rejection::SizeMismatch);

    assert_eq!(
        changed(&|s| s[1].1.extend([0; 100_000])),
        Rejection::SizeMismatch
    );

    let digests = |change: &dyn Fn(&mut Vec<Blake3>)| {
        let mut digests = sender.digests.clone();
        change(&mut digests);
        refusal(sender.begin(sender.small(), digests))
    };
    assert_eq!(digests(&|d| d.truncate(3)), Rejection::SizeMismatch);
    assert_eq!(digests(&|d| d.push(d[0])), Rejection::SizeMismatch);
    assert_eq!(digests(&|d| d.swap(3, 4)), Rejection::DigestMismatch);
    assert_eq!(
        digests(&|d| d[0] = Blake3::of(b"")),
        Rejection::DigestMismatch
    );
}

#[test]
fn fragments_that_are_not_the_signed_ones_change_nothing() {
    let sender = Sender::new();
    let mut assembly = sender.assembly();
    let genuine = sender.fragment(5).to_vec();
    let mut flipped = genuine.clone();
    flipped[77] ^= 0x10;
    assert_eq!(
        refusal(assembly.accept(5, &flipped)),
        Rejection::DigestMismatch
    );
    assert_eq!(
        refusal(assembly.accept(5, sender.fragment(4))),
        Rejection::DigestMismatch
    );
    assert_eq!(
        refusal(assembly.accept(5, &genuine[1..])),
        Rejection::SizeMismatch
    );
    assert_eq!(refusal(assembly.accept(5, &[])), Rejection::SizeMismatch);
    assert_eq!(
        refusal(assembly.accept(usize::MAX, &genuine)),
        Rejection::FileUnexpected
    );
    assert_eq!(assembly.missing().count(), sender.digests.len());
    assert_eq!(refusal(assembly.finish()), Rejection::FileMissing);
}

/// Another process of this user can open the memfd through /proc while it is being filled. What it
/// writes there is found when the memfd is sealed.
#[test]
fn a_write_behind_the_receiver_is_found() {
    // A length of its own, by which the memfd is known among those of other tests.
    let sender = Sender::of(&[("only", 54_321)]);
    let mut assembly = sender.assembly();
    (0..sender.digests.len()).for_each(|i| assembly.accept(i, sender.fragment(i)).unwrap());
    let len = sender.policy.files()[0].bytes().len() as u64;
    let memfd = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            let name = std::fs::read_link(path).unwrap_or_default();
            // The sender's own is sealed and refuses to be opened for writing.
            name.to_string_lossy().contains("memfd:tensorgate")
                && std::fs::metadata(path).is_ok_and(|stat| stat.len() == len)
                && std::fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .is_ok_and(|file| write(&file, len))
        });
    assert!(memfd.is_some(), "the attack itself must work");
    assert_eq!(refusal(assembly.finish()), Rejection::DigestMismatch);
}

fn write(file: &std::fs::File, len: u64) -> bool {
    use std::os::unix::fs::FileExt;
    file.write_all_at(&[0xff; 4], len - 4).is_ok()
}

#[test]
fn fragment_sizes_are_bounded_powers_of_two() {
    for bad in [0, 1, 1024, 65_535, 100_000, 16 << 20, u32::MAX] {
        assert_eq!(FragmentSize::new(bad), None, "{bad}");
    }
    assert_eq!(
        FragmentSize::new(8 << 20).map(FragmentSize::bytes),
        Some(8 << 20)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn order_and_repetition_do_not_matter(order in prop::collection::vec(0_usize..100, 0..60)) {
        let sender = Sender::new();
        let count = sender.digests.len();
        let mut assembly = sender.assembly();
        for index in order.into_iter().map(|i| i % count).chain((0..count).rev()) {
            assembly.accept(index, sender.fragment(index)).unwrap();
        }
        prop_assert!(assembly.is_complete());
        same(&assembly.finish().unwrap(), &sender.policy);
    }
}
