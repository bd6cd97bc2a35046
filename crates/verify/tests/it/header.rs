//! The strict header parser, with the crate `safetensors` as its oracle.

use crate::support::refusal;
use proptest::prelude::*;
use safetensors::SafeTensors;
use tensorgate_verify::{Header, Limits, Rejection, Result};

/// A file of this header text and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

fn parse(bytes: &[u8]) -> Result<Header> {
    Header::parse(bytes, bytes.len() as u64, &Limits::default())
}

/// What we accept, the crate accepts with the same table.
fn agrees_with_the_crate(header: &Header, bytes: &[u8]) {
    let theirs = SafeTensors::deserialize(bytes).unwrap();
    assert_eq!(theirs.len(), header.tensors.len());
    for tensor in &header.tensors {
        let view = theirs.tensor(&tensor.name).unwrap();
        let begin = (header.len + tensor.begin) as usize;
        assert_eq!(
            (view.dtype(), view.shape()),
            (tensor.dtype, &tensor.shape[..])
        );
        assert_eq!(view.data().as_ptr(), bytes[begin..].as_ptr());
        assert_eq!(view.data().len() as u64, tensor.byte_len());
    }
}

const ONE: &str = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;

#[test]
fn good_headers_give_the_crates_table() {
    let two = r#""b":{"dtype":"I64","shape":[],"data_offsets":[8,16]}"#;
    let cases = [
        (format!("{{{ONE}}}  "), 8),
        (format!("{{{ONE},{two}}}   "), 16),
        (format!("{{{two},{ONE}}}   "), 16),
        (
            format!("{{\"__metadata__\":{{\"format\":\"pt\"}},{ONE}}}"),
            8,
        ),
        (
            r#"{"a":{"data_offsets":[0,1],"shape":[1,1],"dtype":"BOOL"}}"#.into(),
            1,
        ),
        (
            r#"{"onnx::MatMul_45":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]}}"#.into(),
            3,
        ),
    ];
    for (mut text, data) in cases {
        text.push_str(&" ".repeat((8 - text.len() % 8) % 8));
        let bytes = file(&text, data);
        agrees_with_the_crate(
            &parse(&bytes).unwrap_or_else(|e| panic!("{text}: {e}")),
            &bytes,
        );
    }
}

