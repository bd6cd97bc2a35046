//! Whatever a stranger writes, the page has the same elements, and none of them is the stranger's.

use std::collections::BTreeMap;

use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::json;
use tensorgate_verify::{Kind, Rejection};

use super::*;
use crate::facts::{Card, Feature, Numbers, Odd, Seen, State, Tensor};
use crate::failure::{Finding, Trouble};

/// What templates without escaping would fall for.
const HOSTILE: [&str; 16] = [
    "<script>window.hit=1</script>",
    "\"onload=\"window.hit=1",
    "'><img src=x onerror=window.hit=1>",
    "</style><script>window.hit=1</script>",
    "</svg></title></table><h1>Verified</h1>",
    "javascript:window.hit=1",
    "]]><![CDATA[<b>",
    "<!-- --!><iframe src=//example.test>",
    "&lt;script&gt;&#60;b&#62;&amp;",
    "\u{202e}\u{2066}deifireV\u{2069}",
    "\u{200b}\u{feff}\u{200d}\u{ad}",
    "Z\u{335}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "</textarea></noscript></template>",
    "\0\u{1}\u{7f}\u{85}\u{2028}\u{2029}",
    "<base href=//example.test><meta http-equiv=refresh content=0>",
    "{{7*7}}${7*7}<%= 7*7 %>",
];

/// A page in which every text that a stranger may have written is `text`.
fn pages(text: &str) -> Vec<String> {
    let shown = shown(text);
    let outcomes = [
        Ok(report(text, Some("verified"))),
        Ok(report(text, None)),
        Err(Failure::Rejected(vec![
            Finding::new(Rejection::FileNameUnsafe, text.into(), text.into()).with_hint(text),
        ])),
        Err(Failure::Error(Trouble {
            subject: text.into(),
            detail: text.into(),
            hint: Some(text.into()),
        })),
    ];
    let page = |outcome| {
        page(
            ("verify", &format!("a{text}")),
            &outcome,
            &shown,
            Timestamp::UNIX_EPOCH,
        )
    };
    outcomes.map(page).map(Markup::into_string).into()
}

fn report(text: &str, verdict: Option<&'static str>) -> Report {
    let change = json!({
        "path": text, "kind": text, "change": text,
        "before": { "bytes": 1, "note": text }, "after": { "bytes": 2, "note": text },
        "refused": [{ "side": text, "detail": text }],
        "fields": [{ "pointer": text, "before": text, "after": { "x": [text] } }],
        "hunks": [{ "header": text, "lines": [format!("+{text}"), format!("-{text}"), format!(" {text}")] }],
        "metadata": { "fields": [{ "pointer": text, "before": text }] },
        "tensors": [{
            "name": text, "change": text, "differing": 3, "not_finite": 1, "max_abs": 0.5, "relative_l2": 0.25,
            "before": { "dtype": text, "shape": [2] }, "after": { "dtype": "F16", "shape": [2] },
        }],
    });
    let more = json!({
        "same": 1, "different": true, "a": text, "b": text, "files": [change],
        "drift": [{ "path": text, "feature": text, "statistic": text, "relative": [0.5], "relative_to": text }],
        "reviews": [{ "path": text, "side": text, "review": text, "reviewer": text }],
    });
    let found = tensorgate_verify::Error::rejected(Rejection::NormalizerDegenerate, text, text);
    let tensorgate_verify::Error::Rejected(found) = found else {
        unreachable!("it was refused");
    };
    Report {
        verdict,
        notices: vec![text.into()],
        waived: vec![found.first().clone()],
        evidence: json!({
            "name": text, "signers": [{ "name": text, "key": text, "subject": text }],
            "repo": { "id": text }, "not_promised": [text], "holds": [{ text: text }],
        }),
        more: more.as_object().unwrap().clone(),
        ..Report::default()
    }
}

