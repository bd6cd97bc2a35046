"""Reports as people see them: in a real browser, whatever a stranger wrote into a policy.

What the browser finds is compared with a twin: the same policy in plain words. A page into which a
stranger's words got as markup has other elements than its twin.
"""

import json
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest
from browser import ROOT, Browser, find

PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tensorgate"
REVISION = "0123456789abcdef0123456789abcdef01234567"
WIDTHS = [360, 768, 1280]
SCHEMES = ["light", "dark"]
# A4 within its margins, at 96 dots an inch.
PAPER = 688

HOSTILE = [
    "<script>window.hit=1</script>",
    '"onload="window.hit=1" x="',
    "'><img src=x onerror=window.hit=1>",
    "</style><script>window.hit=1</script>",
    "</svg></title></table></main><h1>Verified</h1>",
    "javascript:window.hit=1",
    "]]><![CDATA[<b>",
    "<iframe src=http://127.0.0.1:9/frame></iframe>",
    "<link rel=stylesheet href=http://127.0.0.1:9/style>",
    "&lt;script&gt;&#60;b&#62;",
    "\u202e\u2066deifireV\u2069 \u05d0\u05d1\u05d2",
    "zero\u200bwidth\ufeff\u200d\u00ad",
    "Z" + "\u0335\u0301" * 40,
    "W" * 200,
    "\u4e2d" * 200,
    "-" * 200 + "\U0001f916",
]


def plain(n):
    return f"word{n}"


def hostile(n):
    return f"{n} {HOSTILE[n % len(HOSTILE)]}"


