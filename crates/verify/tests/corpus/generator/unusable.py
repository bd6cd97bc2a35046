"""Trust policies that would surprise later: refused before anything is judged."""

from .ed25519 import P, pem
from .manifest import KEYS, content, trust
from .notation import file, text
from .trust import ORDER_8, OTHER, case, second_key


def cases():
    def of(name, comment, old, new, error="", base=None):
        whole = content((base or trust())[1]).decode()
        assert old in whole, old
        return case(
            f"policy_{name}",
            "could-not-check",
            comment,
            trust_file=file("trust.toml", text(whole.replace(old, new, 1))),
            **({"error": error} if error else {}),
        )

    line = "threshold = 1"
    yield of(
        "of_nobody", "No key must have signed: everybody is trusted.", line, "threshold = 0", "would trust everybody"
    )
    yield of(
        "out_of_reach",
        "More signatures than keys: refused at the robot, were it not here.",
        line,
        "threshold = 2",
        "cannot be met",
    )
    yield of("negative", "Below every count.", line, "threshold = -1", "threshold")
    yield of("without_threshold", "A default would decide.", line, "", "threshold")
    yield of("misspelt", "A rule that is not read is not kept.", line, "treshold = 1", "line 1")
    yield of(
        "with_unknown_section",
        "A rule that is not read is not kept.",
        line,
        f"{line}\n[freshnes]\nexpires = 'deny'",
        "freshnes",
    )
    yield of(
        "with_unknown_key_field",
        "An end that is not read is no end.",
        'name = "key 1"',
        'name = "key 1"\nnotafter = "2026-11-20T00:00:00Z"',
        "notafter",
    )
    pem1 = KEYS[1].pem()
    yield of(
        "with_key_twice",
        "One key under two names counts twice.",
        line,
        "threshold = 2",
        "the same key as",
        trust(1, more=second_key().replace(KEYS[2].pem(), pem1)),
    )
    yield of(
        "with_name_twice",
        "One name for two keys hides who signed.",
        'name = "key 2"',
        'name = "key 1"',
        "another key has this name",
        trust(1, 2),
    )
    for what, y in (("order_1", 1), ("order_2", P - 1), ("order_4", 0), ("order_8", int.from_bytes(ORDER_8, "little"))):
        yield of(
            f"with_key_of_{what}",
            "Under a key of low order anybody can sign.",
            pem1,
            pem(y.to_bytes(32, "little")),
            "key 1",
        )
    yield of(
        "with_key_off_the_curve",
        "No point: whatever is done with it has no meaning.",
        pem1,
        pem((2).to_bytes(32, "little")),
        "not an ed25519 public key",
    )
    yield of(
        "with_key_of_another_kind",
        "A P-256 key: the length alone does not make it ed25519.",
        pem1,
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n",
        "not an ed25519 public key",
    )
    yield of(
        "with_private_key",
        "A secret on every robot.",
        pem1,
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n-----END PRIVATE KEY-----\n",
        "not an ed25519 public key",
    )
    yield of(
        "with_key_and_file",
        "Which of the two counts?",
        'name = "key 1"',
        'name = "key 1"\npublic_key_file = "a.pem"',
        "give one of",
    )
    yield of(
        "with_missing_key_file",
        "A key that is not there.",
        f'public_key = """\n{pem1}"""',
        'public_key_file = "absent.pem"',
        "absent.pem",
    )
    for what, section, word in (
        ("bad_waiver", "[content]\nnon_finite = 'ignore'", "ignore"),
        ("unknown_kind", "[content]\nkinds = ['wheights']", "wheights"),
        ("unknown_dtype", "[content]\ndtypes = ['F31']", "F31"),
        ("unknown_rule", "[content]\nnonfinite = 'deny'", "nonfinite"),
        ("unknown_limit", "[limits]\nheader_byte = 1", "header_byte"),
        ("negative_limit", "[limits]\nheader_bytes = -1", "header_bytes"),
        ("bad_freshness", "[freshness]\nexpires = 'allow'", "allow"),
        ("unknown_rollback", "[rollback]\nmaxjump = 1", "maxjump"),
        ("empty_revocation", "[[revoked]]\nreason = 'x'", "revoked"),
        ("double_revocation", f"[[revoked]]\nrevision = '{OTHER}'\nmanifest = '{'0' * 64}'\nreason = 'x'", "revoked"),
        ("revocation_without_reason", f"[[revoked]]\nrevision = '{OTHER}'", "reason"),
        ("revocation_of_a_branch", "[[revoked]]\nrevision = 'main'\nreason = 'x'", "main"),
        ("revocation_of_a_short_digest", "[[revoked]]\nmanifest = 'abcd'\nreason = 'x'", "abcd"),
    ):
        yield case(
            f"policy_with_{what}",
            "could-not-check",
            "A rule that is not understood is not kept.",
            trust_file=trust(more=f"\n{section}\n"),
            error=word,
        )
    for what, globs, word in (
        ("no_scope", "[]", "repos"),
        ("scope_across_the_slash", '["*"]', "repos"),
        ("scope_that_climbs", '["../*"]', "repos"),
        ("scope_of_questions", '["acme/wal?"]', "repos"),
    ):
        yield case(
            f"policy_with_{what}",
            "could-not-check",
            "A scope that means more, or less, than it seems to.",
            trust_file=trust(key_lines=f"repos = {globs}\n"),
            error=word,
        )
    yield case(
        "policy_with_bad_not_after",
        "could-not-check",
        "An end that is not understood is no end.",
        trust_file=trust(key_lines='not_after = "soon"\n'),
        error="not_after",
    )
    yield case(
        "policy_that_needs_state",
        "could-not-check",
        "The memory of newer releases was deleted with its store.",
        trust_file=trust(more="\n[rollback]\nrequire_state = true\n"),
        error="rollback state",
    )
