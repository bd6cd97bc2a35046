"""The recipe for policy repositories, run: the steps of the workflow as GitHub runs them, the script for others, the
hook, each in a fresh clone of a repository with a policy and of one with something worse."""

import copy
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "docs/policy-repositories"
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/tensorgate"
WORKFLOW = yaml.safe_load((RECIPE / "tensorgate.yml").read_text())
# How GitHub calls a step's shell: where a workflow names none, a pipe ends as its last command does
# (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell).
UNNAMED = "bash -e {0}"
SHELLS = {"bash": "bash --noprofile --norc -eo pipefail {0}"}
# The timeout is against hanging; nothing is measured.
QUIETLY = {"capture_output": True, "text": True, "check": False, "timeout": 120}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


def weights(*numbers):
    header = json.dumps({"w": {"dtype": "F32", "shape": [len(numbers)], "data_offsets": [0, 4 * len(numbers)]}})
    header += " " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header.encode() + struct.pack(f"<{len(numbers)}f", *numbers)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """No settings of whoever runs this."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name, value in {"user.name": "A Publisher", "user.email": "publisher@example.org",
                        "init.defaultBranch": "main", "protocol.file.allow": "always"}.items():
        git(tmp_path, "config", "--global", name, value)
    return tmp_path


def git(where, *args, check=True):
    done = subprocess.run(["git", *args], cwd=where, **QUIETLY)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release as release/archive.sh lays it out, behind a URL; what the workflow has to be told of it."""
    name = WORKFLOW["env"]["TENSORGATE_ARCHIVE"]
    place = tmp_path_factory.mktemp("release")
    archive = place / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(PROGRAM, f"{name}/bin/tensorgate")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {"TENSORGATE_URL": place.as_uri(), "TENSORGATE_ARCHIVE": name, "TENSORGATE_SHA256": digest}


@pytest.fixture
def repository(home):
    """A clone's worth of a publisher's repository, with one commit of these files more than nothing."""
    origin = home / "origin"

    def commit(files):
        if not origin.exists():
            git(home, "init", "--quiet", origin)
        for name, content in files.items():
            file = origin / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(origin, "add", "--all")
        git(origin, "commit", "--quiet", "--message", "Publish")
        return origin

    return commit


