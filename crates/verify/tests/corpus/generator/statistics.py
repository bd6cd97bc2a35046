"""Attacks on the statistics that scale what the motors get."""

from .content import DEGENERATE, UNSAFE
from .lerobot import (
    FEATURES,
    MODES,
    POST,
    POST_STATE,
    PRE,
    PRE_STATE,
    STATISTICS,
    config,
    document,
    normalizer,
    postprocessor,
    preprocessor,
    state,
    states,
    step,
)
from .notation import file
from .policy import beside

ACTIONS = [name for name in STATISTICS if name.startswith("action.")]


def cases():
    def of(name, comment, changes=None, without=(), expect=DEGENERATE, **head):
        return beside(f"statistics_{name}", expect, comment, *states(changes, without), **head)

    nan, infinity = float("nan"), float("inf")
    for what, value in (("nan", nan), ("infinite", infinity)):
        for stat in ("mean", "std", "min", "max"):
            yield of(
                f"{stat}_{what}",
                "One such number and every action is meaningless.",
                {f"action.{stat}": (0.5, value)},
                expect="weights-non-finite",
                also=DEGENERATE,
            )
    yield of("std_negative", "The action's sign turns: the joint moves the other way.", {"action.std": (1.0, -2.0)})
    yield of("min_above_max", "The action's sign turns.", {"action.min": (-1.0, 4.0)})
    yield of("of_one_value", "Broadcast: one joint's scale for all.", {"action.mean": (0.5,), "action.std": (1.0,)})
    yield of(
        "of_three_values", "Shaped for another robot.", {"action.mean": (0.5, 0.5, 0.5), "action.std": (1.0, 1.0, 1.0)}
    )
    yield of(
        "without_action",
        "A feature without statistics passes unscaled: the motors get what the network says.",
        without=ACTIONS,
    )
    yield of("without_std", "Half of what the mode needs.", without=["action.std"])
    yield of("of_integers", "Whole numbers are numbers.", {"action.mean": ("I64", [2], bytes(16))}, expect="accept")
    yield of(
        "constant",
        "A joint that never moved in the data: told, and let pass.",
        {"action.std": (1.0, 0.0)},
        expect="accept",
        notice=DEGENERATE,
    )
    yield of(
        "constant_and_denied",
        "The operator does not let it pass.",
        {"action.std": (1.0, 0.0)},
        content='constant_statistics = "deny"',
    )
    yield of(
        "almost_constant",
        "As good as 0 and not 0, so that an operator who lets no constant pass would let it.",
        {"action.std": (1.0, 1e-30)},
        content='constant_statistics = "deny"',
    )
    yield of(
        "range_infinite",
        "Both ends are finite, and their distance is not: nor are the actions.",
        {"action.min": (-1.0, -3e38), "action.max": (1.0, 3e38)},
    )
    yield of(
        "of_an_index",
        "Columns that are saved along, constant by nature.",
        {"index.std": (0.0,), "index.mean": (0.0,)},
        expect="accept",
        notice=DEGENERATE,
    )
    yield beside(
        "statistics_of_two_data_sets",
        DEGENERATE,
        "Before and after the network they are not the same: files of two policies.",
        state(POST_STATE, {"action.mean": (0.75, -0.5)}),
    )
    yield beside(
        "statistics_name_without_dot",
        DEGENERATE,
        "A name that says of nothing what it is.",
        *states({"mean": (0.0, 0.0)}),
    )
    quantiles = {"action.q01": (-1.0, -1.0), "action.q99": (1.0, -2.0)}
    of_mode = lambda mode: (
        preprocessor(normalizer(config={"norm_map": MODES | {"ACTION": mode}})),
        postprocessor(normalizer("unnormalizer_processor", POST_STATE, {"norm_map": MODES | {"ACTION": mode}})),
    )
    yield beside(
        "statistics_quantiles_reversed",
        DEGENERATE,
        "q01 above q99: the sign turns.",
        *of_mode("QUANTILES"),
        *states(quantiles),
    )
    yield beside("statistics_quantiles_missing", DEGENERATE, "What the mode needs is not there.", *of_mode("QUANTILES"))
    yield beside(
        "statistics_range_equal",
        "accept",
        "A constant joint in the other mode.",
        *of_mode("MIN_MAX"),
        *states({"action.min": (-1.0, 3.0)}),
        notice=DEGENERATE,
    )
    yield beside(
        "statistics_range_almost_equal",
        DEGENERATE,
        "As good as equal and not equal, so that an operator who lets no constant pass would let it.",
        *of_mode("MIN_MAX"),
        *states({"action.min": (-1.0, 0.0), "action.max": (1.0, 1e-30)}),
        content='constant_statistics = "deny"',
    )
    yield beside(
        "statistics_not_needed",
        "accept",
        "IDENTITY needs none.",
        config(normalization_mapping=MODES | {"ACTION": "IDENTITY"}),
        *of_mode("IDENTITY"),
        *states(without=ACTIONS),
    )
    identity = MODES | {"ACTION": "IDENTITY"}
    yield beside(
        "statistics_actions_left_alone_before",
        "accept",
        "No action comes by before the network, so that a pipeline may say that it leaves them alone.",
        config(normalization_mapping=identity),
        preprocessor(normalizer(config={"norm_map": identity})),
    )
    yield beside(
        "statistics_actions_left_alone",
        DEGENERATE,
        "Both pipelines agree, and the network learned otherwise: the motors get what it says.",
        *of_mode("IDENTITY"),
        subject=f"{POST}.json",
    )
    yield beside("statistics_mode_unknown", DEGENERATE, "A mode that this version does not know.", *of_mode("ZSCORE"))
    yield beside(
        "statistics_without_state_file",
        UNSAFE,
        "Nothing is scaled, and nothing says so.",
        preprocessor(normalizer(state=None)),
        also=DEGENERATE,
    )
    for what, eps in (("zero", 0), ("negative", -1e-08), ("huge", 1.0), ("text", "1e-8"), ("lost_in_32_bits", 1e-50)):
        yield beside(
            f"statistics_eps_{what}",
            DEGENERATE,
            "Added to every divisor: it shrinks each action, or divides by nothing.",
            preprocessor(normalizer(config={"eps": eps})),
        )
    only_state = {"features": {"observation.state": FEATURES["observation.state"]}}
    yield beside(
        "statistics_action_not_declared",
        DEGENERATE,
        "A feature that the step does not declare passes unscaled.",
        postprocessor(normalizer("unnormalizer_processor", POST_STATE, only_state)),
    )
    short = {"features": FEATURES | {"action": {"type": "ACTION", "shape": [1]}}}
    yield beside(
        "statistics_action_shrunk",
        DEGENERATE,
        "Shaped for another robot.",
        postprocessor(normalizer("unnormalizer_processor", POST_STATE, short)),
    )
    yield from declarations()
    yield from sides()


