"""The Unitree Go2 walking policy: a multilayer perceptron, in numpy.

45 observations -> 512 -> 256 -> 128 -> 12 joint targets, ELU between the layers. `config.json` says
so, and the tensors are named as PyTorch's nn.Sequential names them: `actor.0.weight` of shape
[outputs, inputs], `actor.0.bias`, then `actor.2.…`, since the activations are numbered, too.
"""

from collections.abc import Mapping

import numpy as np


class Mlp:
    """Computes actions from observations, in float32."""

    def __init__(self, config: Mapping, tensors: Mapping[str, np.ndarray]):
        """Takes the parsed `config.json` and the tensors by name; copies nothing."""
        if (config["type"], config["activation"]) != ("mlp", "elu"):
            raise ValueError(f"not an ELU perceptron: {config!r}")
        widths = config["layers"]
        self.layers = []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            weight, bias = (tensors[f"actor.{2 * i}.{part}"] for part in ("weight", "bias"))
            if (weight.shape, bias.shape) != ((outputs, inputs), (outputs,)):
                raise ValueError(f"layer {i} is {weight.shape}, config.json says {outputs, inputs}")
            if {weight.dtype, bias.dtype} != {np.dtype(np.float32)}:
                raise ValueError(f"layer {i} is of {weight.dtype} and {bias.dtype}, not of float32")
            self.layers.append((weight, bias))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Actions [n, 12] of observations [n, 45]."""
        x = observations
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight.T + bias
            if i < len(self.layers) - 1:
                x = elu(x)
        return x


def elu(x: np.ndarray) -> np.ndarray:
    """x where positive, exp(x) - 1 elsewhere."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
