"""The runner notices what a page gets wrong: each rule, and what it does not let pass."""

import itertools

import pytest
from compare import Bound, elided, matches
from page import Malformed, NotRun, Write, parse
from place import ROOT
from run import Differs, Follower

HEX = "3f3183e1898d6f0a0c38416aa242c17e7a841e810184d03be0986730ebc00a72"
OTHER = "90a3e2241898d6f0a0c38416aa242c17e7a841e810184d03be0986730ebc00a7"


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["one", "two"], "one\ntwo\n"),
        (["one", "…", "three"], "one\ntwo\ntwo and a half\nthree\n"),
        (["one", "…", "three"], "one\nthree\n"),
        (["  …", "three"], "one\n  two\nthree\n"),
        (["manifest  sha256 3f31…"], f"manifest  sha256 {HEX}\n"),
        (["key 3f31…, for all"], "key 3f3183e1…, for all\n"),
        (["valid  … to 2036-01-01"], "valid  2026-11-26T01:49:57Z to 2036-01-01\n"),
        (["[INFO] […]: in … s"], "[INFO] [1795657797.768485297]: in 0.010 s\n"),
        ([], ""),
    ],
)
def test_what_is_shown_agrees(shown, printed):
    assert matches(shown, printed, Bound())


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["one"], "one\ntwo\n"),
        (["one", "two"], "one\n"),
        (["verified: x"], "rejected: x\n"),
        (["one"], "one \n"),
        ([], "surprise\n"),
        (["one", "…", "three"], "one\ntwo\n"),
        (["manifest  sha256 3f31…"], "manifest  sha256 none\n"),
        (["manifest  sha256 3f31…"], "manifest  sha256 3f31\n"),
        (["valid … to"], "valid 1 or 2 to\n"),
        (["a.b"], "a-b\n"),
    ],
)
def test_what_is_shown_does_not_agree(shown, printed):
    assert not matches(shown, printed, Bound())


def test_a_digest_is_the_same_wherever_it_stands():
    bound = Bound()
    assert matches(["made 3f31…"], f"made {HEX}\n", bound)
    assert matches(["has 3f31…"], "has 3f3183e1…\n", bound)
    assert not matches(["has 3f31…"], f"has {OTHER}\n", bound)
    assert matches(["has 3f31… and 90a3…"], f"has {HEX} and {OTHER}\n", bound)
    assert not matches(["3f31… 3f31…"], f"{HEX} {OTHER}\n", Bound())
    assert not matches(["3f31… 90a3…"], f"{HEX} {HEX}\n", Bound())


def test_what_is_written_anew_agrees_with_what_was_printed():
    printed = f"verified {HEX}\n[INFO] [1795657797.768485297] in 0.010 s at 127.0.0.1:4711\n"
    shown = elided(printed, Bound(), "")
    assert shown == ["verified 3f3183e1…", "[INFO] […] in … s at 127.0.0.1:…"]
    assert matches(shown, printed, Bound())


def test_a_page_is_read_in_order():
    page = "```toml file=a.toml\nx = 1\n```\n```console\n$ cat a.toml \\\n    b\nx = 1\n$ true\n```\n"
    write, cat, true = parse(page)
    assert (write.path, write.text) == ("a.toml", "x = 1\n") and isinstance(write, Write)
    assert (cat.text, cat.shown) == ("cat a.toml \\\n    b", ["x = 1"])
    assert (true.text, true.shown) == ("true", [])


def test_what_is_not_run_has_its_reason_right_above_it():
    (step,) = parse("<!-- not run: needs a browser -->\n```console\n$ firefox\n```\n")
    assert (step.command, step.reason) == ("firefox", "needs a browser") and isinstance(step, NotRun)
    with pytest.raises(Malformed):
        parse("<!-- not run: needs a browser -->\ntext\n```console\n$ firefox\n```\n")


