"""Names, kinds, JSON, and what files may say together: written from docs/formats/content.md."""

import json
import re

from pipelines import judge_pipelines, judge_shards, judge_statistics
from tensors import walk_pickle
from words import AUDIT, Duplicate, Findings, Rejected, finite, integer, names_code, no, tomllib

EXTERNALS = tomllib.loads((AUDIT / "externals.toml").read_text())


# JSON


def parse_json(data):
    """One value without ambiguity; ValueError, or Duplicate, where it is none."""
    text = data.decode("utf-8")
    if depth(text) > 127:
        raise ValueError("nested too deep")
    value = json.loads(text, object_pairs_hook=unique, parse_constant=no, parse_float=finite, parse_int=integer)
    json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    return value


def depth(text):
    deepest = level = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[][{}]', text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, level)
    return deepest


def unique(pairs):
    fields = {}
    for key, value in pairs:
        if key in fields:
            raise Duplicate(key)
        fields[key] = value
    return fields


# Names and kinds

PLAIN = re.compile(r"[A-Za-z0-9 !$%&'()+,\-.;=@\[\]^_{}~]{1,255}")
DEVICE = re.compile(r"(aux|con|conin\$|conout\$|nul|prn|(com|lpt)[0-9]) *(\..*)?", re.IGNORECASE)


def is_path(text):
    parts = text.split("/")
    return len(parts) <= 16 and all(map(is_component, parts))


def is_component(part):
    return bool(
        PLAIN.fullmatch(part)
        and part.lower() not in (".", "..", ".git", "git~1")
        and part[0] not in " -~"
        and part[-1] not in " ."
        and not DEVICE.fullmatch(part)
    )


NAMES = {".gitattributes": "repository"} | dict.fromkeys(["LICENSE", "LICENSE.txt", "NOTICE"], "card")
MODEL = {
    **dict.fromkeys([f"{x}config.json" for x in ("", "train_", "generation_", "adapter_")], "config"),
    **dict.fromkeys([f"{x}processor_config.json" for x in ("", "pre")], "config"),
    **dict.fromkeys(["model.safetensors", "adapter_model.safetensors"], "weights"),
    "model.safetensors.index.json": "weights-index",
    **dict.fromkeys([f"{x}.json" for x in ("tokenizer", "tokenizer_config", "special_tokens_map")], "tokenizer"),
    **dict.fromkeys(["added_tokens.json", "vocab.json", "merges.txt", "vocab.txt"], "tokenizer"),
}
DATASET = {"parquet": "table", "mp4": "video", "json": "metadata", "jsonl": "metadata", "md": "card"}


def kind_of(path, repo_type):
    name = path.rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    if name in NAMES:
        return NAMES[name]
    if repo_type == "dataset":
        return DATASET.get(ending) if dot else None
    if name in MODEL or not dot:
        return MODEL.get(name)
    if ending == "safetensors":
        shard = re.fullmatch(r"model-[0-9]{5}-of-[0-9]{5}", stem)
        return "processor-state" if "processor_step_" in stem else "weights" if shard else None
    if ending == "json" and stem.endswith("processor"):
        return "processor"
    return {"md": "card", "py": "reviewed-code"}.get(ending)


def is_tensors(kind):
    return kind in ("weights", "processor-state")


def check_other(path, kind, data):
    """A file that is no safetensors."""
    if kind == "table":
        good = len(data) >= 12 and data.startswith(b"PAR1") and data.endswith(b"PAR1")
    elif kind == "video":
        good = data[4:8] == b"ftyp"
    elif kind in ("config", "processor", "weights-index") or path.endswith(".json"):
        return check_json(path, data)
    else:
        good = is_text(data)
    if not good:
        raise Rejected("format-unknown", path)
    starts = {b"#!/": "executable", b"#! /": "executable"}
    starts |= dict.fromkeys([b"version https://git-lfs", b"<!DOCTYPE", b"<!doctype", b"<html"], "unknown")
    for start, what in starts.items() if kind not in ("reviewed-code", "table", "video") else ():
        if data.startswith(start):
            raise Rejected(f"format-{what}", path)
    if kind not in ("reviewed-code", "table", "video") and walk_pickle(data, to_the_end=True):
        raise Rejected("format-pickle", path)


def check_json(path, data):
    if not data.lstrip(b" \t\n\r\f").startswith(b"{"):
        raise Rejected("json-malformed", path)
    try:
        return parse_json(data)
    except Duplicate:
        raise Rejected("json-duplicate-key", path) from None
    except ValueError:
        raise Rejected("json-malformed", path) from None


