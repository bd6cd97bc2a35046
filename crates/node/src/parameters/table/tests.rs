use super::*;

fn table() -> Table {
    given(&[("trust", text("/trust.toml")), ("policy", text("/policy"))]).unwrap()
}

fn given(pairs: &[(&str, ParameterValue)]) -> Result<Table, String> {
    let one = |(name, value): &(&str, ParameterValue)| {
        ((*name).to_owned(), Parameter::new(value.clone()))
    };
    Table::new(&pairs.iter().map(one).collect())
}

fn text(text: &str) -> ParameterValue {
    ParameterValue::String(text.to_owned())
}

fn wanted(name: &str, value: &ParameterValue) -> ParameterMessage {
    ParameterMessage {
        name: name.to_owned(),
        value: value_message(value),
    }
}

fn set(table: &mut Table, name: &str, value: &ParameterValue) -> Result<String, String> {
    let (result, changes) = table.set_atomically(&[wanted(name, value)]);
    assert!(result.successful || changes.is_empty());
    match result.successful {
        true => Ok(result.reason),
        false => Err(result.reason),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn nobody_makes_what_is_called_back_come_later() {
    let integer = ParameterValue::Integer;
    let mut given = IndexMap::new();
    let name = "update_interval_s".to_owned();
    given.insert(name, Parameter::new(integer(60)));
    let mut table = Table::new(&given).unwrap();
    for later in [0, 61, 86_400] {
        let reason = set(&mut table, "update_interval_s", &integer(later)).unwrap_err();
        assert!(reason.contains("hint: 5 to 60"), "{reason}");
    }
    set(&mut table, "update_interval_s", &integer(5)).unwrap();
    set(&mut table, "update_interval_s", &integer(60)).unwrap();
}

#[test]
fn what_can_be_set_is_set_and_says_when_it_takes_effect() {
    let integer = ParameterValue::Integer;
    let cases = [
        ("lease_ms", integer(200), ""),
        ("lease_ms", integer(5000), ""),
        ("update_interval_s", integer(0), ""),
        ("update_interval_s", integer(5), ""),
        ("use_sim_time", ParameterValue::Bool(true), ""),
        ("policy", text("./other"), "takes effect with ~/reload"),
        (
            "fragment_size_kib",
            integer(64),
            "takes effect with ~/reload",
        ),
        ("latch_limit_mib", integer(0), "takes effect with ~/reload"),
    ];
    for (name, value, expected) in cases {
        let mut table = table();
        assert_eq!(
            set(&mut table, name, &value),
            Ok(expected.to_owned()),
            "{name}"
        );
        assert_eq!(table.get(&names(&[name])), [value_message(&value)]);
    }
    let mut table = table();
    set(&mut table, "lease_ms", &integer(900)).unwrap();
    assert_eq!(table.params().lease().as_millis(), 900);
}

#[test]
fn every_refusal_gives_its_reason_and_changes_nothing() {
    let (integer, long) = (ParameterValue::Integer, text(&"x".repeat(1 << 20)));
    let cases = [
        ("trust", text("/mine.toml"), "`trust` is read-only"),
        ("store", text("/s"), "`store` is read-only"),
        ("state", text("/s"), "`state` is read-only"),
        ("repo", text(""), "`repo` is read-only"),
        ("revision", text(""), "`revision` is read-only"),
        ("channel", text("acme/walk@main"), "`channel` is read-only"),
        ("hold", text("sealed"), "`hold` is read-only"),
        ("hold_signal", integer(44), "`hold_signal` is read-only"),
        ("handoff", text("/run/x"), "`handoff` is read-only"),
        ("handoff_uids", text("0"), "`handoff_uids` is read-only"),
        (
            "autostart",
            ParameterValue::Bool(false),
            "`autostart` is read-only",
        ),
        ("policy", text("acme/walk@main"), "revision-not-pinned"),
        ("policy", text(""), "give OWNER/NAME@COMMIT"),
        ("policy", integer(5), "is of type string, not integer"),
        (
            "policy",
            ParameterValue::NotSet,
            "is of type string, not not set",
        ),
        (
            "policy",
            long,
            "has 1048576 bytes of text; hint: at most 4096",
        ),
        ("lease_ms", integer(199), "is 199; hint: 200 to 5000"),
        ("lease_ms", integer(i64::MIN), "hint: 200 to 5000"),
        (
            "lease_ms",
            ParameterValue::Double(500.0),
            "is of type integer, not double",
        ),
        (
            "update_interval_s",
            integer(4),
            "give 0 for never, or at least 5",
        ),
        ("update_interval_s", integer(86_401), "hint: 0 to 86400"),
        (
            "fragment_size_kib",
            integer(100),
            "hint: 64 to 8192 in steps of 64",
        ),
        ("fragment_size_kib", integer(192), "give a power of two"),
        ("fragment_size_kib", integer(i64::MAX), "hint: 64 to 8192"),
        ("latch_limit_mib", integer(-1), "hint: 0 to 65536"),
        (
            "use_sim_time",
            text("true"),
            "is of type boolean, not string",
        ),
        (
            "revison",
            text("x"),
            "there is no parameter \"revison\"; hint: there are",
        ),
        ("\0\x1b[2J", text("x"), "there is no parameter"),
        ("", text("x"), "there is no parameter \"\""),
    ];
    for (name, value, expected) in cases {
        let mut table = table();
        let before = table.get(&table.names());
        let reason = set(&mut table, name, &value).unwrap_err();
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(!reason.contains(['\0', '\x1b']) && reason.len() < 1024);
        assert_eq!(table.get(&table.names()), before, "{name}");
    }
}

#[test]
fn atomically_is_all_or_nothing_and_the_other_is_one_by_one() {
    let good = wanted("lease_ms", &ParameterValue::Integer(900));
    let bad = wanted("revision", &text(""));
    let both = [good, bad];
    let mut table = table();
    let (result, changes) = table.set_atomically(&both);
    assert!(!result.successful && changes.is_empty());
    assert_eq!(table.params().lease_ms, 500);
    let (results, changes) = table.set(&both);
    let successful: Vec<bool> = results.iter().map(|result| result.successful).collect();
    assert_eq!(successful, [true, false]);
    assert_eq!(changes, ["lease_ms"]);
    assert_eq!(table.params().lease_ms, 900);
    assert!(table.set(&both).1.is_empty(), "it has that value already");
}

#[test]
fn a_hundred_thousand_names_are_too_many() {
    let mut table = table();
    let one = wanted("lease_ms", &ParameterValue::Integer(900));
    let many = vec![one; 100_000];
    let (results, changes) = table.set(&many);
    assert!(results.len() == 1 && !results[0].successful && changes.is_empty());
    assert!(results[0].reason.contains("100000 parameters at once"));
    assert!(!table.set_atomically(&many).0.successful);
    let many = vec!["lease_ms".to_owned(); 100_000];
    assert!(table.get(&many).is_empty() && table.types(&many).is_empty());
    assert!(table.describe(&many).is_empty());
    assert!(table.list(&many, 0).names.is_empty());
    assert_eq!(table.params().lease_ms, 500);
}

#[test]
fn a_name_that_does_not_exist_leaves_the_answer_empty() {
    let asked = names(&["policy", "nothing"]);
    let table = table();
    assert!(table.get(&asked).is_empty());
    assert!(table.types(&asked).is_empty());
    assert!(table.describe(&asked).is_empty());
    assert_eq!(
        table.types(&names(&["policy", "lease_ms", "autostart"])),
        [4, 2, 1]
    );
}

#[test]
fn every_parameter_is_described() {
    let table = table();
    let described = table.describe(&table.names());
    assert_eq!(described.len(), 17);
    for descriptor in &described {
        assert!(!descriptor.description.is_empty(), "{}", descriptor.name);
        let settable = [
            "policy",
            "update_interval_s",
            "fragment_size_kib",
            "latch_limit_mib",
            "lease_ms",
            "use_sim_time",
        ];
        let read_only = !settable.contains(&descriptor.name.as_str());
        assert_eq!(descriptor.read_only, read_only, "{}", descriptor.name);
        let integer = descriptor.type_ == 2;
        assert_eq!(descriptor.integer_range.len(), usize::from(integer));
    }
    let [fragment_size] = &table.describe(&names(&["fragment_size_kib"]))[..] else {
        panic!("one");
    };
    let range = &fragment_size.integer_range[0];
    assert_eq!(
        (range.from_value, range.to_value, range.step),
        (64, 8192, 64)
    );
    assert_eq!(fragment_size.additional_constraints, "a power of two");
}

#[test]
fn lists_are_those_of_rclcpp() {
    let mut table = table();
    for name in ["a.b", "a.b.c", "a.bc"] {
        table.values.insert(name.to_owned(), Parameter::empty());
    }
    let list = |prefixes: &[&str], depth| {
        let list = table.list(&names(prefixes), depth);
        (list.names.join(" "), list.prefixes.join(" "))
    };
    let owned = |names: &str, prefixes: &str| (names.to_owned(), prefixes.to_owned());
    assert_eq!(list(&["a"], 0), owned("a.b a.b.c a.bc", "a a.b"));
    assert_eq!(list(&["a"], 1), owned("a.b a.bc", "a"));
    assert_eq!(list(&["a.b"], 0), owned("a.b a.b.c", "a a.b"));
    assert_eq!(list(&["lease_ms"], 1), owned("lease_ms", ""));
    assert_eq!(list(&["leas"], 0), owned("", ""));
    assert_eq!(table.list(&[], 0).names.len(), 20);
    assert_eq!(table.list(&[], 1).names.len(), 17);
    assert_eq!(table.list(&[], u64::MAX).names.len(), 20);
}

#[test]
fn what_is_given_at_start_is_judged_alike() {
    let refused = |name, value| given(&[(name, value)]).map(drop).unwrap_err();
    let number = ParameterValue::Integer(123);
    assert!(refused("revision", number).contains("quotes"));
    assert!(refused("revison", text("x")).contains("no parameter \"revison\""));
    let lease = ParameterValue::Integer(0);
    assert!(refused("lease_ms", lease).contains("200 to 5000"));
    let pinned = given(&[("revision", text("00"))]).unwrap();
    assert_eq!(
        pinned.params().revision,
        "00",
        "read-only ones are given at start"
    );
    let tolerated = given(&[("qos_overrides./fragments.publisher.depth", text("5"))]);
    assert_eq!(tolerated.unwrap().names().len(), 17);
}
