"""Pipelines, their statistics, and shards: written from docs/formats/content.md."""

import ctypes
import math
import struct
from collections import defaultdict

from tensors import parse_header
from words import AUDIT, LIMITS, names_code, tomllib

STEPS = tomllib.loads((AUDIT / "processor_steps.toml").read_text())
CATEGORIES = ("plain", "plain_dev", "normalizer", "state", "names", "code", "live")
TYPES = ("ACTION", "ENV", "LANGUAGE", "REWARD", "STATE", "VISUAL")
NEEDS = {
    "IDENTITY": (),
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}
STATISTICS = ("count", "max", "mean", "min", "q01", "q10", "q50", "q90", "q99", "std")
RANGES = (("min", "max"), ("q01", "q99"), ("q10", "q90"))
BAD = "normalizer-degenerate"


def folder_of(path):
    return path[: len(path) - len(path.rsplit("/", 1)[-1])]


class Step:
    """A step whose form is known."""

    def __init__(self, path, place, name, fields):
        self.path, self.place, self.name, self.fields = path, place, name, fields
        self.category = next(category for category in CATEGORIES if name in STEPS[category])
        self.config = fields.get("config") if isinstance(fields.get("config"), dict) else None
        artifacts = fields.get("artifacts")
        self.brings = artifacts if isinstance(artifacts, dict) else {}
        self.artifacts = STEPS["artifacts"].get(name, [])
        self.state = None
        self.goes_back = "unnormalizer" in name

    def setting(self, key):
        return (self.config or {}).get(key)


def judge_pipelines(files, documents, has_code, findings):
    """The steps of all pipelines; a fault that has another code already is not named again."""
    steps = []
    for path, document in documents.items():
        if files[path][0] == "processor":
            steps += steps_of(path, document, files, has_code, findings)
        elif isinstance(document.get("steps"), list):
            findings.reject("processor-unknown", f"{path}#/steps")
    loaded = {step.state for step in steps}
    for path, file in files.items():
        if file[0] == "processor-state" and path not in loaded:
            findings.reject("processor-state-unsafe", path)
    return steps


def steps_of(path, document, files, has_code, findings):
    forms = {"name": str, "steps": list}
    for key, value in document.items():
        if not isinstance(value, forms.get(key, ())) and not names_code(key, value):
            findings.reject("processor-unknown", f"{path}#")
    steps = document.get("steps")
    if not isinstance(steps, list) or len(steps) > 64:
        findings.reject("processor-unknown", f"{path}#")
        return []
    made = [
        step_of(path, f"{path}#/steps/{index}", value, files, has_code, findings) for index, value in enumerate(steps)
    ]
    return [step for step in made if step]


def step_of(path, place, value, files, has_code, findings):
    if not isinstance(value, dict):
        return findings.reject("processor-unknown", place)
    forms = {"registry_name": str, "state_file": str, "config": dict, "artifacts": dict}
    for key, inner in value.items():
        if not isinstance(inner, forms.get(key, ())) and not names_code(key, inner):
            findings.reject("processor-unknown", place)
    name = value.get("registry_name")
    if not isinstance(name, str) or not any(name in STEPS[category] for category in CATEGORIES):
        return findings.reject("processor-unknown", place)
    step = Step(path, place, name, value)
    if step.category == "live":
        findings.reject("processor-unknown", place)
    if step.category == "code" and not has_code:
        findings.reject("remote-code-requested", place)
    judge_state(step, files, findings)
    judge_settings(step, findings)
    return step


def judge_state(step, files, findings):
    folder = folder_of(step.path)
    if "state_file" in step.fields:
        name = step.fields["state_file"]
        path = f"{folder}{name}" if isinstance(name, str) and "/" not in name else None
        carries = step.category in ("normalizer", "state")
        if carries and files.get(path, (None,))[0] == "processor-state":
            step.state = path
        else:
            findings.reject("processor-state-unsafe", f"{step.place}/state_file")
    artifacts = step.fields.get("artifacts")
    if artifacts is not None and not isinstance(artifacts, dict):
        return findings.reject("processor-state-unsafe", f"{step.place}/artifacts")
    for key, name in step.brings.items():
        tokenizer = key in ("tokenizer_name", "action_tokenizer_name") and any(
            x["field"] == key for x in step.artifacts
        )
        listed = isinstance(name, str) and name and any(path.startswith(f"{folder}{name}/") for path in files)
        if not tokenizer or not listed:
            findings.reject("processor-state-unsafe", f"{step.place}/artifacts")