@pytest.mark.parametrize(
    "page",
    [
        "```sh\nrm -rf /\n```\n",
        "```console\nno command\n```\n",
        "text\n\n    $ reboot\n",
        "```console\n$ true\n",
    ],
)
def test_nothing_escapes_the_runner(page):
    with pytest.raises(Malformed):
        parse(page)


@pytest.fixture
def follow(tmp_path):
    places = (tmp_path / f"place-{number}" for number in itertools.count())

    def follow(text, update=False):
        page = ROOT / "target" / f"{tmp_path.name}.md"
        page.write_text(text)
        try:
            Follower(page, next(places), update).follow()
            return page.read_text()
        finally:
            page.unlink()

    return follow


def test_commands_share_a_shell_and_a_home(follow):
    follow("```console\n$ cd; pwd\n/home/robot\n$ x=3\n$ echo $x; ls -A\n3\ntensorgate\n```\n")


def test_terminals_run_side_by_side_and_are_interrupted(follow):
    page = "```console terminal=a\n$ echo on; sleep 1000\non\n```\n```console\n$ touch there\n```\n"
    follow(page + "```console terminal=a\n^C\n```\n")


def test_what_a_program_prints_meanwhile_is_awaited(follow):
    wait = "while [ ! -e there ]; do sleep 0.1; done; echo seen; sleep 1000"
    page = f"```console terminal=a\n$ {wait}\n```\n```console\n$ touch there\n```\n"
    follow(page + "```console terminal=a\nseen\n```\n```console terminal=a\n^C\n```\n")


def test_an_interrupt_ends_a_line_whatever_of_it_runs(follow):
    """Also what the shell starts only after it: bash ignores it, and goes on with the line."""
    line = "echo on; sleep 1000; sleep 1001; (sleep 1002; sleep 1003)"
    page = f"```console terminal=a\n$ {line}\non\n```\n```console terminal=a\n^C\n```\n"
    follow(page + "```console terminal=a\n$ echo again\nagain\n```\n")


def test_an_interrupt_comes_once(follow):
    """Who takes its time to end is not told a second time."""
    program = "import signal as s, time; own = {s.SIGINT}; s.pthread_sigmask(s.SIG_BLOCK, own); "
    program += "print('on'); s.sigwait(own); time.sleep(2); print('again', s.sigpending())"
    page = f"```console terminal=a\n$ python3 -c \"{program}\"\non\n```\n"
    follow(page + "```console terminal=a\n^C\nagain set()\n```\n")


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ echo 'rejected: x'\nrejected: x\n```\n",
        "```console\n$ echo 'rejected: x'; (exit 2)\nrejected: x\n```\n",
        "```console terminal=a\n$ echo one; sleep 1000\ntwo\n```\n",
    ],
)
def test_a_page_that_is_not_true_is_noticed(follow, monkeypatch, page):
    monkeypatch.setattr("run.PATIENCE", 1)
    with pytest.raises(Differs):
        follow(page)


def test_an_update_writes_what_was_printed_and_nothing_else(follow):
    page = "a\n```console\n$ echo one\n…\n$ printf 'two\\nthree\\n'\nfour\n```\nb\n"
    assert follow(page, update=True) == page.replace("four", "two\nthree")


def test_nothing_of_the_runner_is_in_the_environment(follow, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    follow("```console\n$ echo \"[$HF_TOKEN]\" $(umask)\n[] 0022\n```\n")


def test_questions_are_answered_on_a_terminal(follow):
    ask = "read -p 'sure? [y/N] ' x && [ -t 0 ] && echo got $x"
    follow(f"```console\n$ {ask}\nsure? [y/N] y\ngot y\n```\n")


def test_an_excerpt_stands_in_its_file(follow):
    follow("```toml from=rustfmt.toml\n" + (ROOT / "rustfmt.toml").read_text() + "```\n")
    with pytest.raises(Differs):
        follow("```toml from=rustfmt.toml\nsomething else\n```\n")
