"""Attacks on the statistics that scale what the motors get."""

from .content import DEGENERATE, UNSAFE
from .lerobot import (
    FEATURES,
    MODES,
    POST_STATE,
    STATISTICS,
    normalizer,
    postprocessor,
    preprocessor,
    state,
    states,
)
from .policy import beside


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
        without=[name for name in STATISTICS if name.startswith("action.")],
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
        "statistics_not_needed",
        "accept",
        "IDENTITY needs none.",
        *of_mode("IDENTITY"),
        *states(without=[name for name in STATISTICS if name.startswith("action.")]),
    )
    yield beside("statistics_mode_unknown", DEGENERATE, "A mode that this version does not know.", *of_mode("ZSCORE"))
    yield beside(
        "statistics_without_state_file",
        UNSAFE,
        "Nothing is scaled, and nothing says so.",
        preprocessor(normalizer(state=None)),
        also=DEGENERATE,
    )
    for what, eps in (("zero", 0), ("negative", -1e-08), ("huge", 1.0), ("text", "1e-8")):
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
