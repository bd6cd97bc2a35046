"""Attacks on what the files say: configuration, pipelines, statistics, shards, code, externals."""

import json

from . import tensors
from .lerobot import (ACT, CONFIG, FEATURES, MODES, MODEL, POST, POST_STATE, PRE, PRE_STATE, STATISTICS, config, document, normalizer,
                      postprocessor, preprocessor, state, states, step)
from .manifest import REVISION, sha256
from .notation import content, file, text
from .policy import CARD, WEIGHTS, beside, case

NAMES, REMOTE, EXTERNAL = "config-names-code", "remote-code-requested", "external-unpinned"
UNKNOWN, UNSAFE, DEGENERATE, INDEX = "processor-unknown", "processor-state-unsafe", "normalizer-degenerate", "weights-index-invalid"


def codes():
    """Fields that name code."""
    for field, value, gain in (
        ("auto_map", {"AutoModel": "modeling_x.Model"}, "Imports a module of the repository."), ("custom_pipelines", {"walk": {"impl": "x.Pipe"}}, "Imports a module of the repository."),
        ("custom_pipeline", "acme/pipe", "Fetches and runs a pipeline."), ("_target_", "os.system", "Any callable, called with the fields beside it."), ("class", "os.system", "Any callable, called with the fields beside it."),
        ("class_name", "Lambda", "A layer that is a function."), ("module", "os", "Imported."), ("_attn_implementation_internal", "acme/kernels", "Fetches and runs a kernel."),
        ("tokenizer_class", "evil.Tokenizer", "A path to a class, imported."), ("chat_template", "{{ cycler.__init__.__globals__.os.system('id') }}", "A program of a template language.")):
        name = field.strip("_")
        # What has the form of a Hub id names something to fetch, besides.
        also = {"also": EXTERNAL} if value in ("acme/pipe", "acme/kernels") else {}
        yield beside(f"config_{name}", NAMES, gain, config(**{field: value}), subject=f"config.json#/{field}", **also)
        yield beside(f"config_{name}_below", NAMES, "The same, where nobody looks.", config(text_config={"layers": [{field: value}]}), subject=f"config.json#/text_config/layers/0/{field}", **also)
    yield beside("config_class_of_another_case", NAMES, "Readers that ignore case find it.", config(Auto_Map={"AutoModel": "x.Y"}))
    yield beside("config_auto_map_escaped", NAMES, "Equal only after unescaping.", file("config.json", text('{"type": "act", "auto\\u005fmap": {"AutoConfig": "x.Y"}, "pretrained_backbone_weights": null}')), subject="config.json#/auto_map")
    for path in ("tokenizer_config.json", "generation_config.json", "train_config.json"):
        yield beside(f"auto_map_in_{path.split('.')[0]}", NAMES, "The same rule for every document.", file(path, document({"auto_map": {"AutoTokenizer": ["x.Y", None]}})), subject=f"{path}#/auto_map")
    yield beside("chat_template_in_tokenizer_config", NAMES, "A program of a template language, run for each prompt.", file("tokenizer_config.json", document({"chat_template": "{% for m in messages %}{{ m }}{% endfor %}"})))
    for what, value in (("true", True), ("text", "true"), ("number", 1), ("list", [1])):
        yield beside(f"config_trust_remote_code_{what}", REMOTE, "The loader runs what the repository, or another one, brings.", config(trust_remote_code=value), subject="config.json#/trust_remote_code")
    yield beside("config_trust_remote_code_below", REMOTE, "The same, where nobody looks.", config(vlm={"trust_remote_code": True}), subject="config.json#/vlm/trust_remote_code")