GOOD = {
    ".github/workflows/tensorgate.yml": (RECIPE / "tensorgate.yml").read_text(),
    "README.md": "Trained by us.\n",
    "train.py": "print('not part of the policy')\n",
    "policy/config.json": '{"type": "mlp"}\n',
    "policy/model.safetensors": weights(1.0, -1.0),
}
PICKLE = {**GOOD, "policy/model.safetensors": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01x\x94."}
BACKBONE = {
    **GOOD,
    "policy/config.json": json.dumps({"type": "act", "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1"}),
}
DECLARED = """[[externals]]
field = "config.json#/pretrained_backbone_weights"
name = "ResNet18_Weights.IMAGENET1K_V1"
decision = "absent"
reason = "the policy's own weights replace the backbone"
"""


def at_the_top(files):
    """The same as a repository that is the policy."""
    return {name.removeprefix("policy/"): content for name, content in files.items() if name != "train.py"}


def workflow_of_the_whole():
    """The workflow for such a repository, changed as the page says."""
    page = (ROOT / "docs/policy-repositories.md").read_text()
    block = page.split("**A repository that is the policy**")[1].split("```console\n")[1].split("```")[0]
    script = "".join(line.removeprefix("$ ") for line in block.splitlines(keepends=True))
    changed = copy.deepcopy(WORKFLOW)
    changed["env"]["POLICY"] = "."
    steps = changed["jobs"]["audit"]["steps"]
    (audit,) = (number for number, step in enumerate(steps) if step.get("name") == "Audit")
    steps[audit]["env"] = {"POLICY": "${{ runner.temp }}/policy"}
    steps.insert(audit, {"name": "Take the policy", "run": script})
    return changed


@pytest.fixture
def claiming(home):
    """A policy that names a backbone, and a manifest in it, by some key, that says it is not needed."""
    policy = home / "claiming"
    policy.mkdir()
    for name, content in BACKBONE.items():
        if name.startswith("policy/"):
            (policy / Path(name).name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (home / "declared.toml").write_text(DECLARED)
    what = ["--repo", "some/body", "--revision", "0" * 40, "--sequence", "1", "--expires", "2099-01-01T00:00:00Z"]
    for command in (["keygen", "--out", "some"],
                    ["sign", policy, "--key", "some.key.pem", "--externals", "declared.toml", *what]):
        done = subprocess.run([PROGRAM, *command], cwd=home, **QUIETLY)
        assert done.returncode == 0, done.stderr
    return {**BACKBONE, "policy/policy.dsse.json": (policy / "policy.dsse.json").read_bytes()}


class Run:
    """One run of the workflow's job: its `run` steps, in order, with the shell as GitHub calls it. The actions are GitHub's;
    the first of them is the clone."""

    def __init__(self, home, origin, environment, workflow=WORKFLOW):
        self.temp = home / "runner"
        self.temp.mkdir()
        self.checkout = self.temp / "checkout"
        self.summary = self.temp / "summary.md"
        clone = git(self.temp, "clone", "--quiet", origin.as_uri(), self.checkout)
        assert clone.returncode == 0
        self.path, self.said, self.failed = self.temp / "path", "", None
        self.environment = {**os.environ, **workflow["env"], **environment, "RUNNER_TEMP": str(self.temp),
                            "GITHUB_PATH": str(self.path), "GITHUB_STEP_SUMMARY": str(self.summary)}
        for step in workflow["jobs"]["audit"]["steps"]:
            if "run" in step and (self.failed is None or "!cancelled()" in step.get("if", "")):
                self.step(step)

    def step(self, step):
        added = self.path.read_text().split() if self.path.exists() else []
        own = {name: value.replace("${{ runner.temp }}", str(self.temp)) for name, value in step.get("env", {}).items()}
        environment = {**self.environment, **own, "PATH": ":".join([*added, self.environment["PATH"]])}
        script = self.temp / "step"
        script.write_text(step["run"])
        named = step.get("shell", WORKFLOW.get("defaults", {}).get("run", {}).get("shell", UNNAMED))
        shell = SHELLS.get(named, named)
        command = [word.replace("{0}", str(script)) for word in shell.split()]
        done = subprocess.run(command, cwd=self.checkout, env=environment, **QUIETLY)
        self.said += done.stdout + done.stderr
        if done.returncode and self.failed is None:
            self.failed = (step["name"], done.returncode)

    def sarif(self):
        return json.loads((self.temp / "tensorgate.sarif").read_text())["runs"][0]["results"]


def test_a_policy_passes_and_leaves_its_report(home, release, repository):
    run = Run(home, repository(GOOD), release)
    assert run.failed is None, run.said
    assert "passed: \"policy\"" in run.summary.read_text()
    assert run.sarif() == []
    assert "<html" in (run.temp / "tensorgate.html").read_text()


def test_a_pickle_fails_the_job_and_is_shown(home, release, repository):
    run = Run(home, repository(PICKLE), release)
    assert run.failed == ("Audit", 1), run.said
    (result,) = run.sarif()
    assert result["ruleId"] == "format-pickle"
    (location,) = result["locations"]
    # As the repository calls the file: the page shows the finding there.
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "policy/model.safetensors"
    assert "    rejected: format-pickle" in run.summary.read_text()
    assert "format-pickle" in (run.temp / "tensorgate.html").read_text()


def test_what_loading_would_pull_in_is_declared(home, release, repository):
    run = Run(home, repository(BACKBONE), release)
    assert run.failed == ("Audit", 1) and "external-unpinned" in run.said
    shutil.rmtree(run.temp)
    assert Run(home, repository({"externals.toml": DECLARED}), release).failed is None


def test_what_a_manifest_in_the_policy_declares_is_nobodys_word(home, release, repository, claiming, monkeypatch):
    """Who sends a pull request writes that file, too, and it is no file that somebody has to approve."""
    origin = repository(claiming)
    run = Run(home, origin, release)
    assert run.failed == ("Audit", 1) and "external-unpinned" in run.said, run.said
    command = ["bash", RECIPE / "audit.sh"]
    done = subprocess.run(command, cwd=origin, env={**os.environ, **release}, **QUIETLY)
    assert done.returncode == 1 and "external-unpinned" in done.stderr, done.stderr
    pushed = Pushed(home, origin, monkeypatch)
    done = pushed.push()
    assert done.returncode == 1 and "external-unpinned" in done.stderr and not pushed.has(), done.stderr


def test_a_pointer_is_no_policy_and_says_what_it_is(home, release, repository):
    """What a checkout without `lfs: true` leaves."""
    content = GOOD["policy/model.safetensors"]
    pointer = POINTER.format(hashlib.sha256(content).hexdigest(), len(content))
    run = Run(home, repository({**GOOD, "policy/model.safetensors": pointer}), release)
    assert run.failed == ("Audit", 1)
    assert "format-unknown" in run.said and "`git lfs pull`" in run.said, run.said
    assert WORKFLOW["jobs"]["audit"]["steps"][0]["with"]["lfs"] is True


def test_another_archive_is_not_run(home, release, repository):
    run = Run(home, repository(GOOD), {**release, "TENSORGATE_SHA256": "0" * 64})
    assert run.failed == ("Install tensorgate", 1)
    assert not run.path.exists() and not (run.temp / release["TENSORGATE_ARCHIVE"]).exists()
    # As it is in this repository, before a release fills it in, it runs nothing either.
    assert WORKFLOW["env"]["TENSORGATE_SHA256"] == "0" * 64


def test_a_name_is_no_markdown(home, release, repository):
    run = Run(home, repository({**GOOD, "policy/```\n# <b>x": "x"}), release)
    assert run.failed == ("Audit", 1)
    assert all(line.startswith("    ") for line in run.summary.read_text().splitlines())


def test_a_name_is_no_order_to_the_runner(home, release, repository):
    """It takes orders from what a step says, one of its two forms anywhere in a line."""
    order = "##[add-mask]rejected"
    for files in (GOOD, {**GOOD, f"policy/{order}": "x"}):
        run = Run(home, repository(files), release)
        begin = run.said.index("::stop-commands::")
        word = run.said[begin:].split("::")[2].split()[0]
        assert len(word) == 32
        end = run.said.index(f"::{word}::", begin + 1)
        assert begin < run.said.index("passed" if files is GOOD else order) < end
        assert run.said.count(order) == run.said.count(order, begin, end)
        shutil.rmtree(run.temp)
    assert run.failed == ("Audit", 1)


def test_the_workflow_can_do_little(home):
    assert WORKFLOW["permissions"] == {}
    assert WORKFLOW["jobs"]["audit"]["permissions"] == {"contents": "read", "security-events": "write"}
    # YAML 1.1 reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"push", "pull_request"}
    text = (RECIPE / "tensorgate.yml").read_text()
    assert "secrets." not in text and "${{ github.event.pull_request.title" not in text
    for step in WORKFLOW["jobs"]["audit"]["steps"]:
        # A tag of somebody else's can be moved, a commit can not; and no expression is pasted into a script.
        assert len(step["uses"].split("@")[1]) == 40 if "uses" in step else "${{" not in step["run"]


def test_a_repository_that_is_the_policy_is_judged_without_its_workflow(home, release, repository):
    origin = repository({**at_the_top(BACKBONE), "externals.toml": DECLARED})
    run = Run(home, origin, release, workflow_of_the_whole())
    assert run.failed is None, run.said
    assert "3 files" in run.said


def test_no_attribute_of_a_commit_hides_a_file_or_changes_one(home, release, repository):
    pickle = PICKLE["policy/model.safetensors"]
    for files in ({".gitattributes": "*.pkl export-ignore\n", "evil.pkl": pickle},
                  {"more/.gitattributes": "* export-ignore\n", "more/evil.pkl": pickle}):
        run = Run(home, repository({**at_the_top(GOOD), **files}), release, workflow_of_the_whole())
        assert run.failed == ("Audit", 1), run.said
        places = {result["ruleId"]: result["locations"][0]["physicalLocation"] for result in run.sarif()}
        (evil,) = (name for name in files if name.endswith(".pkl"))
        # As the repository calls it.
        assert places["format-pickle"]["artifactLocation"]["uri"] == evil
        shutil.rmtree(run.temp)
    card = "made of $Format:%H$\n"
    origin = repository({".gitattributes": "*.md export-subst\n", "NOTES.md": card})
    run = Run(home, origin, release, workflow_of_the_whole())
    assert (run.temp / "policy/NOTES.md").read_text() == card


def test_actionlint_has_nothing_to_say():
    lint = shutil.which("actionlint", path=f"{ROOT}/.ros/lint/bin:{os.environ['PATH']}")
    if not lint:
        pytest.skip("NOT TRIED: actionlint is missing (bash ros/setup.sh ensure_lint)")
    done = subprocess.run([lint, RECIPE / "tensorgate.yml"], **QUIETLY)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("files", "status"), [(GOOD, 0), (PICKLE, 1)])
def test_the_script_does_the_same_elsewhere(home, release, repository, files, status):
    clone = home / "clone"
    git(home, "clone", "--quiet", repository(files).as_uri(), clone)
    command = ["bash", RECIPE / "audit.sh"]
    done = subprocess.run(command, cwd=clone, env={**os.environ, **release}, **QUIETLY)
    assert done.returncode == status, done.stdout + done.stderr
    results = json.loads((clone / "tensorgate.sarif").read_text())["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["format-pickle"] * status
    assert (clone / "tensorgate.html").exists()


@pytest.mark.parametrize("wrong", [{"TENSORGATE_SHA256": "0" * 64}, {"TENSORGATE_URL": "file:///nowhere"}, {}])
def test_the_script_cannot_check_without_the_release(home, release, repository, wrong):
    environment = {**os.environ, **(release if wrong else {}), **wrong}
    command = ["bash", RECIPE / "audit.sh"]
    done = subprocess.run(command, cwd=repository(GOOD), env=environment, **QUIETLY)
    assert done.returncode == 2


class Pushed:
    """A publisher's clone with the hook, and where it pushes to."""

    def __init__(self, home, origin, monkeypatch):
        self.clone, self.far = home / "clone", home / "far.git"
        git(home, "init", "--quiet", "--bare", self.far)
        git(home, "clone", "--quiet", "--origin", "elsewhere", origin.as_uri(), self.clone)
        git(self.clone, "remote", "add", "origin", self.far.as_uri())
        shutil.copy(RECIPE / "pre-push", self.clone / ".git/hooks/pre-push")
        monkeypatch.setenv("PATH", f"{PROGRAM.parent}:{os.environ['PATH']}")

    def push(self):
        return git(self.clone, "push", "origin", "main", check=False)

    def has(self):
        return git(self.far, "rev-parse", "--verify", "--quiet", "main", check=False).stdout.strip()


def test_the_hook_lets_a_policy_out_and_keeps_a_pickle_in(home, repository, monkeypatch):
    pushed = Pushed(home, repository(GOOD), monkeypatch)
    done = pushed.push()
    assert done.returncode == 0 and "passed" in done.stderr, done.stderr
    first = pushed.has()
    assert first
    (pushed.clone / "policy/model.safetensors").write_bytes(PICKLE["policy/model.safetensors"])
    git(pushed.clone, "commit", "--quiet", "--all", "--message", "Worse")
    # What lies in the checkout is not what is judged.
    (pushed.clone / "policy/model.safetensors").write_bytes(GOOD["policy/model.safetensors"])
    done = pushed.push()
    assert done.returncode == 1 and "format-pickle" in done.stderr, done.stderr
    assert pushed.has() == first


def test_a_repository_that_is_the_policy_leaves_out_the_rest(home, repository, monkeypatch):
    ignored = ".github export-ignore\n"
    pushed = Pushed(home, repository({**at_the_top(GOOD), ".gitattributes": ignored}), monkeypatch)
    git(pushed.clone, "config", "tensorgate.policy", ".")
    done = pushed.push()
    assert done.returncode == 0 and "passed" in done.stderr, done.stderr
    assert "note: not judged, since .gitattributes leaves it out: .github/workflows/tensorgate.yml\n" in done.stderr


def test_the_hook_judges_each_branch_of_a_push(home, repository, monkeypatch):
    pushed = Pushed(home, repository(GOOD), monkeypatch)
    git(pushed.clone, "branch", "good")
    (pushed.clone / "policy/model.safetensors").write_bytes(PICKLE["policy/model.safetensors"])
    git(pushed.clone, "commit", "--quiet", "--all", "--message", "Worse")
    for branches in (("good", "main"), ("main", "good")):
        done = git(pushed.clone, "push", "origin", *branches, check=False)
        assert done.returncode == 1 and "format-pickle" in done.stderr, done.stderr
    assert not pushed.has()


def test_files_of_git_lfs_are_judged_not_their_pointers(home, release, repository, monkeypatch):
    if git(home, "lfs", "version", check=False).returncode:
        pytest.skip("NOT TRIED: git-lfs is missing (apt install git-lfs)")
    git(home, "lfs", "install")
    attributes = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    origin = repository({**GOOD, ".gitattributes": attributes})
    assert git(origin, "show", "HEAD:policy/model.safetensors").stdout.startswith("version https://git-lfs")
    run = Run(home, origin, release)
    assert run.failed is None, run.said
    shutil.rmtree(run.temp)
    # As with `lfs: false`.
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    run = Run(home, origin, release)
    assert run.failed == ("Audit", 1) and "`git lfs pull`" in run.said, run.said
    monkeypatch.delenv("GIT_LFS_SKIP_SMUDGE")

    # Through the hook, and beside git-lfs's own work, which is its too.
    pushed = Pushed(home, origin, monkeypatch)
    done = pushed.push()
    assert done.returncode == 0 and "passed" in done.stderr, done.stderr
    assert list((pushed.far / "lfs/objects").rglob("*"))