def judge_settings(step, findings):
    if step.category in ("normalizer", "state") and "stats" in (step.config or {}):
        findings.reject("processor-state-unsafe", f"{step.place}/config/stats")
    if step.name == "rename_observations_processor" and "rename_map" in (step.config or {}):
        names = list(step.setting("rename_map").values()) if isinstance(step.setting("rename_map"), dict) else [None]
        plain = all(isinstance(name, str) and name and name.isprintable() for name in names)
        if not plain or len(set(names)) < len(names):
            findings.reject("processor-unknown", f"{step.place}/config/rename_map")


# Normalisers


def form_of(value):
    """A feature's type and shape, or None."""
    kind, shape = (value.get("type"), value.get("shape")) if isinstance(value, dict) else (None, None)
    good = isinstance(kind, str) and kind in TYPES and isinstance(shape, list) and len(shape) <= 8
    return (kind, shape) if good and all(type(dim) is int and dim >= 0 for dim in shape) else None


def features_of(step, findings):
    """Name -> (type, shape, mode), as the step declares them."""
    config = step.config or {}

    def refuse(key):
        findings.reject(BAD, f"{step.place}/config/{key}")

    for key in config.keys() - {"eps", "features", "norm_map", "normalize_observation_keys", "stats"}:
        refuse(key)
    eps, scaled, map_ = config.get("eps", 1e-8), config.get("normalize_observation_keys"), config.get("norm_map")
    if type(eps) not in (int, float) or not 1.2e-38 <= eps <= 1e-3:
        refuse("eps")
    if scaled is not None and not (isinstance(scaled, list) and all(isinstance(name, str) for name in scaled)):
        refuse("normalize_observation_keys")
        scaled = None
    if not isinstance(map_, dict) or not all(kind in TYPES and mode in NEEDS for kind, mode in pairs(map_)):
        refuse("norm_map")
    features = config.get("features")
    if not isinstance(features, dict) or len(features) > 256:
        refuse("features")
    made = {}
    for name, value in pairs(features):
        form = form_of(value)
        mode = dict(pairs(map_)).get(form[0]) if form else None
        if mode not in NEEDS or name == "action" and form[0] != "ACTION":
            refuse(f"features/{name}")
            continue
        left = form[0] != "ACTION" and scaled is not None and name not in scaled
        made[name] = (*form, "IDENTITY" if left else mode)
    return made


def pairs(value):
    """The fields of an object whose values are hashable, where they are looked up."""
    items = value.items() if isinstance(value, dict) else ()
    return [(key, inner) for key, inner in items]


class Statistic:
    def __init__(self, path, row, data):
        self.subject, self.dtype, self.shape, self.bytes = f"{path}#{row['name']}", row["dtype"], row["shape"], data

    def values(self):
        code = {"F32": "f", "F64": "d", "I64": "q"}[self.dtype]
        numbers = struct.unpack(f"<{len(self.bytes) // struct.calcsize(code)}{code}", self.bytes)
        return [ctypes.c_float(number).value for number in numbers]


