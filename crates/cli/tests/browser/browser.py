"""A headless Chromium, driven over a pipe by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a NUL, on
descriptors 3 (to the browser) and 4 (from it).
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
# What `bash ros/setup.sh ensure_browser` makes where there is no other.
OWN = ROOT / ".ros/browser/chromium"
NAMES = ["chromium", "chromium-browser", "google-chrome"]
# Against hanging, on a machine that has other work to do.
PATIENCE = 120


def find():
    """The browser to use, if there is one."""
    own = [str(OWN)] if OWN.exists() else []
    return next(iter(own + [found for name in NAMES if (found := shutil.which(name))]), None)


class Browser:
    """One browser process with one page, and all that the page did."""

    def __init__(self, program):
        self.folder = tempfile.TemporaryDirectory(prefix="tensorgate-browser-")
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        self.write, self.read = to_write, from_read
        command = [
            program,
            "--headless",
            "--remote-debugging-pipe",
            # The sandbox of the browser wants a user that is not root, or namespaces.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--user-data-dir={self.folder.name}/profile",
        ]
        # Below 3 and 4, so that neither is overwritten while they are put there.
        high = [os.dup(fd) for fd in (to_read, from_write)]
        wrapped = ["bash", "-c", 'exec 3<&"$0" 4>&"$1" "${@:2}"', *map(str, high), *command]
        environment = os.environ | {"HOME": self.folder.name}
        if program == str(OWN):
            environment["LD_LIBRARY_PATH"] = str(OWN.parent / "lib")
            environment["FONTCONFIG_FILE"] = str(OWN.parent / "fonts.conf")
        self.log = open(f"{self.folder.name}/log", "wb")
        self.process = subprocess.Popen(
            wrapped, pass_fds=high, stdout=self.log, stderr=self.log, env=environment
        )
        for fd in (to_read, from_write, *high):
            os.close(fd)
        self.pending, self.last, self.events, self.session = b"", 0, [], None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.write)
        os.close(self.read)
        self.log.close()
        self.folder.cleanup()

    def ask(self, method, **params):
        """Sends one command and gives its result; what else arrives is kept."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write, data) :]
        while True:
            answer = self.receive()
            if answer.get("id") == self.last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def receive(self):
        end = time.monotonic() + PATIENCE
        while b"\0" not in self.pending:
            ready, _, _ = select.select([self.read], [], [], max(0, end - time.monotonic()))
            piece = os.read(self.read, 1 << 20) if ready else b""
            assert piece, f"the browser does not answer: {self.trouble()}"
            self.pending += piece
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def trouble(self):
        return Path(self.log.name).read_text(errors="replace")[-2000:]

    def show(self, path, width=1280, scheme="light", media="screen"):
        """Opens a file as on a screen of this width; the events of the page begin anew."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)
        self.events = []
        self.ask("Page.navigate", url=Path(path).resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())
        # Whatever was to run has run by the second frame after.
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        self.value(frames)

    def value(self, script):
        """What a script of ours finds in the page."""
        result = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def named(self, method):
        return [event["params"] for event in self.events if event.get("method") == method]

    def requests(self):
        """The addresses that the page asked for, itself aside."""
        urls = [sent["request"]["url"] for sent in self.named("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("file://")] + urls[1:]

    def complaints(self):
        """Whatever stands in the console."""
        said = [entry["entry"]["text"] for entry in self.named("Log.entryAdded")]
        said += [str(call["args"]) for call in self.named("Runtime.consoleAPICalled")]
        said += [str(thrown) for thrown in self.named("Runtime.exceptionThrown")]
        return said + [str(dialog) for dialog in self.named("Page.javascriptDialogOpening")]

    def picture(self, path, clip):
        """A part of the page, as large as `clip` says."""
        options = {"format": "png", "clip": clip, "captureBeyondViewport": True}
        shot = self.ask("Page.captureScreenshot", **options)
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def pdf(self):
        return base64.b64decode(self.ask("Page.printToPDF", printBackground=True)["data"])
