use super::*;
use crate::facts::made::texts;

fn read(yaml: &str) -> Card {
    Card::read(format!("---\n{yaml}\n---\n# walk\n").as_bytes())
}

#[test]
fn what_a_card_states_is_read() {
    // As LeRobot's `push_to_hub` writes it.
    let card = read(
        "base_model: lerobot/smolvla_base\ndatasets: lerobot/svla_so101_pickplace\n\
         library_name: lerobot\nlicense: apache-2.0\nmodel_name: smolvla\n\
         pipeline_tag: robotics\ntags:\n- robotics\n- lerobot\n- smolvla",
    );
    assert_eq!(card.license, ["apache-2.0"]);
    assert_eq!(card.datasets, ["lerobot/svla_so101_pickplace"]);
    assert_eq!(card.base_model, ["lerobot/smolvla_base"]);
    assert_eq!(card.tags, ["robotics", "lerobot", "smolvla"]);
    assert_eq!(card.library.as_deref(), Some("lerobot"));
    assert_eq!(card.pipeline_tag.as_deref(), Some("robotics"));
    assert_eq!(card.model_name.as_deref(), Some("smolvla"));
    let card =
        read("license: other\nlicense_name: >-\n  a\n  b\nlicense_link: 'x: y'\ndatasets: [a, b]");
    assert_eq!(card.license_name.as_deref(), Some("a b"));
    assert_eq!(card.license_link.as_deref(), Some("x: y"));
    assert_eq!(card.datasets, ["a", "b"]);
}

#[test]
fn what_is_not_plainly_there_is_not_stated() {
    for yaml in [
        "license:",
        "license: ~",
        "license: null",
        "license: ''",
        "license: []",
        "License: mit",
        "x: {license: mit}",
    ] {
        let card = read(yaml);
        assert_eq!(
            (card.license.len(), card.terms),
            (0, Terms::Unstated),
            "{yaml:?}"
        );
    }
    for bytes in [&b""[..], b"# walk\n", b"walk\n---\nlicense: mit\n---\n"] {
        assert_eq!(Card::read(bytes), Card::default(), "{bytes:?}");
    }
    assert_eq!(
        Card::read(b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n").license,
        ["mit"]
    );
}

#[test]
fn a_licence_that_cannot_be_told_is_not_one_that_is_not_stated() {
    let long = format!("license: {}", "x".repeat(MAX_CHARS + 1));
    let many = format!("license: [{}]", "mit, ".repeat(MAX_ENTRIES + 1));
    for yaml in [
        &*long,
        &*many,
        "license: apache-2.0\nlicense: mit",
        "license: apache-2.0\n\"license\": apache-2.0",
        "a: &a mit\nlicense: *a",
        "license: {name: mit}",
        "license: [[mit]]",
        "license: [mit, {a: b}]",
        "license: [mit, ~]",
        "<<: {license: mit}",
        "a: &a license\n*a : mit",
        "? [license]\n: mit",
        "- license: mit",
        "license: mit\n  broken: [",
        "license: mit\n...\nlicense: gpl",
        "license",
        "",
    ] {
        let card = read(yaml);
        assert_eq!(card.terms, Terms::Unreadable, "{yaml:?}");
        assert_eq!(card.rows()[0].0, "licence", "{yaml:?}");
    }
    for bytes in [
        &b"---\nlicense: mit\n"[..],
        b"---\nlicense: mit",
        b"\n---\nlicense: mit\n---\n",
        b"---\nlicense: \xff\n---\n",
        b"--- \nlicense: mit\n---\n",
    ] {
        assert_eq!(Card::read(bytes).terms, Terms::Unreadable, "{bytes:?}");
    }
}

#[test]
fn another_licence_goes_by_its_name() {
    let terms = |yaml: &str| match read(yaml).terms {
        Terms::Stated(licences) => licences.join(" | "),
        other => format!("{other:?}"),
    };
    for (yaml, stated) in [
        ("license: mit", "mit"),
        ("license: mit\nlicense_name: x", "mit"),
        ("license: [mit, other]\nlicense_name: x", "mit | other: x"),
        ("license: other", "other"),
        ("license: other\nlicense_name: x", "other: x"),
        ("license: other\nlicense_link: y", "other: y"),
        (
            "license: other\nlicense_link: y\nlicense_name: x",
            "other: x, y",
        ),
        ("license: other\nlicense_name: [x]", "Unreadable"),
        (
            "license: other\nlicense_name: x\nlicense_name: z",
            "Unreadable",
        ),
    ] {
        assert_eq!(terms(yaml), stated, "{yaml}");
    }
}

#[test]
fn a_bomb_of_aliases_stays_as_small_as_it_is_written() {
    let mut yaml = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..100 {
        let before = n - 1;
        yaml += &format!("a{n}: &a{n} [*a{before}, *a{before}, *a{before}]\n");
    }
    let card = read(&format!("{yaml}license: mit\ntags: *a99\n"));
    assert_eq!(
        (card.license, card.tags),
        (vec!["mit".to_owned()], Vec::new())
    );
}

#[test]
fn bounds_hold() {
    let long = "x".repeat(MAX_CHARS);
    assert_eq!(read(&format!("license: {long}")).license, [long.as_str()]);
    assert_eq!(
        read(&format!("license: {long}x")).license,
        Vec::<String>::new()
    );
    let tags = |n| read(&format!("tags: [{}]", "t, ".repeat(n))).tags.len();
    assert_eq!((tags(MAX_ENTRIES), tags(MAX_ENTRIES + 1)), (MAX_ENTRIES, 0));
    let nested = |n| {
        read(&format!(
            "x: {}{}\nlicense: mit",
            "[".repeat(n),
            "]".repeat(n)
        ))
    };
    assert_eq!(nested(MAX_DEPTH).license, ["mit"]);
    let unreadable = Card {
        terms: Terms::Unreadable,
        ..Card::default()
    };
    assert_eq!(nested(MAX_DEPTH + 2), unreadable);
    assert_eq!(nested(30_000), unreadable);
    let padded = format!("license: mit\nx: {}", "y".repeat(MAX_BYTES));
    assert_eq!(read(&padded), unreadable);
}

#[test]
fn whatever_is_broken_is_survived() {
    let parts = [
        "license",
        ": ",
        "mit",
        "\n",
        "  ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "|",
        ">-",
        "'",
        "\"",
        "\\",
        "#",
        "? ",
        "!!x ",
        "!<",
        "%YAML 1.2",
        "---",
        "...",
        ",",
        "\t",
        "\u{feff}",
        "\u{85}",
        "\u{1b}",
        "@",
        "`",
        "~",
        "\r",
        "\0",
        "<<",
        "é",
        "\\u12",
        "\\x",
    ];
    for yaml in texts(&parts, 24, 20_000) {
        read(&yaml);
    }
}