fn shown(text: &str) -> Shown {
    let file: FilePath = "model.safetensors".parse().unwrap();
    let numbers = Numbers {
        range: Some((-1.0, 1.0)),
        nan: 1,
        histogram: Some(Box::new([1; crate::facts::BINS])),
        ..Numbers::default()
    };
    let tensor = Tensor {
        file: file.clone(),
        name: text.into(),
        dtype: Dtype::F32,
        shape: vec![2],
        bytes: 8,
        numbers: Some(numbers),
    };
    let statistics = ["min", "max", "mean", "std"].map(|name| (name.to_owned(), vec![1.0]));
    let feature = Feature {
        name: text.into(),
        numbers: BTreeMap::from(statistics),
        left_out: 0,
    };
    let facts = Facts {
        files: vec![Seen {
            path: file.clone(),
            kind: Kind::Weights,
            bytes: 8,
            sha256: None,
        }],
        tensors: vec![tensor],
        statistics: vec![State {
            file: file.clone(),
            features: vec![feature],
            left_out: 0,
        }],
        card: Card {
            license: vec![text.into()],
            datasets: vec![text.into(), text.into()],
            library: Some(text.into()),
            ..Card::default()
        },
        odd: vec![Odd {
            field: text.into(),
            value: text.into(),
            is_whole: true,
        }],
    };
    let sha256 = tensorgate_verify::Sha256::of(b"");
    Shown {
        facts: Some(facts),
        externals: vec![External::absent(text.into(), text.into(), text.into())],
        reviewed_code: vec![ReviewedCode::new(file, sha256, text.into(), text.into())],
    }
}

fn parse(page: &str) -> RcDom {
    parse_document(RcDom::default(), ParseOpts::default()).one(page)
}

/// Elements with the names of their attributes, in the order and depth in which a browser has them;
/// comments and whatever else a document may have.
fn structure(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(&parse(page).document, 0, &mut found);
    found
}

fn walk(node: &Handle, depth: usize, found: &mut Vec<String>) {
    match &node.data {
        NodeData::Element { name, attrs, .. } => {
            let attrs = attrs.borrow();
            let names: Vec<&str> = attrs.iter().map(|attr| &*attr.name.local).collect();
            found.push(format!("{depth} {} {}", name.local, names.join(" ")));
        }
        NodeData::Text { .. } | NodeData::Document => {}
        other => found.push(format!("{depth} {other:?}")),
    }
    for child in node.children.borrow().iter() {
        walk(child, depth + 1, found);
    }
}

/// The same elements as with a word that no parser minds.
fn assert_same_structure(text: &str) {
    for (page, benign) in pages(text).iter().zip(pages("x")) {
        assert_eq!(structure(page), structure(&benign), "{text:?}");
        // Nor anything that a parser would have to forgive.
        assert_eq!(
            *parse(page).errors.borrow(),
            Vec::<String>::new(),
            "{text:?}"
        );
    }
}

#[test]
fn hostile_words_are_words() {
    for text in HOSTILE {
        assert_same_structure(text);
        // 200 characters without a place to break, and more than is shown.
        assert_same_structure(&text.repeat(40));
    }
}

#[test]
fn what_cannot_be_seen_is_shown() {
    let page = &pages("a\u{202e}b\u{200b}c\u{301}")[0];
    assert!(page.contains("a\\u{202e}b\\u{200b}c\\u{301}"));
    assert!(page.chars().all(|c| !c.is_control() || c == '\n'));
    assert!(!page.contains(['\u{202e}', '\u{200b}', '\u{301}']));
}

/// Words of a page, as somebody reads them.
fn words(page: &str) -> String {
    fn gather(node: &Handle, words: &mut String) {
        if let NodeData::Text { contents } = &node.data {
            words.push_str(&contents.borrow());
        }
        for child in node.children.borrow().iter() {
            gather(child, words);
        }
    }
    let mut words = String::new();
    gather(&parse(page).document, &mut words);
    words
}