class Normalizer:
    def __init__(self, step, files, findings):
        self.step, self.state = step, defaultdict(dict)
        self.features = features_of(step, findings) if step.category == "normalizer" else {}
        start, rows = parse_header(files[step.state][2], len(files[step.state][2]), LIMITS) if step.state else (0, [])
        for row in rows:
            feature, dot, name = row["name"].rpartition(".")
            known = name in STATISTICS or name == "mask" and step.name.startswith("molmoact2_masked_")
            if dot and known and row["dtype"] in ("F32", "F64", "I64"):
                data = files[step.state][2][start + row["begin"] : start + row["end"]]
                self.state[feature][name] = Statistic(step.state, row, data)
            else:
                findings.reject(BAD, f"{step.state}#{row['name']}")

    def judge(self, constant, findings):
        for name, statistics in self.state.items():
            declared = self.features.get(name)
            counts = declared is not None or self.step.category == "state"
            if name == "action" and not counts:
                findings.reject(BAD, f"{self.step.place}/config/features/action")
            if counts:
                judge_numbers(statistics, declared and NEEDS[declared[2]], constant, findings)
        for name, (kind, shape, mode) in self.features.items():
            statistics = self.state.get(name, {})
            if not set(NEEDS[mode]) <= statistics.keys():
                findings.reject(BAD, f"{self.step.place}/config/features/{name}")
            shapes = [shape] if kind != "VISUAL" or not shape else [[shape[0], 1, 1], [shape[0]]]
            for what, statistic in statistics.items():
                if what != "count" and statistic.shape not in shapes:
                    findings.reject(BAD, statistic.subject)

    def scales(self, name):
        return name in self.features and self.features[name][2] != "IDENTITY"


def judge_numbers(statistics, used, constant, findings):
    for name, statistic in statistics.items():
        values = statistic.values()
        bad = any(not math.isfinite(v) or name == "std" and v < 0 or name == "mask" and v not in (0, 1) for v in values)
        still = name == "std" and (used is None or name in used) and any(0 <= v <= 1e-8 for v in values)
        if bad or still and constant == "deny":
            findings.reject(BAD, statistic.subject)
    for low, high in RANGES:
        if low not in statistics or high not in statistics:
            continue
        subject, both = statistics[low].subject, (statistics[low], statistics[high])
        if both[0].shape != both[1].shape:
            findings.reject(BAD, subject)
            continue
        ends = list(zip(*(statistic.values() for statistic in both), strict=True))
        widths = [ctypes.c_float(b - a).value for a, b in ends]
        finite = all(math.isfinite(w) for w, (a, b) in zip(widths, ends, strict=True) if math.isfinite(a + b))
        still = (used is None or low in used) and any(0 <= width <= 1e-8 for width in widths)
        if any(a > b for a, b in ends) or not finite or still and constant == "deny":
            findings.reject(BAD, subject)


def judge_statistics(files, documents, steps, content, findings):
    constant = content.get("constant_statistics", "warn")
    all_ = [Normalizer(step, files, findings) for step in steps if step.category in ("normalizer", "state")]
    for normalizer in all_:
        normalizer.judge(constant, findings)
    for group in grouped(all_, folder_of):
        agree_on_statistics(group, findings)
        agree_on_features(group, findings)
    for group in grouped(all_, pair_of):
        known = [normalizer for normalizer in group if normalizer.step.category == "normalizer"]
        judge_pair(known, documents, findings)
    for path, config in documents.items():
        if path.rsplit("/", 1)[-1] == "config.json":
            judge_outputs(path, config, all_, documents, findings)
    for path, (kind, _, data) in files.items():
        old = ("normalize_inputs.", "normalize_targets.", "unnormalize_outputs.")
        if kind == "weights" and any(row["name"].startswith(old) for row in parse_header(data, len(data), LIMITS)[1]):
            findings.reject(BAD, path)


def grouped(normalizers, key):
    groups = defaultdict(list)
    for normalizer in normalizers:
        groups[key(normalizer.step.path)].append(normalizer)
    return groups.values()


def pair_of(path):
    return path.removesuffix("postprocessor.json").removesuffix("preprocessor.json")


def agree_on_statistics(group, findings):
    seen = {}
    for normalizer in group:
        for feature, statistics in normalizer.state.items():
            for name, statistic in statistics.items():
                this = (statistic.dtype, statistic.shape, statistic.bytes)
                if seen.setdefault((feature, name), this) != this:
                    findings.reject(BAD, statistic.subject)


