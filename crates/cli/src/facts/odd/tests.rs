use super::*;
use crate::facts::made::texts;

fn odd(config: Value) -> Vec<String> {
    let all = Odd::all(config.to_string().as_bytes());
    all.into_iter().map(|odd| odd.field).collect()
}

/// What stands in the field `x` of a configuration that says so.
fn value(text: &str) -> Member {
    let config = format!("{{ \"type\": \"act\",\n\t\"x\" : {text} }}\n");
    let all = Odd::all(config.as_bytes());
    assert_eq!(all.len(), 1, "{config}");
    all[0].member().unwrap()
}

#[test]
fn the_table_can_be_read() {
    let fields: Fields = toml::from_str(include_str!("../config_fields.toml")).unwrap();
    assert_eq!((fields.every.len(), fields.types.len()), (14, 23));
}

#[test]
fn what_a_type_has_is_not_odd() {
    let act = json!({"type": "act", "chunk_size": 100, "device": "cpu"});
    assert_eq!(odd(act), [""; 0]);
    let foreign = json!({"type": "act", "vlm_model_name": "x", "a/b": 1});
    assert_eq!(
        odd(foreign),
        ["config.json#/a~1b", "config.json#/vlm_model_name"]
    );
    assert_eq!(
        odd(json!({"type": "mlp", "layers": []})),
        ["config.json#/layers"]
    );
    assert_eq!(odd(json!([1])), [""; 0]);
    assert_eq!(odd(json!({})), [""; 0]);
}

#[test]
fn fields_beyond_the_last_that_is_kept_are_not_silent() {
    let many = (0..FIELDS + 2).map(|n| (format!("field{n:05}"), json!(n)));
    let config = Value::Object(many.collect());
    let all = Odd::all(config.to_string().as_bytes());
    assert_eq!(all.len(), FIELDS + 1);
    let rest = all.last().unwrap();
    assert_eq!(
        (&*rest.field, &*rest.value),
        ("config.json#", "and 2 more fields")
    );
    assert_eq!(rest.member(), None);
}

#[test]
fn a_value_is_what_the_file_says_and_not_what_it_amounts_to() {
    for (text, written) in [
        ("3", "3"),
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e2", "1e2"),
        ("-0", "-0"),
        ("18446744073709551617", "18446744073709551617"),
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("null", "null"),
        ("[ 1 ,\r\n 2, [ ] ]", "[1,2,[]]"),
        (
            r#"{ "b" : { } , "a" : [ true ] }"#,
            r#"{"b":{},"a":[true]}"#,
        ),
        (r#""  \" , } \\""#, r#""  \" , } \\""#),
        (
            "\"é\u{202e}\u{7f}\u{1f600}\"",
            r#""\u00e9\u202e\u007f\ud83d\ude00""#,
        ),
        (r#"{"a":"}"}"#, r#"{"a":"}"}"#),
        (r#""\\""#, r#""\\""#),
    ] {
        assert_eq!(value(text).value, written, "{text}");
    }
}

#[test]
fn what_is_agreed_to_is_read_as_it_is_written() {
    for text in ["3", "[1,{\"a\": \"b c\"}]", "\"é: {\"", "{}", "1e-300"] {
        let member = value(text);
        assert_eq!(Member::try_from(member.to_string()), Ok(member), "{text}");
    }
    let odd = Odd::of("config.json#/\u{e9}\"\u{202e}\n", "1");
    let member = odd.member().unwrap();
    let text = member.to_string();
    assert_eq!(text, r#""config.json#/\u00e9\"\u202e\n": 1"#);
    assert_eq!(text.parse(), Ok(member));
    for text in [
        "",
        "config.json#/x",
        "\"config.json#/x\"",
        "\"config.json#/x\":",
        "\"x\": 1, \"y\": 2",
        "\"x\": 1, \"x\": 1",
        "\"x\": 1,",
        "\"x\": 1} {\"y\": 1",
        "\"x\": 1}",
        "\"x\": 1e400",
        "\"x\": NaN",
        "\"x\": 01",
        "x: 1",
    ] {
        assert!(text.parse::<Member>().is_err(), "{text}");
    }
}

#[test]
fn what_is_cut_is_agreed_to_by_nobody() {
    let whole = format!("\"{}\"", "y".repeat(VALUE - 2));
    let long = format!("\"{}\"", "y".repeat(VALUE - 1));
    assert_eq!(value(&whole).value, whole);
    let cut = |name: &str, text: &str| {
        let config = json!({name: 0}).to_string().replace('0', text);
        let all = Odd::all(config.as_bytes());
        all[0].member().is_none() && all[0].value.len() + all[0].field.len() < 6_000
    };
    assert!(cut("x", &long));
    assert!(!cut(&"x".repeat(POINTER - 13), "1"));
    assert!(cut(&"x".repeat(POINTER - 12), "1"));
    // What grows as it is shown is as long as it is shown.
    assert!(cut("x", &format!("\"{}\"", "é".repeat(VALUE / 6 + 1))));
}

#[test]
fn any_json_is_cut_where_its_parser_cuts_it() {
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"}\"",
        "1",
        "-2.5",
        "true",
        " ",
        "\n",
        "\"{,:\"",
        "{\"b\":[1, {\"c\": \"d\"}]}",
        "\"é\"",
        "[[], {}]",
    ];
    let mut read = 0;
    for inner in texts(&parts, 8, 200_000) {
        let object = format!("{{\"x\":{inner}}}");
        let Ok(whole) = serde_json::from_str::<Map<String, Value>>(&object) else {
            continue;
        };
        read += 1;
        // Equal keys are refused before; of those here, the last counts.
        for (name, text) in members(&object).iter().rev().take(1) {
            assert_eq!(
                serde_json::from_str::<Value>(text).unwrap(),
                whole[name],
                "{object}"
            );
        }
        let names: BTreeSet<_> = members(&object).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, whole.keys().cloned().collect(), "{object}");
    }
    assert!(read > 1_000, "{read}");
}