def pipelines():
    def pre(name, expect, comment, *steps, subject=None, also=None, more=(), **fields):
        head = {} if subject is None else {"subject": f"{PRE}.json#/steps/3{subject}"}
        head |= {} if also is None else {"also": also}
        return beside(name, expect, comment, preprocessor(*steps, **fields), *more, **head)
    plain = normalizer()
    yield pre("step_class", NAMES, "Any callable of any module, called with the step's settings.", {"class": "os.system", "config": {"command": "id"}}, plain, subject="/class", also=UNKNOWN)
    yield pre("step_class_beside_name", NAMES, "A known step in the eyes of one reader, any callable in another's.", plain | {"class": "os.system"}, subject="/class")
    for what, name in (("unknown", "acme_step"), ("of_another_case", "Normalizer_Processor"), ("of_a_module", "os.system"), ("empty", ""), ("with_space", "normalizer_processor ")):
        yield pre(f"step_{what}", UNKNOWN, "A step that another package registers under this name.", step(name), plain, subject="")
    for name in ("current_processor", "render_messages_processor", "inverse_kinematics_ee_to_joints", "add_teleop_action_as_info"):
        yield pre(f"step_live_{name}", UNKNOWN, "A step that needs a live object: only a robot's own code may add it.", step(name), plain, subject="")
    for name, settings in (("groot_n1_7_vlm_encode_v1", {"model_name": "nvidia/GR00T"}), ("topreward_encoder", {"vlm_name": "Qwen/Qwen3-VL"}), ("robometer_encoder", {"base_model_id": "a/b"})):
        yield beside(f"step_code_{name}", REMOTE, "A step that runs the code of what it loads.", preprocessor(step(name, settings), plain), also=EXTERNAL)
    yield pre("step_trust_remote_code", REMOTE, "A setting of a step.", step("tokenizer_processor", {"tokenizer_name": "a/b", "trust_remote_code": True}), plain, more=[absent("tokenizer_name", "a/b")])
    yield pre("step_without_name", UNKNOWN, "Nothing says which step this is.", {"config": {}}, plain, subject="")
    yield pre("step_is_text", UNKNOWN, "No step.", "normalizer_processor", plain, subject="")
    yield pre("step_with_unknown_field", UNKNOWN, "A field of a later version, of a meaning that is not known.", plain | {"overrides": {}}, subject="")
    yield pre("pipeline_with_unknown_field", UNKNOWN, "A field of a later version, of a meaning that is not known.", plain, hooks=[])
    yield beside("pipeline_without_steps", UNKNOWN, "Nothing is normalised: raw values reach the network.", file(f"{PRE}.json", document({"name": PRE})), also=UNSAFE)
    for what, value in (("climbing", "../other/state.safetensors"), ("absolute", "/tmp/state.safetensors"), ("missing", "policy_preprocessor_step_9_normalizer_processor.safetensors"),
                        ("weights", "model.safetensors"), ("config", "config.json"), ("dotted", f"./{PRE_STATE}"), ("number", 3), ("empty", "")):
        expect = UNKNOWN if what == "number" else UNSAFE
        also = DEGENERATE if expect == UNSAFE else f"{DEGENERATE} {UNSAFE}"
        yield beside(f"state_file_{what}", expect, "Statistics from elsewhere: they scale what the motors get.", preprocessor(normalizer(state=value)), also=also)
    yield beside("state_that_nobody_loads", UNSAFE, "Statistics for a step that a later edit of the pipeline adds.", state(f"{PRE}_step_5_normalizer_processor.safetensors"))
    inline = {"action": {"mean": [9.0, 9.0], "std": [9.0, 9.0]}}
    yield beside("statistics_inline", UNSAFE, "They win over the signed file, which is then ignored.", preprocessor(normalizer(config={"stats": inline})))
    yield beside("statistics_inline_of_the_action", UNSAFE, "The same where actions are scaled.", postprocessor(normalizer("unnormalizer_processor", POST_STATE, {"stats": inline})))
    for what, artifacts in (("of_another_setting", {"features": "tokenizer"}), ("climbing", {"tokenizer_name": "../tokenizer"}), ("absolute", {"tokenizer_name": "/tmp"}), ("of_nothing", {"tokenizer_name": "absent"})):
        yield beside(f"artifact_{what}", UNSAFE, "A directory of the attacker's in place of a setting.", preprocessor(step("tokenizer_processor", {"tokenizer_name": "a/b"}, artifacts=artifacts), plain),
                     absent("tokenizer_name", "a/b"))


def absent(setting, name, place=f"{PRE}.json#/steps/3/config"):
    entry = {"field": f"{place}/{setting}", "name": name, "decision": "absent", "reason": "it is on the robot"}
    return ("file ../externals.json", text(json.dumps([entry])))


