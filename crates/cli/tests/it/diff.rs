//! What `diff` finds between two directories, and that it vouches for neither.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::support::{Run, Workshop, safetensors_of, weights};

/// Two directories, `a` and `b`, that hold the same policy.
fn twins() -> Workshop {
    let workshop = Workshop::new();
    for folder in ["a", "b"] {
        workshop.policy(folder);
    }
    workshop
}

fn diff(workshop: &Workshop) -> Run {
    workshop.run(["diff", "a", "b"])
}

fn diff_json(workshop: &Workshop) -> Value {
    workshop.run(["diff", "a", "b", "--json"]).expect(0).json()
}

/// What changed in the one file that did.
fn one(workshop: &Workshop) -> Value {
    let object = diff_json(workshop);
    let files = object["files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{object:#}");
    files[0].clone()
}

/// A safetensors file of these tensors: name, type, shape, bytes.
fn tensors(table: &[(&str, &str, Value, Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, shape, bytes) in table {
        let end = data.len() + bytes.len();
        let row = json!({ "dtype": dtype, "shape": shape, "data_offsets": [data.len(), end] });
        header.insert((*name).to_owned(), row);
        data.extend(bytes);
    }
    safetensors_of(&Value::from(header).to_string(), &data)
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn equal_policies_do_not_differ() {
    let workshop = twins();
    let run = diff(&workshop);
    run.expect(0)
        .says("untrusted: nothing below was verified\nA is \"a\", B is \"b\"\n");
    assert_eq!(run.stdout, "0 files differ, 3 the same\n");
    let object = diff_json(&workshop);
    assert_eq!(
        (&object["different"], &object["untrusted"]),
        (&false.into(), &true.into())
    );
    assert_eq!((&object["files"], &object["same"]), (&json!([]), &3.into()));
    assert!(object.get("verdict").is_none());
}

#[test]
fn files_come_go_and_change() {
    let workshop = twins();
    workshop.write("a/LICENSE", "free\n");
    workshop.write("b/vocab.txt", "a\nb\n");
    workshop.write("b/README.md", "# run\n\n");
    let run = diff(&workshop);
    let lines: Vec<_> = run.expect(0).stdout.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "change   file       kind       bytes in A  bytes in B",
            "removed  LICENSE    card                5           -",
            "changed  README.md  card                7           7",
            "added    vocab.txt  tokenizer           -           4",
        ]
    );
    assert!(
        run.stdout.ends_with("\n3 files differ, 2 the same\n"),
        "{run:#?}"
    );
    let object = diff_json(&workshop);
    assert_eq!(object["different"], true);
    let sha256 = workshop.openssl(&["dgst", "-sha256", "-r", "b/README.md"]);
    assert_eq!(object["files"][1]["after"]["sha256"], sha256[..64]);
    assert_eq!(object["files"][1]["before"]["bytes"], 7);
    assert_eq!(object["files"][2]["before"], Value::Null);
}

#[test]
fn fields_are_compared_by_pointer() {
    let workshop = twins();
    workshop.write(
        "a/config.json",
        r#"{"type": "act", "dims": [14, 7], "device": null}"#,
    );
    workshop.write(
        "b/config.json",
        r#"{"dims": [14, 8], "type": "act", "eps": 1e-8}"#,
    );
    let run = diff(&workshop);
    for line in [
        "  #/device: null -> removed\n",
        "  #/dims/1: 7 -> 8\n",
        "  #/eps: added 1e-8\n",
    ] {
        assert!(run.expect(0).stdout.contains(line), "{line}{run:#?}");
    }
    let expected = json!([
        { "pointer": "/device", "before": null },
        { "pointer": "/dims/1", "before": 7, "after": 8 },
        { "pointer": "/eps", "after": 1e-8 },
    ]);
    assert_eq!(one(&workshop)["fields"], expected);
    workshop.write(
        "b/config.json",
        r#"{"device":null,"dims":[14,7],"type":"act"}"#,
    );
    let run = diff(&workshop);
    assert!(
        run.stdout
            .contains("  no field differs, only how they are written\n"),
        "{run:#?}"
    );
}