fn page_of(outcome: &Result<Report, Failure>) -> String {
    let shown = Shown::default();
    let page = page(("verify", "x"), outcome, &shown, Timestamp::UNIX_EPOCH);
    words(&page.into_string())
}

#[test]
fn what_is_left_out_is_counted() {
    let mut report = report("x", Some("verified"));
    let waived = report.waived[0].clone();
    let signer = |n: usize| json!({ "name": "ada", "key": format!("key{n}") });
    report.evidence = json!({
        "signers": (0..203).map(signer).collect::<Vec<_>>(),
        "not_promised": (0..205).map(|n| format!("promise{n}")).collect::<Vec<_>>(),
    });
    report.waived = vec![waived; 201];
    report.notices = (0..210).map(|n| format!("notice{n}.")).collect();
    let change = |n: usize| json!({ "path": format!("file{n}."), "kind": "x", "change": "x" });
    let drift = |n: usize| json!({ "path": "x", "feature": format!("f{n}."), "relative": [0.5] });
    let review = |n: usize| json!({ "path": format!("code{n}."), "side": "a", "review": "x" });
    let more = json!({
        "same": 1,
        "files": (0..202).map(change).collect::<Vec<_>>(),
        "drift": (0..204).map(drift).collect::<Vec<_>>(),
        "reviews": (0..206).map(review).collect::<Vec<_>>(),
    });
    report.more = more.as_object().unwrap().clone();
    let page = page_of(&Ok(report));
    for (shown, left_out, said) in [
        ("key199", "key200", "and 3 signers more; --json has them"),
        ("promise199", "promise200", "and 5 values more; --json has"),
        ("notice199.", "notice200.", "and 11 notices more; --json ha"),
        ("file199.", "file200.", "and 2 files more."),
        ("f199.", "f200.", "and 4 statistics more."),
        ("code199.", "code200.", "and 6 files more."),
    ] {
        assert!(page.contains(shown), "{shown}");
        assert!(!page.contains(left_out), "{left_out}");
        assert!(page.contains(said), "{said}");
    }
    let reason =
        |n: usize| Finding::new(Rejection::FileNameUnsafe, format!("r{n}."), String::new());
    let page = page_of(&Err(Failure::Rejected((0..201).map(reason).collect())));
    assert!(page.contains("r199.") && !page.contains("r200."), "{page}");
    assert!(page.contains("and 1 reason more; --json has them all."));
}

#[test]
fn where_all_is_shown_nothing_is_counted() {
    let mut report = report("x", Some("verified"));
    report.notices = vec!["notice.".to_owned(); 200];
    report.evidence = json!({ "signers": vec![json!({ "key": "k" }); 200] });
    let page = page_of(&Ok(report));
    assert_eq!(page.matches("notice.").count(), 200);
    assert!(!page.contains("has them all"), "{page}");
}

#[test]
fn a_page_asks_for_nothing() {
    for page in pages("x") {
        let elements = structure(&page);
        for tag in [
            "script", "link", "img", "iframe", "object", "embed", "use", "a", "form", "base",
        ] {
            let start = format!(" {tag} ");
            assert!(
                !elements.iter().any(|element| element.contains(&start)),
                "{tag}"
            );
        }
        assert!(elements[3].ends_with("meta charset"), "{elements:?}");
        assert!(page.contains(POLICY));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import") && !STYLE.contains('<'));
    }
}

#[test]
fn this_test_notices_markup() {
    let benign = structure("<p>x</p>");
    assert_ne!(structure("<p><b>x</b></p>"), benign);
    assert_ne!(structure("<p onclick=x>x</p>"), benign);
    assert_ne!(structure("<p>x<!-- --></p>"), benign);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_words_are_words(
        text in prop_oneof![
            any::<String>(),
            prop::collection::vec(prop::sample::select(HOSTILE.to_vec()), 1..4).prop_map(|all| all.concat()),
            "[<>&\"'=/! -]{0,40}",
        ]
    ) {
        assert_same_structure(&text);
    }
}
