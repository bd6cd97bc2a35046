"""The network refuses what is verified, and is not for it."""

import sys

import numpy as np
import pytest
import stage

sys.path.append(str(stage.ROOT / "examples"))
from go2_policy import Mlp  # noqa: E402

CONFIG = {"type": "mlp", "activation": "elu", "layers": [45, 12]}


def tensors(dtype=np.float32, weight=(12, 45), bias=(12,)):
    return {"actor.0.weight": np.ones(weight, dtype), "actor.0.bias": np.ones(bias, dtype)}


def test_it_takes_what_it_was_made_for():
    assert Mlp(CONFIG, tensors())(np.ones(45, np.float32)).shape == (12,)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u8", "f2", "f8", "c8"])
def test_other_numbers_are_not_computed_with(dtype):
    """Complex numbers would end in a message that has no place for them, and the program with them."""
    with pytest.raises(ValueError, match="not of float32"):
        Mlp(CONFIG, tensors(dtype))
    mixed = tensors() | {"actor.0.bias": tensors(dtype)["actor.0.bias"]}
    with pytest.raises(ValueError, match="not of float32"):
        Mlp(CONFIG, mixed)


@pytest.mark.parametrize("shape", [{"weight": (45, 12)}, {"bias": (12, 1)}, {"bias": (1,)}])
def test_a_shape_that_numpy_would_stretch_is_none(shape):
    with pytest.raises(ValueError, match="config.json says"):
        Mlp(CONFIG, tensors(**shape))


@pytest.mark.parametrize("layers", [None, 5, [], [45], "45", [45, None], {"45": 12}])
def test_a_configuration_that_says_nothing_of_use_makes_no_network(layers):
    with pytest.raises((IndexError, KeyError, TypeError, ValueError)):
        # As the controller asks it.
        network = Mlp(CONFIG | {"layers": layers}, tensors())
        assert network.layers[0][0].shape[1] == 45