#[test]
fn json_that_readers_take_differently_is_not_compared() {
    let workshop = twins();
    workshop.write("b/config.json", r#"{"type": "act", "type": "act"}"#);
    let run = diff(&workshop);
    let line = "  in B: json-duplicate-key: \"config.json\": ";
    assert!(run.expect(0).stdout.contains(line), "{run:#?}");
    let refused = &one(&workshop)["refused"][0];
    assert_eq!(
        (&refused["side"], &refused["code"]),
        (&"b".into(), &"json-duplicate-key".into())
    );
    workshop.write("b/config.json", vec![b' '; (1 << 20) + 1]);
    let refused = &one(&workshop)["refused"][0];
    assert_eq!(refused["code"], Value::Null);
    assert_eq!(refused["detail"], "too large to be compared inside");
}

#[test]
fn tensors_are_compared_by_what_they_hold() {
    let workshop = twins();
    let (one_f16, two_f16) = (0x3c00_u16.to_le_bytes(), 0x4000_u16.to_le_bytes());
    let before = tensors(&[
        ("count", "I64", json!([1]), vec![7, 0, 0, 0, 0, 0, 0, 0]),
        ("gone", "F32", json!([2]), f32s(&[1.0, 2.0])),
        ("half", "F16", json!([4]), [one_f16; 4].concat()),
        ("kept", "F32", json!([2]), f32s(&[5.0, f32::NAN])),
        ("moved", "F32", json!([2]), f32s(&[3.0, 4.0])),
        ("shape", "F32", json!([2]), f32s(&[1.0, 2.0])),
        ("type", "F32", json!([2]), f32s(&[1.0, 2.0])),
    ]);
    // In another order: a tensor is known by its name.
    let after = tensors(&[
        ("type", "I32", json!([2]), f32s(&[1.0, 2.0])),
        ("shape", "F32", json!([2, 1]), f32s(&[1.0, 2.0])),
        ("new", "F32", json!([2]), f32s(&[1.0, 2.0])),
        ("moved", "F32", json!([2]), f32s(&[3.0, 4.5])),
        ("kept", "F32", json!([2]), f32s(&[5.0, f32::NAN])),
        (
            "half",
            "F16",
            json!([4]),
            [one_f16, one_f16, two_f16, one_f16].concat(),
        ),
        ("count", "I64", json!([1]), vec![8, 0, 0, 0, 0, 0, 0, 0]),
    ]);
    workshop.write("a/model.safetensors", before);
    workshop.write("b/model.safetensors", after);
    let file = one(&workshop);
    assert_eq!(file["tensors_same"], 1);
    let found: Vec<_> = file["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tensor| {
            let of = |field: &str| tensor[field].clone();
            (
                of("name"),
                of("change"),
                of("differing"),
                of("max_abs"),
                of("relative_l2"),
            )
        })
        .collect();
    let none = Value::Null;
    let expected = [
        ("gone", "removed", none.clone(), none.clone(), none.clone()),
        (
            "shape",
            "reshaped",
            none.clone(),
            none.clone(),
            none.clone(),
        ),
        ("type", "retyped", none.clone(), none.clone(), none.clone()),
        ("new", "added", none.clone(), none.clone(), none.clone()),
        ("count", "changed", 1.into(), none.clone(), none),
        ("half", "changed", 1.into(), 1.0.into(), 0.5.into()),
        ("moved", "changed", 1.into(), 0.5.into(), 0.1.into()),
    ]
    .map(|(name, change, differing, max, l2)| (name.into(), change.into(), differing, max, l2));
    assert_eq!(found, expected);
    let run = diff(&workshop);
    for line in [
        "tensor  change    dtype       shape          differing   max |Δ|  L2 in A  L2 in B   L2 of Δ  L2 of Δ / L2 in A",
        "type    retyped   F32 -> I32  [2]                    -         -        -        -         -                  -",
        "shape   reshaped  F32         [2] -> [2, 1]          -         -        -        -         -                  -",
        "half    changed   F16         [4]                    1   1.000e0  2.000e0  2.646e0   1.000e0           5.000e-1",
        "7 tensors differ, 1 the same",
    ] {
        assert!(run.stdout.contains(line), "{line}\n{run:#?}");
    }
}