class Policy:
    """A folder of policies, keys and reports, in which every free word comes from `words`."""

    def __init__(self, folder, words):
        self.folder, self.words = folder, words
        self.environment = {"HOME": str(folder), "TENSORGATE_STORE": str(folder / "store")}

    def run(self, *arguments, status=0):
        run = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == status, run.stderr

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def make(self, name, value=1.0, tensors=40):
        """A policy that passes, with words wherever words may be."""
        words = self.words
        card = {"license": words(0), "library_name": words(1), "tags": [words(2), words(3)]}
        yaml = "".join(f"{key}: {json.dumps(of_key)}\n" for key, of_key in card.items())
        self.write(f"{name}/README.md", f"---\n{yaml}---\n# {words(4)}\n")
        # What looks like the name of an artifact would have to be declared.
        field = lambda n: re.sub(r"[./\\:]", "_", words(n))
        odd = {f"{n} {field(n)}": [field(n + 1)] for n in range(16)}
        config = {"type": "act", "pretrained_backbone_weights": words(5), **odd, "value": value}
        self.write(f"{name}/config.json", json.dumps(config))
        self.write(f"{name}/model.safetensors", self.weights(tensors, value))
        self.externals(name)

    def weights(self, tensors, value):
        """Names of tensors are printable ASCII without quotes; metadata is any text."""
        printable = lambda n: re.sub(r'[^!-~]|["\\]', "", self.words(n))[:200]
        # In one order, whatever the words: of many that are equally large, the first are shown.
        names = [f"{n:05}.{printable(n)}" for n in range(tensors)]
        header = {"__metadata__": {"format": self.words(6), "value": str(value)}}
        for n, name in enumerate(names):
            header[name] = {"dtype": "F32", "shape": [2], "data_offsets": [8 * n, 8 * n + 8]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        data = b"".join(struct.pack("<2f", value, n) for n in range(tensors))
        return struct.pack("<Q", len(text)) + text + data

    def externals(self, name):
        quoted = json.dumps
        self.write(
            f"{name}.toml",
            '[[externals]]\nfield = "config.json#/pretrained_backbone_weights"\n'
            f"name = {quoted(self.words(5), ensure_ascii=False)}\n"
            f'decision = "absent"\nreason = {quoted(self.words(7), ensure_ascii=False)}\n',
        )
        (self.folder / f"{name}.toml").chmod(0o644)

    def page(self, command):
        """The report of one command."""
        return self.folder / f"{command}.html"

    def all(self):
        """A report of each kind."""
        self.make("walk")
        self.make("run", value=2.0)
        self.audit()
        self.reject()
        self.verify()
        self.run("diff", "walk", "run", "--html", "diff.html")
        self.make("many", tensors=10_000)
        self.run("audit", "many", "--externals", "many.toml", "--html", "many.html")
        return self

    def audit(self):
        self.run("audit", "walk", "--externals", "walk.toml", "--html", "audit.html")

    def reject(self):
        """Files whose names are refused."""
        self.make("bad")
        for n in range(len(HOSTILE)):
            name = self.words(n).replace("/", "\\")[:80]
            self.write(f"bad/{name}.xyz", "x")
        options = ["--externals", "bad.toml", "--html", "rejected.html"]
        self.run("audit", "bad", *options, status=1)

    def verify(self):
        self.run("keygen", "--out", "release")
        signed = ["--repo", "acme/walk", "--revision", REVISION, "--sequence", "1"]
        signed += ["--expires", "2099-01-01T00:00:00Z", "--externals", "walk.toml"]
        self.run("sign", "walk", "--key", "release.key.pem", *signed)
        name = json.dumps(self.words(3), ensure_ascii=False)
        keys = f'[[keys]]\nname = {name}\npublic_key_file = "release.pub.pem"\n'
        self.write("trust.toml", f"threshold = 1\n{keys}")
        (self.folder / "trust.toml").chmod(0o644)
        self.run("verify", "walk", "--trust", "trust.toml", "--html", "verify.html")


PAGES = ["audit", "rejected", "verify", "diff", "many"]


@pytest.fixture(scope="module")
def browser():
    program = find()
    if program is None:
        pytest.skip("NOT TRIED: reports in a browser, for there is none (ros/setup.sh ensure_browser)")
    with Browser(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    return Policy(tmp_path_factory.mktemp("hostile"), hostile).all()


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    return Policy(tmp_path_factory.mktemp("plain"), plain).all()


COUNT = """(() => {
    const counts = {};
    for (const element of document.querySelectorAll('*'))
        counts[element.localName] = (counts[element.localName] || 0) + 1;
    return counts;
})()"""

# Words whose colour is too near to what is behind them (WCAG 2.2, 1.4.3).
FAINT = """(() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const colour = numbers(getComputedStyle(e).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const faint = [];
    for (const element of document.body.querySelectorAll('*')) {
        if (element.closest('svg')) continue;
        const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!own) continue;
        const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) faint.push(`${element.localName} ${element.className} ${ratio.toFixed(2)}`);
    }
    return faint;
})()"""

# What a screen reader would miss.
UNSAID = """(() => {
    const missing = [];
    const none = (selector, what) => {
        if (document.querySelector(selector)) missing.push(what);
    };
    if (document.documentElement.lang !== 'en') missing.push('language');
    if (!document.title) missing.push('title');
    if (document.querySelectorAll('h1').length !== 1) missing.push('one h1');
    none('th:not([scope])', 'scope');
    for (const image of document.querySelectorAll('svg'))
        if (!image.hasAttribute('aria-hidden') && !image.querySelector('title')) missing.push('title of a plot');
    let last = 0;
    for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
        const level = Number(heading.localName[1]);
        if (level > last + 1) missing.push(`h${level} after h${last}`);
        last = level;
    }
    return missing;
})()"""


def judge(browser):
    """What is wrong with the page that is shown; nothing, of a good one."""
    wrong = []
    if browser.value("typeof window.hit") != "undefined":
        wrong.append("a script ran")
    wrong += [f"asked for {url}" for url in browser.requests()]
    wrong += [f"complained: {text}" for text in browser.complaints()]
    size = browser.value("[document.documentElement.scrollWidth, innerWidth]")
    if size[0] > size[1]:
        wrong.append(f"{size[0]} wide on {size[1]}")
    wrong += [f"faint: {what}" for what in browser.value(FAINT)]
    return wrong + [f"unsaid: {what}" for what in browser.value(UNSAID)]


@pytest.mark.parametrize("page", PAGES)
def test_hostile_words_do_nothing(browser, reports, twins, page):
    browser.show(twins.page(page))
    elements = browser.value(COUNT)
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.show(reports.page(page), width=width, scheme=scheme)
            assert browser.value("innerWidth") == width
            assert judge(browser) == [], (width, scheme)
            assert browser.value(COUNT) == elements, (width, scheme)
    assert elements["h1"] == 1 and "script" not in elements


@pytest.mark.parametrize("page", PAGES)
def test_both_schemes_are_real(browser, reports, page):
    shown = []
    for scheme in SCHEMES:
        browser.show(reports.page(page), scheme=scheme)
        shown.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert shown == ["rgb(255, 255, 255)", "rgb(16, 20, 25)"]


@pytest.mark.parametrize("page", PAGES)
def test_paper_shows_all(browser, reports, page):
    # Whoever prints a dark page wants black on white.
    browser.show(reports.page(page), width=PAPER, scheme="dark", media="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert judge(browser) == []
    cut = "[...document.querySelectorAll('.wide')].filter(box => box.scrollWidth > box.clientWidth).length"
    assert browser.value(cut) == 0
    pdf = browser.pdf()
    pages = pdf.count(b"/Type /Page\n") or len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert pdf.startswith(b"%PDF-") and 1 <= pages <= 60


def test_ten_thousand_tensors_make_no_longer_page(reports):
    assert reports.page("many").stat().st_size < 2 * reports.page("audit").stat().st_size
    assert "9,984 smaller tensors" in reports.page("many").read_text()


def test_what_turns_or_hides_is_written_out(reports):
    for page in PAGES:
        text = reports.page(page).read_text()
        assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\u00ad\u0301\u0335]", text)
    assert "\\u{202e}" in reports.page("audit").read_text()


BROKEN = {
    "a script ran": "<script>window.hit = 1</script>",
    "asked for": "<img src='http://127.0.0.1:9/picture' alt=''>",
    "complained": "<script>console.error('x')</script>",
    "wide on": "<div style='width: 3000px'>x</div>",
    "faint": "<p style='color: #999; background: #fff'>x</p>",
    "unsaid: scope": "<table><tr><th>x</th></tr></table>",
    "unsaid: one h1": "<h1>x</h1>",
    "unsaid: h4 after": "<h4>x</h4>",
    "unsaid: title of a plot": "<svg></svg>",
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_broken_page_is_noticed(browser, twins, tmp_path, wrong):
    """Without the policy that lets no script run, as if a template did not escape."""
    text = re.sub("<meta http-equiv[^>]*>", "", twins.page("audit").read_text())
    page = tmp_path / "broken.html"
    page.write_text(text.replace("</main>", BROKEN[wrong] + "</main>"))
    browser.show(twins.page("audit"))
    elements = browser.value(COUNT)
    assert judge(browser) == []
    browser.show(page)
    assert any(found.startswith(wrong) or wrong in found for found in judge(browser))
    assert browser.value(COUNT) != elements


def test_a_script_that_got_in_would_not_run(browser, twins, tmp_path):
    """The second line of defence: what the page forbids itself."""
    page = tmp_path / "injected.html"
    script = "<script>window.hit = 1</script><img src='http://127.0.0.1:9/x' onerror='window.hit = 1'>"
    page.write_text(twins.page("audit").read_text().replace("</main>", script + "</main>"))
    browser.show(page)
    assert browser.value("typeof window.hit") == "undefined"
    complaints = browser.complaints()
    assert any("Content Security Policy" in text for text in complaints), complaints