def statistics():
    def of(name, comment, changes=None, without=(), expect=DEGENERATE, **head):
        return beside(f"statistics_{name}", expect, comment, *states(changes, without), **head)
    nan, infinity = float("nan"), float("inf")
    for what, value in (("nan", nan), ("infinite", infinity)):
        for stat in ("mean", "std", "min", "max"):
            yield of(f"{stat}_{what}", "One such number and every action is meaningless.", {f"action.{stat}": (0.5, value)}, expect="weights-non-finite", also=DEGENERATE)
    yield of("std_negative", "The action's sign turns: the joint moves the other way.", {"action.std": (1.0, -2.0)})
    yield of("min_above_max", "The action's sign turns.", {"action.min": (-1.0, 4.0)})
    yield of("of_one_value", "Broadcast: one joint's scale for all.", {"action.mean": (0.5,), "action.std": (1.0,)})
    yield of("of_three_values", "Shaped for another robot.", {"action.mean": (0.5, 0.5, 0.5), "action.std": (1.0, 1.0, 1.0)})
    yield of("without_action", "A feature without statistics passes unscaled: the motors get what the network says.", without=[name for name in STATISTICS if name.startswith("action.")])
    yield of("without_std", "Half of what the mode needs.", without=["action.std"])
    yield of("of_integers", "Whole numbers are numbers.", {"action.mean": ("I64", [2], bytes(16))}, expect="accept")
    yield of("constant", "A joint that never moved in the data: told, and let pass.", {"action.std": (1.0, 0.0)}, expect="accept", notice=DEGENERATE)
    yield of("constant_and_denied", "The operator does not let it pass.", {"action.std": (1.0, 0.0)}, content='constant_statistics = "deny"')
    yield of("of_an_index", "Columns that are saved along, constant by nature.", {"index.std": (0.0,), "index.mean": (0.0,)}, expect="accept", notice=DEGENERATE)
    yield beside("statistics_of_two_data_sets", DEGENERATE, "Before and after the network they are not the same: files of two policies.", state(POST_STATE, {"action.mean": (0.75, -0.5)}))
    yield beside("statistics_name_without_dot", DEGENERATE, "A name that says of nothing what it is.", *states({"mean": (0.0, 0.0)}))
    quantiles = {"action.q01": (-1.0, -1.0), "action.q99": (1.0, -2.0)}
    of_mode = lambda mode: (preprocessor(normalizer(config={"norm_map": MODES | {"ACTION": mode}})), postprocessor(normalizer("unnormalizer_processor", POST_STATE, {"norm_map": MODES | {"ACTION": mode}})))
    yield beside("statistics_quantiles_reversed", DEGENERATE, "q01 above q99: the sign turns.", *of_mode("QUANTILES"), *states(quantiles))
    yield beside("statistics_quantiles_missing", DEGENERATE, "What the mode needs is not there.", *of_mode("QUANTILES"))
    yield beside("statistics_range_equal", "accept", "A constant joint in the other mode.", *of_mode("MIN_MAX"), *states({"action.min": (-1.0, 3.0)}), notice=DEGENERATE)
    yield beside("statistics_not_needed", "accept", "IDENTITY needs none.", *of_mode("IDENTITY"), *states(without=[name for name in STATISTICS if name.startswith("action.")]))
    yield beside("statistics_mode_unknown", DEGENERATE, "A mode that this version does not know.", *of_mode("ZSCORE"))
    yield beside("statistics_without_state_file", UNSAFE, "Nothing is scaled, and nothing says so.", preprocessor(normalizer(state=None)), also=DEGENERATE)
    for what, eps in (("zero", 0), ("negative", -1e-08), ("huge", 1.0), ("text", "1e-8")):
        yield beside(f"statistics_eps_{what}", DEGENERATE, "Added to every divisor: it shrinks each action, or divides by nothing.", preprocessor(normalizer(config={"eps": eps})))
    only_state = {"features": {"observation.state": FEATURES["observation.state"]}}
    yield beside("statistics_action_not_declared", DEGENERATE, "A feature that the step does not declare passes unscaled.", postprocessor(normalizer("unnormalizer_processor", POST_STATE, only_state)))
    short = {"features": FEATURES | {"action": {"type": "ACTION", "shape": [1]}}}
    yield beside("statistics_action_shrunk", DEGENERATE, "Shaped for another robot.", postprocessor(normalizer("unnormalizer_processor", POST_STATE, short)))