#[test]
fn a_tensor_is_read_in_pieces_that_add_up() {
    let workshop = twins();
    // Three pieces, the last of them short.
    let values = vec![1.0_f32; (2 << 18) + 5];
    let mut moved = values.clone();
    for at in [0, 1 << 18, (2 << 18) + 4] {
        moved[at] = 3.0;
    }
    let table = |values: &[f32]| tensors(&[("w", "F32", json!([values.len()]), f32s(values))]);
    workshop.write("a/model.safetensors", table(&values));
    workshop.write("b/model.safetensors", table(&moved));
    let tensor = &one(&workshop)["tensors"][0];
    assert_eq!(
        (&tensor["differing"], &tensor["max_abs"]),
        (&3.into(), &2.0.into())
    );
    let expected = (12.0 / values.len() as f64).sqrt();
    assert_eq!(tensor["relative_l2"], expected);
}

#[test]
fn a_statistic_that_drifted_is_named() {
    let workshop = twins();
    let state = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";
    for (folder, mean) in [("a", 0.25), ("b", 0.75)] {
        let bytes = tensors(&[
            ("action.mean", "F32", json!([2]), f32s(&[mean, 1.0])),
            ("action.std", "F32", json!([2]), f32s(&[1.0, 1.0])),
        ]);
        workshop.write(&format!("{folder}/{state}"), bytes);
    }
    let file = one(&workshop);
    assert_eq!(file["kind"], "processor-state");
    assert_eq!(file["tensors"][0]["name"], "action.mean");
    let tensor = &file["tensors"][0];
    assert_eq!(tensor["max_abs"], 0.5);
    let norms = [0.25_f64, 0.75].map(|mean| mean.hypot(1.0));
    for (field, norm) in [("l2_before", norms[0]), ("l2_after", norms[1])] {
        assert!(
            (tensor[field].as_f64().unwrap() - norm).abs() < 1e-12,
            "{tensor}"
        );
    }
    assert_eq!(tensor["l2_change"], 0.5);
    assert_eq!(file["tensors_same"], 1);
    let expected = json!([{
        "path": state,
        "feature": "action",
        "statistic": "mean",
        "before": [0.25, 1.0],
        "after": [0.75, 1.0],
        "relative": [0.5, 0.0],
        "relative_to": "std",
    }]);
    assert_eq!(diff_json(&workshop)["drift"], expected);
    let run = diff(&workshop);
    for line in [
        "statistic       in A  in B  drift                  file\n",
        &format!("action.mean[0]  0.25  0.75  0.500 of the std in A  {state}\n"),
    ] {
        assert!(run.stdout.contains(line), "{line}\n{run:#?}");
    }
}

#[test]
fn a_statistic_that_is_no_number_comes_first() {
    let workshop = twins();
    let state = "policy_preprocessor_step_3_normalizer_processor.safetensors";
    let hostile = "<script>.mean";
    let of = |mean: [f32; 2], std: f32, other: f32| {
        tensors(&[
            ("action.mean", "F32", json!([2]), f32s(&mean)),
            ("action.std", "F32", json!([2]), f32s(&[std, 0.0])),
            (hostile, "F32", json!([1]), f32s(&[other])),
            ("no-dot", "F32", json!([1]), f32s(&[other])),
            ("shape.mean", "F32", json!([1]), f32s(&[1.0])),
        ])
    };
    workshop.write(&format!("a/{state}"), of([0.0, 1.0], 0.5, 2.0));
    workshop.write(
        &format!("b/{state}"),
        of([f32::NAN, 1.5], 1.0, f32::INFINITY),
    );
    let object = diff_json(&workshop);
    let drift = object["drift"].as_array().unwrap();
    let of = |at: usize| {
        (
            drift[at]["feature"].as_str().unwrap(),
            &drift[at]["after"][0],
        )
    };
    assert_eq!(drift.len(), 3, "{object:#}");
    assert_eq!(
        object["notices"].as_array().unwrap().len(),
        2,
        "the name without a dot"
    );
    assert_eq!(
        (of(0), of(1)),
        (("<script>", &Value::Null), ("action", &Value::Null))
    );
    assert_eq!(drift[1]["relative"], json!([null, null]));
    let run = diff(&workshop);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = run.stdout.lines().map(words).collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("statistic in A in B"));
    let expected = [
        format!("<script>.mean[0] 2.0 inf not finite {state}"),
        format!("action.mean[0] 0.0 NaN not finite {state}"),
        format!("action.mean[1] 1.0 1.5 the std in A is zero {state}"),
        format!("action.std[0] 0.5 1.0 1.000 of the std in A {state}"),
    ];
    assert_eq!(lines[first.unwrap() + 1..][..4], expected);
}