def is_text(data):
    try:
        return not re.search("[\x00-\x08\x0b\x0e-\x1f]", data.decode())
    except UnicodeDecodeError:
        return False


# What the files say together

CALLED = "adapter backbone checkpoint encoder model_id model_name name_or_path pretrained processor repo_".split()
CALLED += ["tokenizer", "vae", "vlm", "weights"]


def walk(value, place, key, visit):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        own = name if isinstance(name, str) else key
        below = f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"
        if visit(below, own, inner):
            walk(inner, below, own, visit)


def audit(files, declared, content):
    """`files`: path -> (kind, sha256, bytes); `declared`: the predicate's externals and reviews."""
    findings = Findings()
    documents = {path: parse_json(file[2]) for path, file in files.items() if path.endswith(".json")}
    for path, document in documents.items():

        def refuse_code(place, key, value):
            if code := names_code(key, value):
                findings.reject(code, place)
            return code is None

        walk(document, f"{path}#", "", refuse_code)
    judge_code(files, declared["reviewed_code"], content, findings)
    has_code = content.get("reviewed_code", "deny") == "allow" and bool(declared["reviewed_code"])
    steps = judge_pipelines(files, documents, has_code, findings)
    externals = Externals(declared["externals"], has_code, findings)
    for path, document in documents.items():
        externals.judge_document(path, document, files)
    for step in steps:
        externals.judge_step(step)
    judge_statistics(files, documents, steps, content, findings)
    judge_shards(files, documents, findings)
    findings.end()


def judge_code(files, reviews, content, findings):
    code = {path: file for path, file in files.items() if file[0] == "reviewed-code"}
    for path, (_, sha256, _) in code.items():
        read = [review["sha256"] for review in reviews if review["path"] == path]
        if content.get("reviewed_code", "deny") == "deny" or not read:
            findings.reject("code-unreviewed", path)
        elif any(digest != sha256 for digest in read):
            findings.reject("code-changed", path)
    for review in reviews:
        if review["path"] not in code:
            findings.reject("file-missing", review["path"])


class Externals:
    """What loading would pull in, against what the signer decided."""

    def __init__(self, externals, has_code, findings):
        self.decided = {(entry["field"], entry["name"]) for entry in externals}
        self.has_code, self.findings = has_code, findings

    def judge_document(self, path, document, files):
        folder, _, name = path.rpartition("/")
        if name in ("adapter_config.json", "tokenizer_config.json"):
            self.judge_artifacts(f"{path}#", document, EXTERNALS[name.removesuffix("_config.json")])
        if name != "config.json":
            return
        known = EXTERNALS["types"].get(document.get("type") if isinstance(document.get("type"), str) else None)
        artifacts = [*(known or []), *EXTERNALS["every"]]
        self.judge_artifacts(f"{path}#", document, artifacts)
        beside, uses = f"{folder}/adapter_config.json".lstrip("/"), document.get("use_peft")
        if uses is not None and uses is not False and beside not in files:
            self.findings.reject("external-unpinned", f"{path}#/use_peft")
        judged = {*EXTERNALS["records"], *(artifact["field"] for artifact in artifacts)}
        self.judge_strings(f"{path}#", document, known is not None, judged)

    def judge_step(self, step):
        artifacts = [artifact for artifact in step.artifacts if artifact["field"] not in step.brings]
        self.judge_artifacts(f"{step.place}/config", step.config or {}, artifacts)
        judged = {artifact["field"] for artifact in artifacts}
        self.judge_strings(f"{step.place}/config", step.config or {}, True, judged)

    def judge_artifacts(self, root, fields, artifacts):
        for artifact in artifacts:
            field = artifact["field"]
            value, wanted = fields.get(field), artifact.get("always")
            if wanted is None and (field not in fields or value is None and artifact.get("and_null")):
                wanted = artifact.get("default")
            wanted = value if wanted is None else wanted
            if isinstance(wanted, str):
                self.demand(f"{root}/{field}", wanted, artifact.get("code", False))
            elif wanted is not None:
                self.findings.reject("external-unpinned", f"{root}/{field}")

    def judge_strings(self, root, fields, is_known, judged):
        def visit(place, key, value):
            if place.count("/") == root.count("/") + 1 and key in judged:
                return False
            called = not is_known and (len(key.encode()) > 256 or any(part in key.lower() for part in CALLED))
            if isinstance(value, str) and (set(value) & set("/\\") or called and value):
                self.demand(place, value)
            return True

        walk(fields, root, "", visit)

    def demand(self, place, name, brings_code=False):
        if (place, name) not in self.decided:
            self.findings.reject("external-unpinned", place)
        if brings_code and not self.has_code:
            self.findings.reject("remote-code-requested", place)