def declarations():
    """What the steps declare is not what the policy has."""

    def both(features, modes=MODES):
        settings = {"features": FEATURES | features, "norm_map": modes}
        back = normalizer("unnormalizer_processor", POST_STATE, settings)
        return preprocessor(normalizer(config=settings)), postprocessor(back)

    as_state = {"action": {"type": "STATE", "shape": [2]}}
    yield beside(
        "statistics_action_of_another_type",
        DEGENERATE,
        "It has statistics, a mode and a shape, and is still scaled as an action: not at all.",
        *both(as_state, MODES | {"ACTION": "IDENTITY"}),
        subject=f"{POST}.json#/steps/0/config/features/action",
    )
    yield beside(
        "statistics_state_of_another_type",
        DEGENERATE,
        "What the robot measures is no longer scaled, and declared all the same.",
        *both({"observation.state": {"type": "ENV", "shape": [2]}}, MODES | {"ENV": "IDENTITY"}),
        subject=f"{POST}.json#/steps/0/config/features/observation.state",
    )
    yield beside(
        "statistics_of_an_action_without_shape",
        DEGENERATE,
        "A fraction of a dimension: nothing that a step declares can be compared with it.",
        config(output_features={"action": {"type": "ACTION", "shape": [2.0]}}),
        subject="config.json#/output_features/action",
    )
    yield beside(
        "statistics_state_broadcast",
        DEGENERATE,
        "One joint's scale for what all of them measure.",
        *both({"observation.state": {"type": "STATE", "shape": [1]}}),
        *states({f"observation.state.{name}": (1.0 if name == "max" else 0.5,) for name in ("mean", "std", "min", "max")}),
    )
    yield beside(
        "statistics_state_not_declared",
        DEGENERATE,
        "What the robot measures reaches the network unscaled.",
        preprocessor(normalizer(config={"features": {"action": FEATURES["action"]}})),
        subject=f"{PRE}.json#/steps/3/config/features/observation.state",
    )
    yield beside(
        "statistics_keys_of_text",
        DEGENERATE,
        "A text where a list is meant: what is in it is scaled, or what is like it.",
        preprocessor(normalizer(config={"normalize_observation_keys": "observation.state.and.more"})),
        subject=f"{PRE}.json#/steps/3/config/normalize_observation_keys",
    )


def sides():
    """Scaled on the wrong side of the network, twice, or in a pipeline that nobody loads."""
    back = normalizer("unnormalizer_processor", POST_STATE)
    yield beside(
        "statistics_sides_swapped",
        DEGENERATE,
        "The motors get what is scaled for the network, and the network what is scaled for the motors.",
        preprocessor(normalizer("unnormalizer_processor", PRE_STATE)),
        postprocessor(normalizer("normalizer_processor", POST_STATE)),
        subject=f"{POST}.json#/steps/0",
    )
    yield beside(
        "statistics_scaled_down_again",
        DEGENERATE,
        "After it was scaled back, it is scaled for the network once more.",
        postprocessor(back, normalizer(state=POST_STATE)),
        subject=f"{POST}.json#/steps/1",
    )
    yield beside(
        "statistics_scaled_twice",
        DEGENERATE,
        "Each motor goes as far as its scale squared.",
        postprocessor(back, back),
        subject=f"{POST}.json#/steps/1/config/features/action",
    )
    only_state = {"features": {"observation.state": FEATURES["observation.state"]}}
    yield beside(
        "statistics_nothing_scales_back",
        "processor-state-unsafe",
        "Neither pipeline speaks of actions, and the network learned them as scaled.",
        preprocessor(normalizer(config=only_state)),
        postprocessor(step("to_batch_processor")),
        state(PRE_STATE, without=ACTIONS),
        subject=POST_STATE,
        also=DEGENERATE,
    )
    yield beside(
        "statistics_in_a_decoy",
        DEGENERATE,
        "Scaled back in a pipeline of another name: the one that is loaded scales nothing.",
        postprocessor(step("to_batch_processor")),
        file("decoy_postprocessor.json", document({"name": POST, "steps": [back]})),
        subject=f"{PRE}.json#/steps/3/config/features/action",
    )
