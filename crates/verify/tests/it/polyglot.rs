//! Weights that are also something else, and weights that only look so.

use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tensorgate_verify::{Rejection, Result, Rules, Severity, Survey};

use crate::support::{directory, refusal};

/// Judges one file; its numbers may be anything.
fn judge(bytes: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let mut rules = Rules::default();
    rules.content.non_finite = Severity::Warn;
    Survey::new(&rules).run(&directory(folder.path())).map(drop)
}

/// A file of one U8 tensor, its header padded to `n` bytes.
fn padded(metadata: &str, n: usize, data: &[u8]) -> Vec<u8> {
    let len = data.len();
    let header = format!(
        r#"{{"__metadata__":{{"k":"{metadata}"}},"w":{{"dtype":"U8","shape":[{len}],"data_offsets":[0,{len}]}}}}"#
    );
    assert!(header.len() <= n, "{} bytes", header.len());
    let mut bytes = (n as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(8 + n, b' ');
    bytes.extend(data);
    bytes
}

/// A header length of which BINBYTES is the first byte; its bytes end behind `{"__metadata__":{"k":"`.
const N: usize = 0x1942;

/// A walk through the header to the data: None pushed again and again, then a string of 120 bytes
/// that ends with the header.
fn walked_to(data: &[u8]) -> Vec<u8> {
    let len = data.len().to_string().len();
    let after = r#""},"w":{"dtype":"U8","shape":[],"data_offsets":[0,]}}"#.len() + 2 * len;
    let before = r#"{"__metadata__":{"k":""#.len();
    assert!(after <= 120);
    let metadata = format!("{}Cx", "N".repeat(N - before - 2 - 120));
    padded(&metadata, N, data)
}

#[test]
fn code_in_the_data_is_found() {
    let steps = "N".repeat(1 << 20);
    for (data, expected) in [
        (&b"cbuiltins\nprint\n(Vhello\ntR."[..], true),
        (b"(Vhello\nibuiltins\nprint\n.", true),
        (b"\x80\x04\x8c\x08builtins\x8c\x05print\x93\x8c\x05hello\x85R.", true),
        (b"\x8c\x08builtins\x94\x8c\x05print\x9400h\x00h\x01\x93.", true),
        (b"V__main__\n2\x93.", true),
        (b"S'os'\nS'system'\n\x93.", true),
        (b"T\x02\0\0\0osX\x06\0\0\0system\x93.", true),
        (b"\x8d\x02\0\0\0\0\0\0\0os\x8d\x06\0\0\0\0\0\0\0system\x93.", true),
        (b"cm\xc3\xbcll._x\ny.z9\n.", true),
        // The pickle that follows, as in files of several objects.
        (b"N.I1\n.cos\nsystem\n.", true),
        // Loaders that go on with the same memory.
        (b"\x8c\x02os\x8c\x06system.h\x00h\x01\x93.", true),
        (b"K\x01M\x01\x02J\x01\x02\x03\x04G\x01\x02\x03\x04\x05\x06\x07\x08\x8a\x01\x07\x8b\x01\0\0\0\x07B\x01\0\0\0\x07\x8e\x01\0\0\0\0\0\0\0\x07\x96\x01\0\0\0\0\0\0\0\x07\x95\x01\0\0\0\0\0\0\0F1.5\nL1L\n\x82\x01\x83\x01\x01\x84\x01\x01\x01\x01q\x01r\x01\0\0\0p1\ng1\nj\x01\0\0\0P1\ncos\nsystem\n.", true),
        // Too long to tell.
        (steps.as_bytes(), true),
        // What no loader comes through, or what imports nothing.
        (b"N.", false),
        (b"\x80\x06cos\nsystem\n.", false),
        (b"\x00cos\nsystem\n.", false),
        (b"cos\n1system\n.", false),
        (b"c\nsystem\n.", false),
        (b"cos\nsystem", false),
        (b"X\xff\xff\xff\xffcos\nsystem\n.", false),
        (b"T\x00\x00\x00\x80cos\nsystem\n.", false),
        (b"\x8b\xff\xff\xff\xffcos\nsystem\n.", false),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffcos\nsystem\n.", false),
        (b"h\x00h\x01\x93.", false),
        (b"\x8c\x02os\x93.", false),
        (b"\x82\x01R.", false),
    ] {
        let result = judge(&walked_to(data));
        let shown = String::from_utf8_lossy(&data[..data.len().min(60)]);
        match expected {
            true => assert_eq!(refusal(result), Rejection::PolyglotPickle, "{shown}"),
            false => assert!(result.is_ok(), "{shown}: {result:?}"),
        }
    }
}

#[test]
fn code_in_the_metadata_is_found() {
    let name = "a".repeat(32);
    let metadata = format!("{}U {name}U {name}K\u{93}", "N".repeat(5_000));
    assert_eq!(
        refusal(judge(&padded(&metadata, N, b"1"))),
        Rejection::PolyglotPickle
    );
}

#[test]
fn a_tensor_that_is_named_like_code_is_refused_for_its_name() {
    let header = r#"{"cos\nsystem\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.push(0);
    assert_eq!(refusal(judge(&bytes)), Rejection::TensorNameUnsafe);
}

#[test]
fn headers_whose_length_looks_like_a_pickle_are_good() {
    for n in [640, 896, 1152, 1408, 0x2800, 0x6300, 0x1958] {
        judge(&padded("", n, b"0")).unwrap_or_else(|error| panic!("{n}: {error}"));
    }
}

/// An end record, fields in the order of the specification.
fn zip_end(size: u32, offset: u32, comment: &[u8]) -> Vec<u8> {
    let mut record = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    record.extend(size.to_le_bytes());
    record.extend(offset.to_le_bytes());
    record.extend((comment.len() as u16).to_le_bytes());
    record.extend(comment);
    record
}

#[test]
fn an_archive_at_the_end_is_found() {
    let at = |parts: &[&[u8]]| padded("", 640, &parts.concat());
    let directory = [&b"PK\x01\x02"[..], &[0; 42]].concat();
    let absolute = u32::try_from(8 + 640 + 5).unwrap();
    let cases: &[(&str, Vec<u8>, bool)] = &[
        (
            "relative to the archive",
            at(&[b"local", &directory, &zip_end(46, 5, b"")]),
            true,
        ),
        (
            "relative to the file",
            at(&[b"local", &directory, b"gap", &zip_end(46, absolute, b"")]),
            true,
        ),
        (
            "with a comment",
            at(&[&directory, &zip_end(46, 0, &[7; 0xffff])]),
            true,
        ),
        (
            "with bytes after it",
            at(&[&directory, &zip_end(46, 0, b""), b"more"]),
            true,
        ),
        (
            "with an offset past the end",
            at(&[&directory, &zip_end(46, 1 << 30, b"")]),
            true,
        ),
        ("empty", at(&[&zip_end(0, 0, b"")]), true),
        (
            "zip64",
            at(&[
                b"PK\x06\x07",
                &[0; 16],
                &zip_end(u32::MAX, u32::MAX, b""),
                b"more",
            ]),
            true,
        ),
        (
            "no directory there",
            at(&[&zip_end(1 << 20, 1 << 20, b"")]),
            false,
        ),
        (
            "no directory and bytes after it",
            at(&[&zip_end(0, 0, b""), b"more"]),
            false,
        ),
        ("too short", at(&[b"PK\x05\x06"]), false),
        (
            "too far from the end",
            at(&[&directory, &zip_end(46, 0, b""), &[0; 0x10000]]),
            false,
        ),
    ];
    for (name, bytes, expected) in cases {
        match (judge(bytes), expected) {
            (result, true) => assert_eq!(refusal(result), Rejection::PolyglotZip, "{name}"),
            (result, false) => assert!(result.is_ok(), "{name}: {result:?}"),
        }
    }
}

#[test]
fn a_tar_archive_is_found() {
    // The checksum is at byte 148 of the file: for this header, in the data.
    let field = |sum: &[u8]| {
        let mut data = vec![b'7'; 1000];
        data[148 - 8 - 120..][..8].copy_from_slice(sum);
        padded("", 120, &data)
    };
    let block = field(b"        ");
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    for good in [
        format!("{sum:06o}\0 "),
        format!("{sum:>7o}\0"),
        format!("+{sum:07o}"),
        format!("0o{sum:06o}"),
    ] {
        assert_eq!(
            refusal(judge(&field(good.as_bytes()))),
            Rejection::FormatArchive,
            "{good:?}"
        );
    }
    let mut binary = u64::from(sum).to_be_bytes();
    binary[0] = 0x80;
    assert_eq!(refusal(judge(&field(&binary))), Rejection::FormatArchive);
    judge(&field(format!("{:06o}\0 ", sum + 1).as_bytes())).unwrap();
    judge(&field(format!("{sum:06o},9").as_bytes())).unwrap();
}

/// Names as the policies of LeRobot have them.
fn name() -> impl Strategy<Value = String> {
    "(model|policy|vae_encoder|action_head)(\\.(layers|encoder|self_attn|mlp|buffer_observation_state|vision_model|[0-9]{1,2})){1,6}\\.(weight|bias|mean|std|in_proj_weight)"
}

fn tensor() -> impl Strategy<Value = (Dtype, Vec<usize>)> {
    let dtype = prop::sample::select(vec![
        Dtype::F32,
        Dtype::BF16,
        Dtype::F16,
        Dtype::I64,
        Dtype::U8,
    ]);
    (dtype, prop::collection::vec(1_usize..12, 0..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn good_weights_are_never_taken_for_something_else(
        tensors in prop::collection::btree_map(name(), tensor(), 1..30),
        format in prop::option::of("pt|np"),
        seed in any::<u64>(),
    ) {
        let mut state = seed | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let data: Vec<(&String, Dtype, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(name, (dtype, shape))| {
                let len = shape.iter().product::<usize>() * dtype.bitsize() / 8;
                (name, *dtype, shape.clone(), (0..len).map(|_| random()).collect())
            })
            .collect();
        let views = data.iter().map(|(name, dtype, shape, bytes)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let metadata = format.map(|format| [("format".to_owned(), format)].into());
        let bytes = safetensors::serialize(views, metadata).unwrap();
        prop_assert!(judge(&bytes).is_ok(), "{:?}", judge(&bytes));
    }
}