#[test]
fn statistics_that_are_not_looked_into_are_said() {
    let workshop = twins();
    let state = "policy_preprocessor_step_3_normalizer_processor.safetensors";
    let large = |mean: f32| {
        let values = vec![mean; 1 << 18];
        tensors(&[("action.mean", "F32", json!([values.len()]), f32s(&values))])
    };
    let odd = |value: u8| {
        tensors(&[
            ("action.mean", "F32", json!([1]), f32s(&[0.0])),
            ("action.std", "F8_E4M3", json!([4]), vec![value; 4]),
            ("no-dot", "F32", json!([1]), f32s(&[f32::from(value)])),
        ])
    };
    let too_large = |side: &str| {
        format!(
            "the statistics of \"{state}\" in {side} were not compared: too large to be compared inside"
        )
    };
    let no_numbers = |side: &str| {
        format!("not compared, since not read as numbers: 2 statistics of \"{state}\" in {side}")
    };
    for (a, b, expected) in [
        (large(1.0), large(2.0), vec![too_large("A"), too_large("B")]),
        (odd(1), odd(2), vec![no_numbers("A"), no_numbers("B")]),
        (odd(1), large(2.0), vec![no_numbers("A"), too_large("B")]),
    ] {
        workshop.write(&format!("a/{state}"), a);
        workshop.write(&format!("b/{state}"), b);
        let object = diff_json(&workshop);
        assert_eq!(
            (&object["drift"], &object["notices"]),
            (&json!([]), &json!(expected))
        );
        let run = workshop.run(["diff", "a", "b", "--html", "page.html"]);
        let page = String::from_utf8(workshop.read("page.html")).unwrap();
        for notice in expected {
            run.expect(0).says(&format!("note: {notice}\n"));
            let notice = notice.replace('"', "&quot;");
            assert!(page.contains(&notice), "{notice}\n{page}");
        }
    }
}

#[test]
fn only_the_header_may_differ() {
    let workshop = twins();
    let other = String::from_utf8_lossy(&weights()[8..])
        .find("pt\"")
        .unwrap();
    workshop.flip("b/model.safetensors", 8 + other);
    let file = one(&workshop);
    assert_eq!(
        (&file["tensors"], &file["tensors_same"]),
        (&json!([]), &2.into())
    );
    assert_eq!(file["metadata"]["fields"][0]["pointer"], "/format");
    let run = diff(&workshop);
    assert!(
        run.stdout.contains("    #/format: \"pt\" -> \"qt\"\n"),
        "{run:#?}"
    );
}