def externals():
    field, name = "config.json#/vlm_model_name", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
    smol = config(type="smolvla", vlm_model_name=name)
    declared = lambda **entry: ("file ../externals.json", text(json.dumps([{"field": field, "name": name} | entry])))
    pin = {"decision": "pinned", "repo": name, "revision": REVISION, "files": [{"path": "config.json", "size": 1, "sha256": "0" * 64}]}
    yield beside("external_not_declared", EXTERNAL, "A second model is fetched when the policy is loaded; nobody signed it.", smol, subject=field)
    yield beside("external_by_default", EXTERNAL, "Not named, and fetched all the same.", config(type="smolvla"), subject=field)
    yield beside("external_backbone", EXTERNAL, "Weights of a backbone, fetched when the policy is loaded.", config(pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1"), subject="config.json#/pretrained_backbone_weights")
    yield beside("external_base_policy", EXTERNAL, "The weights of another repository in place of these.", config(pretrained_path="acme/other"), subject="config.json#/pretrained_path")
    yield beside("external_of_unknown_type", EXTERNAL, "A type that nobody knows: a field that is called so names something.", config(type="acme_policy", vision_backbone=None, vision_encoder="acme/encoder"), subject="config.json#/vision_encoder")
    yield beside("external_adapter", EXTERNAL, "An adapter on top of a policy that is elsewhere.", file("adapter_config.json", document({"base_model_name_or_path": "acme/base", "peft_type": "LORA"})), config(use_peft=True), subject="adapter_config.json#/base_model_name_or_path")
    yield beside("external_tokenizer_of_step", EXTERNAL, "A tokenizer turns words into what the policy acts on.", preprocessor(step("tokenizer_processor", {"tokenizer_name": "google/paligemma-3b-pt-224"}), normalizer()), subject=f"{PRE}.json#/steps/3/config/tokenizer_name")
    yield beside("external_local_path", EXTERNAL, "A path on the robot that somebody else fills.", config(pretrained_path="/tmp/policy"), subject="config.json#/pretrained_path")
    yield beside("external_declared_absent", "accept", "The signer decided, and said why.", smol, declared(decision="absent", reason="the weights replace it"))
    yield beside("external_declared_pinned", "accept", "The signer decided, byte for byte.", smol, declared(**pin))
    yield beside("external_declared_for_another_value", EXTERNAL, "The decision was about another model.", smol, declared(**pin | {"name": "acme/other"}))
    yield beside("external_declared_for_another_field", EXTERNAL, "The decision was about another field.", smol, declared(**pin | {"field": "config.json#/other"}))
    yield beside("external_that_runs_code", REMOTE, "A pinned model is loaded together with its code.", config(type="gaussian_actor", vision_encoder_name="acme/encoder"),
                 ("file ../externals.json", text(json.dumps([{"field": "config.json#/vision_encoder_name", "name": "acme/encoder"} | pin]))))


def shards():
    one = file("model-00001-of-00002.safetensors", tensors.tensors(("a", "F32", [2], tensors.f32(0.5, -1.0))))
    two = file("model-00002-of-00002.safetensors", tensors.tensors(("b", "F32", [1], tensors.f32(0.25))))
    good = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    def of(name, expect, comment, weight_map=good, size=12, parts=(one, two), **fields):
        index = file("model.safetensors.index.json", document({"metadata": {"total_size": size}, "weight_map": weight_map} | fields))
        return case(f"shards_{name}", expect, comment, CARD, index, *parts)
    yield of("good", "accept", "Two shards and their index.")
    yield of("one_missing", INDEX, "Half of the weights; the other half stays random.", parts=[one])
    yield of("one_not_listed", INDEX, "A shard that one loader reads and another does not.", weight_map={"a": good["a"]}, size=8)
    yield of("tensor_elsewhere", INDEX, "The index sends the reader to the wrong shard.", weight_map={"a": good["b"], "b": good["a"]})
    yield of("tensor_twice", INDEX, "One controller takes the first, another the last.", parts=[one, file("model-00002-of-00002.safetensors", tensors.tensors(("b", "F32", [1], tensors.f32(0.25)), ("a", "F32", [2], tensors.f32(9, 9))))], size=20)
    yield of("tensor_missing", INDEX, "A tensor that is in no shard stays random.", weight_map=good | {"c": good["a"]})
    for what, path in (("climbing", "../model.safetensors"), ("absolute", "/tmp/model.safetensors"), ("card", "README.md")):
        yield of(f"path_{what}", INDEX, "Weights from elsewhere.", weight_map=good | {"a": path})
    yield of("size_wrong", INDEX, "A reader allocates what the index says.", size=1 << 40)
    yield of("map_of_numbers", INDEX, "No file names.", weight_map={"a": 1, "b": 2})
    yield of("map_is_list", INDEX, "No map.", weight_map=["a"])
    yield of("unknown_field", INDEX, "A field of a later version.", base="acme/other")
    yield case("shards_without_index", INDEX, "Nothing says which tensors there are.", CARD, one, two)
    yield of("beside_whole_file", INDEX, "Two sets of weights: which loader takes which?", parts=[one, two, file("model.safetensors", tensors.tensors(("c", "F32", [1], tensors.f32(1.0))))])


def code():
    source = text("import torch\n")
    review = lambda pieces, path="modeling.py": ("file ../reviewed_code.json", text(json.dumps([{"path": path, "sha256": sha256(content(pieces)), "reviewer": "Ada", "note": "reads tensors only"}])))
    allow = {"content": 'reviewed_code = "allow"'}
    script = file("modeling.py", source)
    yield beside("code", "code-unreviewed", "A module that the loader imports.", script, subject="modeling.py")
    yield beside("code_reviewed_but_not_allowed", "code-unreviewed", "Reviewed, and this robot's operator lets no code pass.", script, review(source), subject="modeling.py")
    yield beside("code_reviewed", "accept", "Reviewed byte for byte, and the operator lets it pass.", script, review(source), **allow)
    yield beside("code_not_reviewed_but_allowed", "code-unreviewed", "The operator lets reviewed code pass; this is none.", script, **allow)
    yield beside("code_changed", "code-changed", "One line more than the reviewer saw.", file("modeling.py", source + text("import os\n")), review(source), subject="modeling.py", **allow)
    yield beside("code_of_another_name", "code-unreviewed", "The reviewed bytes in a place where they are imported.", file("torch.py", source), review(source), also="file-missing", **allow)
    yield beside("code_in_a_directory", "code-unreviewed", "A package.", file("lerobot/__init__.py", source), subject="lerobot/__init__.py")
    yield beside("code_reviewed_and_missing", "file-missing", "What was reviewed is not there; it is found on the path instead.", review(source), **allow)


def data_sets():
    info = file("meta/info.json", document({"codebase_version": "v3.0", "fps": 30}))
    table = file("data/chunk-000/file-000.parquet", text("PAR1xxxxPAR1"))
    dataset = {"repo_type": "dataset"}
    yield case("dataset", "accept", "Episodes, and what they say of themselves.", info, table, CARD, **dataset)
    yield case("dataset_with_weights", "file-kind-forbidden", "Weights where data is expected.", info, WEIGHTS, **dataset)
    yield case("dataset_table_of_pickle", "format-unknown", "A pickle under the name of a table.", file("data/a.parquet", text("cos\nsystem\n")), **dataset)
    yield case("dataset_table_cut", "format-unknown", "The directory of a table is at its end.", file("data/a.parquet", text("PAR1xxxxxxxx")), **dataset)
    yield case("dataset_video_of_another_form", "format-unknown", "A playlist that names other files.", file("videos/a.mp4", text("#EXTM3U\nfile:///etc/passwd\n")), **dataset)
    yield case("dataset_script", "format-executable", "A loading script that is run.", info, file("walk.py", text("import os\n")), **dataset)


def cases():
    for group in (codes, pipelines, statistics, externals, shards, code, data_sets):
        yield from group()