#[test]
fn each_ambiguity_has_its_code() {
    use Rejection::*;
    let entry = |name: &str, body: &str| format!("{{\"{name}\":{{{body}}}}}");
    let ok = r#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#;
    let long = "n".repeat(257);
    let rank = format!(
        r#""dtype":"U8","shape":[{}1],"data_offsets":[0,1]"#,
        "1,".repeat(8)
    );
    let cases: &[(String, usize, Rejection)] = &[
        (String::new(), 0, HeaderMalformed),
        ("[]".into(), 0, HeaderMalformed),
        ("null".into(), 0, HeaderMalformed),
        ("{}".into(), 0, TensorEmpty),
        (r#"{"__metadata__":{}}"#.into(), 0, TensorEmpty),
        (format!(" {{{ONE}}}"), 8, HeaderLeadingSpace),
        (format!("\n{{{ONE}}}"), 8, HeaderLeadingSpace),
        (format!("\u{feff}{{{ONE}}}"), 8, HeaderMalformed),
        (format!("{{{ONE}}}\0"), 8, HeaderMalformed),
        (format!("{{{ONE}}}{{}}"), 8, HeaderMalformed),
        (format!("{{{ONE},{ONE}}}"), 8, JsonDuplicateKey),
        (
            format!("{{{ONE},{}}}", ONE.replace("\"a\"", "\"\\u0061\"")),
            8,
            JsonDuplicateKey,
        ),
        (
            format!("{{{ONE},{}}}", ONE.replace("F32", "I32")),
            8,
            JsonDuplicateKey,
        ),
        (
            format!("{{\"__metadata__\":{{\"x\":\"1\",\"x\":\"1\"}},{ONE}}}"),
            8,
            JsonDuplicateKey,
        ),
        (
            format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},{ONE}}}"),
            8,
            JsonDuplicateKey,
        ),
        (
            format!("{{\"__metadata__\":null,{ONE}}}"),
            8,
            HeaderMalformed,
        ),
        (
            format!("{{\"__metadata__\":{{\"x\":1}},{ONE}}}"),
            8,
            HeaderMalformed,
        ),
        (
            format!(
                "{{\"__metadata__\":{{\"x\":\"{}\"}},{ONE}}}",
                "y".repeat(65_536)
            ),
            8,
            HeaderTooLarge,
        ),
        (
            entry("a", &format!("{ok},\"dtype\":\"F32\"")),
            8,
            JsonDuplicateKey,
        ),
        (
            entry("a", &format!("{ok},\"x\":[{{}}]")),
            8,
            HeaderUnknownField,
        ),
        (r#"{"a":["F32",[2],[0,8]]}"#.into(), 8, HeaderMalformed),
        (
            entry("a", &ok.replace("\"F32\"", "{\"F32\":null}")),
            8,
            HeaderMalformed,
        ),
        (entry("a", &ok.replace("F32", "f32")), 8, HeaderMalformed),
        (
            entry("a", &ok.replace("[0,8]", "[0,8,8]")),
            8,
            HeaderMalformed,
        ),
        (entry("a", &ok.replace("[0,8]", "[0]")), 8, HeaderMalformed),
        (entry("a", &ok.replace("[2]", "[2.0]")), 8, HeaderMalformed),
        (entry("a", &ok.replace("[2]", "[-2]")), 8, HeaderMalformed),
        (entry("a", &ok.replace("[2]", "\"2\"")), 8, HeaderMalformed),
        (
            entry("a", r#""shape":[2],"data_offsets":[0,8]"#),
            8,
            HeaderMalformed,
        ),
        (entry("", ok), 8, TensorNameUnsafe),
        (entry("a\\u0000", ok), 8, TensorNameUnsafe),
        (entry("a\\n", ok), 8, TensorNameUnsafe),
        (entry("a\u{202e}b", ok), 8, TensorNameUnsafe),
        (entry("ä", ok), 8, TensorNameUnsafe),
        (entry("../../etc/passwd", ok), 8, TensorNameUnsafe),
        (entry(&long, ok), 8, TensorNameUnsafe),
        (entry("a", &rank), 1, TensorRankTooHigh),
        (
            entry("a", &ok.replace("[2]", "[18446744073709551615,2,0]")),
            8,
            TensorShapeOverflow,
        ),
        (
            entry("a", &ok.replace("[2]", "[4611686018427387904]")),
            8,
            TensorShapeOverflow,
        ),
        (
            entry("a", &ok.replace("[2]", "[2,0]").replace("[0,8]", "[0,0]")),
            0,
            TensorEmpty,
        ),
        (entry("a", &ok.replace("[2]", "[3]")), 8, TensorSizeMismatch),
        (
            entry("a", r#""dtype":"F4","shape":[3],"data_offsets":[0,2]"#),
            2,
            TensorSizeMismatch,
        ),
        (
            entry("a", &ok.replace("[0,8]", "[8,0]")),
            8,
            TensorOffsetsInvalid,
        ),
        (
            entry("a", &ok.replace("[0,8]", "[8,16]")),
            16,
            TensorOffsetsInvalid,
        ),
        (
            format!("{{{ONE},{}}}", ONE.replace("\"a\"", "\"b\"")),
            8,
            TensorOffsetsInvalid,
        ),
        (
            format!(
                "{{{ONE},{}}}",
                ONE.replace("\"a\"", "\"b\"").replace("0,8", "16,24")
            ),
            24,
            TensorOffsetsInvalid,
        ),
        (format!("{{{ONE}}}"), 4, TensorOffsetsInvalid),
        (format!("{{{ONE}}}"), 9, TrailingBytes),
        (format!("{{{}}}", "[".repeat(200)), 0, HeaderMalformed),
    ];
    for (text, data, expected) in cases {
        let mut text = text.clone();
        // Alignment is a rule of its own, below; it must not answer first.
        if text.starts_with('{') && text.ends_with('}') {
            text.push_str(&" ".repeat((8 - text.len() % 8) % 8));
        }
        let shown: String = text.chars().take(100).collect();
        match parse(&file(&text, *data)) {
            Ok(header) => panic!("accepted {shown}: {header:?}"),
            Err(error) => assert_eq!(error.rejection(), Some(*expected), "{shown}: {error}"),
        }
    }
}

#[test]
fn views_must_be_possible_in_place() {
    let odd = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let padded = format!("{odd}{}", " ".repeat((8 - odd.len() % 8) % 8));
    assert_eq!(
        refusal(parse(&file(&padded, 5))),
        Rejection::TensorMisaligned
    );
    let shifted = format!("{{{ONE}}}{}", " ".repeat((8 - (ONE.len() + 2) % 8) % 8 + 1));
    assert_eq!(
        refusal(parse(&file(&shifted, 8))),
        Rejection::TensorMisaligned
    );
}

#[test]
fn lengths_are_checked_before_memory_is_taken() {
    let limits = Limits::default();
    let mut huge = (100_000_000_u64).to_le_bytes().to_vec();
    assert_eq!(refusal(parse(&huge[..7])), Rejection::HeaderTooShort);
    assert_eq!(refusal(parse(&huge)), Rejection::HeaderTooLarge);
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(refusal(parse(&huge)), Rejection::HeaderTooLarge);
    assert_eq!(
        refusal(parse(&1_000_u64.to_le_bytes())),
        Rejection::HeaderLengthInvalid
    );
    let mut not_utf8 = file(&format!("{{{ONE}}}"), 8);
    not_utf8[9] = 0xff;
    assert_eq!(refusal(parse(&not_utf8)), Rejection::HeaderNotUtf8);
    let many: Vec<String> = (0..=limits.tensors)
        .map(|i| {
            format!(
                "\"{i}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[{i},{}]}}",
                i + 1
            )
        })
        .collect();
    let mut wide = limits.clone();
    wide.header_bytes = 64 << 20;
    let bytes = file(&format!("{{{}}}", many.join(",")), many.len());
    assert_eq!(
        refusal(Header::parse(&bytes, bytes.len() as u64, &wide)),
        Rejection::TensorTooMany
    );
}

#[derive(Clone)]
struct Row {
    name: String,
    dtype: &'static str,
    dim: usize,
    begin: usize,
    end: usize,
}

impl Row {
    fn json(&self) -> String {
        let Self {
            name,
            dtype,
            dim,
            begin,
            end,
        } = self;
        format!(
            "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":[{dim}],\"data_offsets\":[{begin},{end}]}}"
        )
    }
}

fn tensor_name() -> impl Strategy<Value = String> {
    "[a-z]{1,3}(\\.[a-z0-9_]{1,6}){0,2}"
}

/// Those that mean something there as often as all others together.
fn byte_of_a_header() -> impl Strategy<Value = u8> {
    prop_oneof![
        any::<u8>(),
        prop::sample::select(b"{}[]\",:\\0123456789abFIUpw_ ".to_vec())
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_agreed_upon(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(header) = parse(&bytes) {
            agrees_with_the_crate(&header, &bytes);
        }
    }

    #[test]
    fn good_tables_are_agreed_upon_and_slightly_wrong_ones_never_disagree(
        tensors in prop::collection::btree_map(tensor_name(), 1_usize..9, 1..5),
        wrong in prop::option::of((0_usize..6, any::<prop::sample::Index>(), 0_usize..4)),
    ) {
        let mut rows: Vec<Row> = Vec::new();
        for (name, len) in &tensors {
            let begin = rows.last().map_or(0, |row| row.end);
            rows.push(Row { name: name.clone(), dtype: "U8", dim: *len, begin, end: begin + len });
        }
        let data = rows.last().map_or(0, |row| row.end);
        let mut surplus = 0;
        if let Some((kind, index, by)) = &wrong {
            let at = index.index(rows.len());
            match kind {
                0 => rows[at].begin += by,
                1 => rows[at].end += by,
                2 => rows[at].dim += by,
                3 => rows[at].dtype = "F32",
                4 => rows.push(rows[at].clone()),
                _ => surplus = *by,
            }
        }
        let text = format!("{{{}}}", rows.iter().map(Row::json).collect::<Vec<_>>().join(","));
        let bytes = file(&text, data + surplus);
        match parse(&bytes) {
            Ok(header) => agrees_with_the_crate(&header, &bytes),
            Err(error) => prop_assert!(wrong.is_some(), "{error} for {text}"),
        }
    }

    #[test]
    fn what_the_crate_writes_is_read(tensors in prop::collection::btree_map(tensor_name(), 1_usize..50, 1..20)) {
        let list: Vec<(&str, usize)> = tensors.iter().map(|(name, len)| (name.as_str(), *len)).collect();
        let bytes = crate::support::weights(&list);
        let header = parse(&bytes).unwrap();
        prop_assert_eq!(header.tensors.len(), tensors.len());
        agrees_with_the_crate(&header, &bytes);
    }

    /// Bytes of a genuine header exchanged: what is still read is read as the crate reads it.
    #[test]
    fn mutated_genuine_headers_never_disagree(
        exchanges in prop::collection::vec((any::<prop::sample::Index>(), byte_of_a_header()), 1..4),
    ) {
        let mut bytes = crate::support::weights(&[("a", 3), ("b.bias", 2), ("b.weight", 4)]);
        let len = parse(&bytes).unwrap().len as usize;
        for (at, byte) in exchanges {
            bytes[at.index(len)] = byte;
        }
        if let Ok(header) = parse(&bytes) {
            agrees_with_the_crate(&header, &bytes);
        }
    }

    #[test]
    fn a_cut_file_is_refused(at in 0_usize..100) {
        let bytes = crate::support::weights(&[("a", 3), ("b", 5)]);
        let cut = bytes.len() * at / 100;
        prop_assert!(parse(&bytes[..cut]).is_err());
    }
}

#[test]
fn metadata_may_be_as_long_as_the_limit() {
    let json = format!("{{\"__metadata__\":{{\"ab\":\"cde\"}},{ONE}}}");
    let len = u64::try_from(json.len()).unwrap();
    let bytes = [&len.to_le_bytes()[..], json.as_bytes()].concat();
    let file_len = 8 + len + 4;
    let mut limits = Limits::default();
    limits.metadata_bytes = 5;
    let parsed = Header::parse(&bytes, file_len, &limits);
    let refused = parsed.err().and_then(|error| error.rejection());
    assert_ne!(refused, Some(Rejection::HeaderTooLarge));
    limits.metadata_bytes = 4;
    let error = Header::parse(&bytes, file_len, &limits).unwrap_err();
    assert_eq!(error.rejection(), Some(Rejection::HeaderTooLarge));
}
