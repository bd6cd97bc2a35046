"""Every command of the documentation is run, and prints what is shown."""

import re
import subprocess

import pytest
from page import Command, NotRun, parse
from place import PROGRAMS, ROOT
from run import DOCS, PAGES, follow

# Pages that are not followed, but whose links lead somewhere, too.
BESIDE = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("examples/*/README.md"))]
BESIDE += [*sorted(ROOT.glob("crates/*/README.md")), ROOT / "crates/verify/tests/corpus/README.md"]
# Where the keys of trust.toml are read.
TRUST_POLICY = ["trust_text.rs", "rules.rs", "limits.rs", "revocation.rs"]
# What is not run, each with its reason in the page; whoever adds to it shows it in a review.
NOT_RUN = [
    ("README.md", "git clone https://github.com/tensorgate/tensorgate"),
    ("README.md", "make demo"),
    ("docs/demo.md", "make demo"),
    ("docs/operators.md", "ssh-keygen -t ed25519 -f ops && ssh-add ops"),
    ("docs/operators.md", "sudo apt install ./tensorgate_*.deb ./tensorgate-node_*.deb"),
    ("docs/policy-repositories.md", 'mkdir "$RUNNER_TEMP/policy"'),
    ("docs/policy-repositories.md", "cp pre-push .git/hooks/pre-push && chmod +x .git/hooks/pre-push"),
    ("docs/publishers.md", "hf upload acme/pick act"),
    ("docs/publishers.md", "hf upload acme/pick policy.dsse.json"),
    ("docs/publishers.md", "hf upload acme/pick act-2"),
    ("docs/quick-start.md", "git clone https://github.com/tensorgate/tensorgate ~/ws/src/tensorgate"),
    ("docs/quick-start.md", "git clone https://github.com/tensorgate/tensorgate ~/tensorgate"),
]


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_page_shows_what_happens(page):
    follow(page)


def test_what_is_not_run_is_known_and_has_a_reason():
    steps = [(name(page), step) for page in PAGES for step in parse(page.read_text())]
    found = [(page, step) for page, step in steps if isinstance(step, NotRun)]
    assert [(page, step.command.split("   ")[0]) for page, step in found] == NOT_RUN
    for page, step in found:
        assert len(step.reason) > 15, f"{page}:{step.line}"
        print(f"{page}:{step.line}: not run: {step.reason}")


def test_pages_have_commands():
    """A page of which nothing was read would agree with anything."""
    for page in PAGES:
        if page.stem in {"quick-start", "publishers", "operators", "controllers"}:
            commands = [step for step in parse(page.read_text()) if isinstance(step, Command)]
            assert len(commands) > 5, page


def test_links_lead_somewhere():
    for page in [*PAGES, *BESIDE]:
        links = re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", page.read_text())
        for target, anchor in links:
            goal = page.parent / target if target else page
            assert goal.exists(), f"{name(page)}: {target}"
            if anchor and goal.suffix == ".md":
                assert anchor[1:] in anchors(goal), f"{name(page)}: {target}{anchor}"


def test_the_index_names_every_page():
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def anchors(page):
    """As GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_commands_in_the_prose_exist():
    """`tensorgate store gc --dry-run` between the lines has no output to be compared."""
    helps = {}
    for page in PAGES:
        for words in re.findall(r"`tensorgate ([a-z][^`\n]*)`", prose(page)):
            check(words.split(), helps, name(page))


def prose(page):
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def check(words, helps, page):
    command = words[:2] if words[0] in {"trust", "store"} and words[1:] else words[:1]
    text = help_of(tuple(command), helps)
    assert text, f"{page}: tensorgate {' '.join(words)}"
    for flag in (word.split("=")[0] for word in words if word.startswith("--")):
        assert flag in text, f"{page}: tensorgate {' '.join(words)}"


def help_of(command, helps):
    if command not in helps:
        asked = [PROGRAMS / "tensorgate", *command, "--help"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        helps[command] = done.stdout if done.returncode == 0 else ""
    return helps[command]


def test_the_operators_guide_explains_every_key_of_a_trust_policy():
    text = (ROOT / "docs/operators.md").read_text()
    sources = [(ROOT / "crates/verify/src" / source).read_text() for source in TRUST_POLICY]
    structs = re.findall(r"deny_unknown_fields.*?\n\}", "\n".join(sources), re.DOTALL)
    keys = re.findall(r"^    (?:pub(?:\(crate\))? )?(\w+): ", "\n".join(structs), re.MULTILINE)
    assert {"threshold", "public_key", "max_jump", "reviewed_code", "rank"} <= set(keys)
    for key in keys:
        assert re.search(rf"`{key}`|^{key} =|^\[+{key}\]+$|\b{key} = \"", text, re.MULTILINE), key
