"""Attacks on what the files say: configuration, pipelines, and what they would fetch."""

import json

from .lerobot import (
    POST_STATE,
    PRE,
    PRE_STATE,
    config,
    document,
    normalizer,
    postprocessor,
    preprocessor,
    state,
    step,
)
from .manifest import REVISION
from .notation import file, text
from .policy import beside

NAMES, REMOTE, EXTERNAL = "config-names-code", "remote-code-requested", "external-unpinned"
UNKNOWN, UNSAFE, DEGENERATE, INDEX = (
    "processor-unknown",
    "processor-state-unsafe",
    "normalizer-degenerate",
    "weights-index-invalid",
)


def codes():
    """Fields that name code."""
    for field, value, gain in (
        ("auto_map", {"AutoModel": "modeling_x.Model"}, "Imports a module of the repository."),
        ("custom_pipelines", {"walk": {"impl": "x.Pipe"}}, "Imports a module of the repository."),
        ("custom_pipeline", "acme/pipe", "Fetches and runs a pipeline."),
        ("_target_", "os.system", "Any callable, called with the fields beside it."),
        ("class", "os.system", "Any callable, called with the fields beside it."),
        ("class_name", "Lambda", "A layer that is a function."),
        ("module", "os", "Imported."),
        ("_attn_implementation_internal", "acme/kernels", "Fetches and runs a kernel."),
        ("tokenizer_class", "evil.Tokenizer", "A path to a class, imported."),
        ("chat_template", "{{ cycler.__init__.__globals__.os.system('id') }}", "A program of a template language."),
    ):
        name = field.strip("_")
        # What has the form of a Hub id names something to fetch, besides.
        also = {"also": EXTERNAL} if value in ("acme/pipe", "acme/kernels") else {}
        yield beside(f"config_{name}", NAMES, gain, config(**{field: value}), subject=f"config.json#/{field}", **also)
        yield beside(
            f"config_{name}_below",
            NAMES,
            "The same, where nobody looks.",
            config(text_config={"layers": [{field: value}]}),
            subject=f"config.json#/text_config/layers/0/{field}",
            **also,
        )
    yield beside(
        "config_class_of_another_case",
        NAMES,
        "Readers that ignore case find it.",
        config(Auto_Map={"AutoModel": "x.Y"}),
    )
    yield beside(
        "config_auto_map_escaped",
        NAMES,
        "Equal only after unescaping.",
        file(
            "config.json",
            text('{"type": "act", "auto\\u005fmap": {"AutoConfig": "x.Y"}, "pretrained_backbone_weights": null}'),
        ),
        subject="config.json#/auto_map",
    )
    for path in ("tokenizer_config.json", "generation_config.json", "train_config.json"):
        yield beside(
            f"auto_map_in_{path.split('.')[0]}",
            NAMES,
            "The same rule for every document.",
            file(path, document({"auto_map": {"AutoTokenizer": ["x.Y", None]}})),
            subject=f"{path}#/auto_map",
        )
    yield beside(
        "chat_template_in_tokenizer_config",
        NAMES,
        "A program of a template language, run for each prompt.",
        file("tokenizer_config.json", document({"chat_template": "{% for m in messages %}{{ m }}{% endfor %}"})),
    )
    for what, value in (("true", True), ("text", "true"), ("number", 1), ("list", [1])):
        yield beside(
            f"config_trust_remote_code_{what}",
            REMOTE,
            "The loader runs what the repository, or another one, brings.",
            config(trust_remote_code=value),
            subject="config.json#/trust_remote_code",
        )
    yield beside(
        "config_trust_remote_code_below",
        REMOTE,
        "The same, where nobody looks.",
        config(vlm={"trust_remote_code": True}),
        subject="config.json#/vlm/trust_remote_code",
    )