def agree_on_features(group, findings):
    seen = {}
    for normalizer in group:
        for name, feature in normalizer.features.items():
            first, declared = seen.setdefault(name, (normalizer, feature))
            free = any(
                not one.step.goes_back and what[0] == "ACTION" and what[2] == "IDENTITY"
                for one, what in ((first, declared), (normalizer, feature))
            )
            if declared[:2] != feature[:2] or not free and declared != feature:
                findings.reject(BAD, f"{normalizer.step.place}/config/features/{name}")


def judge_pair(group, documents, findings):
    scaled = set()
    for one in group:
        if one.step.goes_back != one.step.path.endswith("postprocessor.json"):
            findings.reject(BAD, one.step.place)
        for name, (kind, _, _) in one.features.items():
            if one.scales(name):
                if (one.step.goes_back, name) in scaled:
                    findings.reject(BAD, one.step.place)
                scaled.add((one.step.goes_back, name))
                back = any(other.step.goes_back and name in other.features for other in group)
                if kind == "ACTION" and not one.step.goes_back and not back:
                    findings.reject(BAD, one.step.place)
    config = documents.get(f"{folder_of(group[0].step.path)}config.json") if group else None
    for field, is_output in (("input_features", False), ("output_features", True)):
        for name, value in pairs((config or {}).get(field)):
            judge_configured(group, name, form_of(value), is_output, findings)


def judge_configured(group, name, form, is_output, findings):
    if form is None:
        return findings.reject(BAD, f"config.json#/{name}")
    own = [one for one in group if one.step.goes_back == is_output]
    if form[0] in ("ACTION", "ENV", "STATE") and own and not any(name in one.features for one in own):
        findings.reject(BAD, own[0].step.place)
    for one in group:
        if name in one.features:
            kind, shape, _ = one.features[name]
            covers = len(shape) == len(form[1]) and all(
                has >= wanted for has, wanted in zip(shape, form[1], strict=True)
            )
            if kind != form[0] or kind != "VISUAL" and not covers:
                findings.reject(BAD, one.step.place)


def judge_outputs(path, config, normalizers, documents, findings):
    mapping, outputs = config.get("normalization_mapping"), config.get("output_features")
    mode = mapping.get("ACTION") if isinstance(mapping, dict) else None
    if mode not in NEEDS or mode == "IDENTITY" or not isinstance(outputs, dict) or "action" not in outputs:
        return
    for other in documents:
        if folder_of(other) == folder_of(path) and other.endswith("postprocessor.json"):
            own = [one for one in normalizers if one.step.path == other]
            if not any(one.step.category == "state" or one.step.goes_back and one.scales("action") for one in own):
                findings.reject(BAD, other)


# Shards


def judge_shards(files, documents, findings):
    indexed = {folder_of(path) for path in documents if files[path][0] == "weights-index"}
    for path in documents:
        if files[path][0] == "weights-index":
            judge_index(path, documents[path], files, findings)
    for path, file in files.items():
        if file[0] == "weights" and "-of-" in path.rsplit("/", 1)[-1] and folder_of(path) not in indexed:
            findings.reject("weights-index-invalid", path)


def judge_index(path, index, files, findings):
    wrong = not index.keys() <= {"metadata", "weight_map"}
    map_, folder = index.get("weight_map"), folder_of(path)
    if not isinstance(map_, dict):
        return findings.reject("weights-index-invalid", path)
    beside = {
        p.rsplit("/", 1)[-1]: file[2] for p, file in files.items() if file[0] == "weights" and folder_of(p) == folder
    }
    beside = {name: data for name, data in beside.items() if not name.startswith("adapter")}
    there, size = {}, 0
    for name, data in beside.items():
        for row in parse_header(data, len(data), LIMITS)[1]:
            there.setdefault(row["name"], name)
            size += row["end"] - row["begin"]
            wrong |= map_.get(row["name"]) != name
    named = {name for name in map_.values() if isinstance(name, str)}
    metadata = index.get("metadata")
    said = metadata.get("total_size") if isinstance(metadata, dict) else None
    if wrong or named != beside.keys() or not map_.keys() <= there.keys() or type(said) is not int or said != size:
        findings.reject("weights-index-invalid", path)