#[test]
fn a_refused_header_is_said_and_the_rest_goes_on() {
    let workshop = twins();
    workshop.write("b/model.safetensors", [0xff; 64]);
    workshop.write("b/config.json", r#"{"type": "sac"}"#);
    let run = diff(&workshop);
    let line = "  in B: header-too-large: \"b/model.safetensors\": ";
    assert!(run.expect(0).stdout.contains(line), "{run:#?}");
    assert!(
        run.stdout.contains("  #/type: \"mlp\" -> \"sac\"\n"),
        "{run:#?}"
    );
}

#[test]
fn code_is_shown_line_by_line() {
    let workshop = twins();
    workshop.write("a/step.py", "import math\n\n\ndef f(x):\n    return x\n");
    workshop.write("b/step.py", "import os\n\n\ndef f(x):\n    return x\n");
    let run = diff(&workshop);
    let hunk = "  @@ -1,4 +1,4 @@\n  -import math\n  +import os\n   \n   \n   def f(x):\n";
    assert!(run.expect(0).stdout.contains(hunk), "{run:#?}");
    let file = one(&workshop);
    assert_eq!(file["hunks"][0]["lines"][1], "+import os");
    workshop.write("b/step.py", [0xff, 0xfe]);
    assert_eq!(one(&workshop)["refused"][0]["detail"], "not text in UTF-8");
    workshop.remove("b/step.py");
    assert_eq!(one(&workshop)["hunks"][0]["lines"][0], "-import math");
}

#[test]
fn code_that_is_not_what_was_reviewed_is_marked() {
    let workshop = Workshop::new();
    workshop.keygen("release");
    workshop.policy("walk");
    workshop.write("walk/step.py", "x = 1\n");
    let sha256 = workshop.openssl(&["dgst", "-sha256", "-r", "walk/step.py"]);
    let review = format!(
        "[[reviewed_code]]\npath = 'step.py'\nsha256 = '{}'\nreviewer = 'R. Viewer'\nnote = 'read'\n",
        &sha256[..64]
    );
    workshop.write("declared.toml", review);
    workshop.sign(&["--externals", "declared.toml"]).expect(0);
    workshop.policy("b");
    workshop.write("b/step.py", "x = 2\n");
    workshop.write("b/more.py", "y = 1\n");
    let run = workshop.run(["diff", "walk", "b"]);
    for line in [
        "more.py  B   not reviewed\n",
        "step.py  A   as reviewed by \"R. Viewer\"\n",
        "step.py  B   changed since review by \"R. Viewer\"\n",
    ] {
        assert!(run.expect(0).stdout.contains(line), "{line}{run:#?}");
    }
    // Even where both sides are the same.
    workshop.write("walk/step.py", "x = 2\n");
    let object = workshop.run(["diff", "walk", "b", "--json"]).json();
    let reviews = object["reviews"].as_array().unwrap();
    let of_step = json!({
        "path": "step.py", "side": "a", "review": "changed-since-review", "reviewer": "R. Viewer",
    });
    assert!(reviews.contains(&of_step), "{object:#}");
}

#[test]
fn manifests_are_compared_by_what_they_claim() {
    let workshop = Workshop::signed();
    std::fs::rename(workshop.path("walk"), workshop.path("a")).unwrap();
    workshop.policy("walk");
    workshop.sign(&["--sequence", "6"]).expect(0);
    std::fs::rename(workshop.path("walk"), workshop.path("b")).unwrap();
    let file = one(&workshop);
    assert_eq!(file["kind"], "manifest");
    let fields = file["fields"].as_array().unwrap();
    let sequence = json!({ "pointer": "/sequence", "before": 5, "after": 6 });
    assert!(fields.contains(&sequence), "{file:#}");
    workshop.write("b/policy.dsse.json", "{}");
    let run = diff(&workshop);
    run.expect(0)
        .says("note: the manifest in B cannot be read: manifest-malformed: ");
}

#[test]
fn what_is_no_file_of_a_policy_is_not_read() {
    let workshop = twins();
    workshop.write("a/LICENSE", "");
    symlink("/etc/passwd", workshop.path("b/LICENSE")).unwrap();
    workshop.write("a/\u{1b}[2J.json", "{}");
    workshop.write("b/\u{1b}[2J.json", "{}");
    let run = diff(&workshop);
    let stdout = &run.expect(0).stdout;
    assert!(stdout.contains("in B: not a regular file\n"), "{run:#?}");
    assert!(stdout.contains("not compared  \\u{1b}[2J.json"), "{run:#?}");
    assert_eq!(diff_json(&workshop)["different"], true);
}

#[test]
fn text_from_a_file_cannot_move_the_cursor() {
    let workshop = twins();
    let evil = "\u{1b}[2J\u{202e}\u{9b}\\r\r";
    workshop.write("a/step.py", "x");
    workshop.write("b/step.py", evil);
    let value = |text: &str| json!({ "type": "act", text: text }).to_string();
    workshop.write("b/config.json", value(evil));
    let header = |text: &str| {
        let table = json!({
            "__metadata__": { text: text },
            "a": { "dtype": "U8", "shape": [1], "data_offsets": [0, 1] },
        });
        safetensors_of(&table.to_string(), &[0])
    };
    workshop.write("a/model.safetensors", header("a"));
    workshop.write("b/model.safetensors", header(evil));
    let run = diff(&workshop);
    let all = format!("{}{}", run.expect(0).stdout, run.stderr);
    assert!(
        !all.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\r']),
        "{all:?}"
    );
    let run = workshop.run(["diff", "a", "b", "--json"]);
    assert!(run.expect(0).stdout.is_ascii(), "{run:#?}");
}

#[test]
fn what_cannot_be_read_is_no_difference() {
    let workshop = twins();
    let run = |a: &str, b: &str| workshop.run(["diff", a, b]);
    run("a", "missing").could_not_check("could not open the directory \"missing\"");
    run("a/config.json", "b").could_not_check("Not a directory");
}

#[test]
fn a_file_that_claims_to_be_endless_is_not_read() {
    // tmpfs has files as large as the system can count.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = std::fs::File::create(folder.path().join("model.safetensors")).unwrap();
    file.set_len(7 << 60).unwrap();
    let workshop = twins();
    let run = workshop.run(["diff", "a", folder.path().to_str().unwrap()]);
    let line = "in B: larger than any file of a policy\n";
    assert!(run.expect(0).stdout.contains(line), "{run:#?}");
}

/// The release in the store, and a directory with other weights.
fn accepted() -> Fixture {
    let fixture = Fixture::new();
    fixture.fetch_signed(&[]).expect(0);
    fixture.workshop.policy("next");
    let end = weights().len() - 1;
    fixture.workshop.flip("next/model.safetensors", end);
    fixture
}

#[test]
fn what_runs_now_is_compared_by_its_name() {
    let fixture = accepted();
    let workshop = &fixture.workshop;
    let run = workshop.run(["diff", "acme/walk", "next", "--json"]);
    let object = run.expect(0).json();
    let changed = object["files"].as_array().unwrap().iter();
    let changed: Vec<_> = changed
        .map(|file| (&file["path"], &file["change"]))
        .collect();
    let expected = [
        ("model.safetensors", "changed"),
        ("policy.dsse.json", "removed"),
    ]
    .map(|(path, change)| (json!(path), json!(change)));
    let expected: Vec<_> = expected
        .iter()
        .map(|(path, change)| (path, change))
        .collect();
    assert_eq!(changed, expected);
    let path = object["paths"]["a"].as_str().unwrap();
    let (_, manifest) = path.rsplit_once('/').unwrap();
    assert_eq!(manifest.len(), 64);
    // The same by its manifest and by its commit, which needs no Hub.
    let commit = format!("acme/walk@{}", fixture.files);
    for name in [manifest, &commit] {
        let run = workshop.run(["diff", name, "acme/walk", "--offline"]);
        assert_eq!(run.expect(0).stdout, "0 files differ, 4 the same\n");
        run.says(&format!(
            "A is {name:?} in {path:?}, B is \"acme/walk\" in {path:?}\n"
        ));
    }
}

#[test]
fn a_commit_that_is_nowhere_is_fetched_once_for_both_sides() {
    let fixture = accepted();
    let name = format!("acme/walk@{}", fixture.signed);
    let run = |options: &[&str]| {
        let usual = ["diff", &name, &name, "--endpoint", fixture.hub.endpoint()];
        fixture.workshop.run(usual.iter().chain(options))
    };
    run(&["--offline"])
        .could_not_check("is not complete in the store, and the network is not to be used");
    assert!(run(&[]).expect(0).stdout.contains("0 files differ, "));
    run(&["--offline"]).expect(0);
    let other = format!("acme/walk@{}", "f".repeat(40));
    let run = fixture
        .workshop
        .run(["diff", &other, "next", "--endpoint", fixture.hub.endpoint()]);
    run.expect(2);
}

#[test]
fn a_directory_of_that_name_goes_first() {
    let fixture = accepted();
    let workshop = &fixture.workshop;
    workshop.policy("acme/walk");
    let run = workshop.run(["diff", "acme/walk", "walk"]);
    run.expect(0).says("A is \"acme/walk\", B is \"walk\"\n");
}

#[test]
fn what_no_store_has_is_said() {
    let fixture = accepted();
    let workshop = &fixture.workshop;
    let diff = |name: &str| workshop.run(["diff", name, "next"]);
    let run = diff("acme/run");
    run.could_not_check(
        "there is no directory \"acme/run\", and no release of acme/run was accepted in the store",
    );
    run.says("hint: `tensorgate store ls` lists those that were; --store names another store\n");
    let run = diff(&"0".repeat(64));
    run.could_not_check("has no policy of the manifest 0000");
    run.says("hint: `tensorgate fetch` with --manifest and --trust puts one there; --store names another store\n");
    diff("acme/walk@../..").rejected("revision-not-pinned", "../..");
    diff("../walk@main").expect(2);
    diff("--json").expect(2);
    workshop
        .run(["diff", "--", "--html", "next"])
        .could_not_check("could not open the directory \"--html\"");
    workshop
        .run(["diff", "acme/walk", "next", "--store", "elsewhere"])
        .could_not_check("\"elsewhere\" is not there");
    assert!(!workshop.path("elsewhere").exists());
    // Accepted, and gone since.
    std::fs::remove_dir_all(workshop.path("store/policies")).unwrap();
    diff("acme/walk").could_not_check("has no policy of the manifest ");
}