def pipelines():
    def pre(name, expect, comment, *steps, subject=None, also=None, more=(), **fields):
        head = {} if subject is None else {"subject": f"{PRE}.json#/steps/3{subject}"}
        head |= {} if also is None else {"also": also}
        return beside(name, expect, comment, preprocessor(*steps, **fields), *more, **head)

    plain = normalizer()
    yield pre(
        "step_class",
        NAMES,
        "Any callable of any module, called with the step's settings.",
        {"class": "os.system", "config": {"command": "id"}},
        plain,
        subject="/class",
        also=UNKNOWN,
    )
    yield pre(
        "step_class_beside_name",
        NAMES,
        "A known step, and a class beside it.",
        plain | {"class": "os.system"},
        subject="/class",
    )
    for what, name in (
        ("unknown", "acme_step"),
        ("of_another_case", "Normalizer_Processor"),
        ("of_a_module", "os.system"),
        ("empty", ""),
        ("with_space", "normalizer_processor "),
    ):
        yield pre(
            f"step_{what}",
            UNKNOWN,
            "A step that another package registers under this name.",
            step(name),
            plain,
            subject="",
        )
    for name in (
        "current_processor",
        "render_messages_processor",
        "inverse_kinematics_ee_to_joints",
        "add_teleop_action_as_info",
    ):
        yield pre(
            f"step_live_{name}",
            UNKNOWN,
            "A step that needs a live object: only a robot's own code may add it.",
            step(name),
            plain,
            subject="",
        )
    for name, settings in (
        ("groot_n1_7_vlm_encode_v1", {"model_name": "nvidia/GR00T"}),
        ("topreward_encoder", {"vlm_name": "Qwen/Qwen3-VL"}),
        ("robometer_encoder", {"base_model_id": "a/b"}),
    ):
        yield beside(
            f"step_code_{name}",
            REMOTE,
            "A step that runs the code of what it loads.",
            preprocessor(step(name, settings), plain),
            also=EXTERNAL,
        )
    yield pre(
        "step_trust_remote_code",
        REMOTE,
        "A setting of a step.",
        step("tokenizer_processor", {"tokenizer_name": "a/b", "trust_remote_code": True}),
        plain,
        more=[absent("tokenizer_name", "a/b")],
    )
    yield pre("step_without_name", UNKNOWN, "Nothing says which step this is.", {"config": {}}, plain, subject="")
    yield pre("step_is_text", UNKNOWN, "No step.", "normalizer_processor", plain, subject="")
    yield pre(
        "step_with_unknown_field",
        UNKNOWN,
        "A field of a later version, of a meaning that is not known.",
        plain | {"overrides": {}},
        subject="",
    )
    yield pre(
        "pipeline_with_unknown_field",
        UNKNOWN,
        "A field of a later version, of a meaning that is not known.",
        plain,
        hooks=[],
    )
    for path in ("processor_config.json", "preprocessor_config.json", "vocab.json"):
        hidden = step("action_tokenizer_processor", {"action_tokenizer_name": "acme/code"})
        yield beside(
            f"pipeline_in_{path.split('.')[0]}",
            UNKNOWN,
            "A pipeline in a file that is not called so: its steps run code all the same.",
            file(path, document({"name": PRE, "steps": [hidden]})),
            subject=f"{path}#/steps",
        )
    yield beside(
        "pipeline_without_steps",
        UNKNOWN,
        "Nothing is normalised: raw values reach the network.",
        file(f"{PRE}.json", document({"name": PRE})),
        also=UNSAFE,
    )
    for what, value in (
        ("climbing", "../other/state.safetensors"),
        ("absolute", "/tmp/state.safetensors"),
        ("missing", "policy_preprocessor_step_9_normalizer_processor.safetensors"),
        ("weights", "model.safetensors"),
        ("config", "config.json"),
        ("dotted", f"./{PRE_STATE}"),
        ("number", 3),
        ("empty", ""),
    ):
        expect = UNKNOWN if what == "number" else UNSAFE
        also = DEGENERATE if expect == UNSAFE else f"{DEGENERATE} {UNSAFE}"
        yield beside(
            f"state_file_{what}",
            expect,
            "Statistics from elsewhere: they scale what the motors get.",
            preprocessor(normalizer(state=value)),
            also=also,
        )
    yield beside(
        "state_that_nobody_loads",
        UNSAFE,
        "Statistics for a step that a later edit of the pipeline adds.",
        state(f"{PRE}_step_5_normalizer_processor.safetensors"),
    )
    inline = {"action": {"mean": [9.0, 9.0], "std": [9.0, 9.0]}}
    yield beside(
        "statistics_inline",
        UNSAFE,
        "Numbers in a second place.",
        preprocessor(normalizer(config={"stats": inline})),
    )
    yield beside(
        "statistics_inline_of_the_action",
        UNSAFE,
        "The same where actions are scaled.",
        postprocessor(normalizer("unnormalizer_processor", POST_STATE, {"stats": inline})),
    )
    for what, artifacts in (
        ("of_another_setting", {"features": "tokenizer"}),
        ("climbing", {"tokenizer_name": "../tokenizer"}),
        ("absolute", {"tokenizer_name": "/tmp"}),
        ("of_nothing", {"tokenizer_name": "absent"}),
    ):
        yield beside(
            f"artifact_{what}",
            UNSAFE,
            "A directory of the attacker's in place of a setting.",
            preprocessor(step("tokenizer_processor", {"tokenizer_name": "a/b"}, artifacts=artifacts), plain),
            absent("tokenizer_name", "a/b"),
        )


def absent(setting, name, place=f"{PRE}.json#/steps/3/config"):
    entry = {"field": f"{place}/{setting}", "name": name, "decision": "absent", "reason": "it is on the robot"}
    return ("file ../externals.json", text(json.dumps([entry])))


def externals():
    field, name = "config.json#/vlm_model_name", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
    smol = config(type="smolvla", vlm_model_name=name)
    declared = lambda **entry: ("file ../externals.json", text(json.dumps([{"field": field, "name": name} | entry])))
    pin = {
        "decision": "pinned",
        "repo": name,
        "revision": REVISION,
        "files": [{"path": "config.json", "size": 1, "sha256": "0" * 64}],
    }
    yield beside(
        "external_not_declared",
        EXTERNAL,
        "A second model is fetched when the policy is loaded; nobody signed it.",
        smol,
        subject=field,
    )
    yield beside(
        "external_by_default", EXTERNAL, "Not named, and fetched all the same.", config(type="smolvla"), subject=field
    )
    yield beside(
        "external_backbone",
        EXTERNAL,
        "Weights of a backbone, fetched when the policy is loaded.",
        config(pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1"),
        subject="config.json#/pretrained_backbone_weights",
    )
    yield beside(
        "external_base_policy",
        EXTERNAL,
        "The weights of another repository in place of these.",
        config(pretrained_path="acme/other"),
        subject="config.json#/pretrained_path",
    )
    yield beside(
        "external_of_unknown_type",
        EXTERNAL,
        "A type that nobody knows: a field that is called so names something.",
        config(type="acme_policy", vision_backbone=None, vision_encoder="acme/encoder"),
        subject="config.json#/vision_encoder",
    )
    yield beside(
        "external_adapter",
        EXTERNAL,
        "An adapter on top of a policy that is elsewhere.",
        file("adapter_config.json", document({"base_model_name_or_path": "acme/base", "peft_type": "LORA"})),
        config(use_peft=True),
        subject="adapter_config.json#/base_model_name_or_path",
    )
    yield beside(
        "external_tokenizer_of_an_adapter",
        EXTERNAL,
        "Its tokenizer comes from elsewhere, its base does not.",
        file(
            "adapter_config.json",
            document({"base_model_name_or_path": None, "tokenizer_name_or_path": "acme/tokenizer"}),
        ),
        subject="adapter_config.json#/tokenizer_name_or_path",
    )
    yield beside(
        "external_vocabulary",
        EXTERNAL,
        "A vocabulary from the robot's disk in place of the signed one.",
        file("tokenizer_config.json", document({"tokenizer_class": "BartTokenizer", "vocab_file": "/tmp/vocab.json"})),
        subject="tokenizer_config.json#/vocab_file",
    )
    yield beside(
        "external_tokenizer_of_step",
        EXTERNAL,
        "A tokenizer turns words into what the policy acts on.",
        preprocessor(step("tokenizer_processor", {"tokenizer_name": "google/paligemma-3b-pt-224"}), normalizer()),
        subject=f"{PRE}.json#/steps/3/config/tokenizer_name",
    )
    yield beside(
        "external_local_path",
        EXTERNAL,
        "A path on the robot that somebody else fills.",
        config(pretrained_path="/tmp/policy"),
        subject="config.json#/pretrained_path",
    )
    yield beside(
        "external_declared_absent",
        "accept",
        "The signer decided, and said why.",
        smol,
        declared(decision="absent", reason="the weights replace it"),
    )
    yield beside("external_declared_pinned", "accept", "The signer decided, byte for byte.", smol, declared(**pin))
    yield beside(
        "external_declared_for_another_value",
        EXTERNAL,
        "The decision was about another model.",
        smol,
        declared(**pin | {"name": "acme/other"}),
    )
    yield beside(
        "external_declared_for_another_field",
        EXTERNAL,
        "The decision was about another field.",
        smol,
        declared(**pin | {"field": "config.json#/other"}),
    )
    yield beside(
        "external_that_runs_code",
        REMOTE,
        "A pinned model is loaded together with its code.",
        config(type="gaussian_actor", vision_encoder_name="acme/encoder"),
        (
            "file ../externals.json",
            text(json.dumps([{"field": "config.json#/vision_encoder_name", "name": "acme/encoder"} | pin])),
        ),
    )


def cases():
    for group in (codes, pipelines, externals):
        yield from group()
