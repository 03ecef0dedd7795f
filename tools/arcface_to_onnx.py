#!/usr/bin/env python3
"""Turn an ArcFace or BlendFace PyTorch file into an ONNX file that `perface models add` takes.

Usage: python tools/arcface_to_onnx.py r50 backbone.pth OUT.onnx        (r18, r34, r50, r100)
  e.g.  python tools/arcface_to_onnx.py r100 blendface.pt blendface.onnx && perface models add blendface blendface.onnx
Needs: numpy torch onnx. Only tensors are read from the file; no code in it is run.

The network is InsightFace's IResNet: blocks of BN, conv 3x3, BN, PReLU, conv 3x3 (stride), BN with an identity, of 64, 128,
256 and 512 channels, then BN, a linear layer to 512 values, BN. Input [N, 3, 112, 112], red first, -1 to 1.
"""

import argparse
import sys

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

BLOCKS = {"r18": (2, 2, 2, 2), "r34": (3, 4, 6, 3), "r50": (3, 4, 14, 3), "r100": (3, 13, 30, 3)}


def state(path):
    """The file's tensors by name, whatever they are wrapped in."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "state_dict_backbone", "model", "backbone"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    names = {}
    for name, tensor in found.items():
        for prefix in ("module.", "backbone.", "Z_e.1."):
            name = name.removeprefix(prefix)
        names[name] = tensor.float().numpy()
    return names


def build(depth, tensors):
    nodes, constants = [], []

    def constant(name):
        if name not in tensors:
            sys.exit(f"the file has no {name}")
        if all(c.name != name for c in constants):
            array = tensors[name]
            if name.split(".")[-2].startswith("prelu"):
                array = array.reshape(-1, 1, 1)
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(op, x, out, *names, **attributes):
        nodes.append(helper.make_node(op, [x, *map(constant, names)], [out], name=out, **attributes))
        return out

    def bn(x, name):
        parts = [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        return node("BatchNormalization", x, f"{name}.out", *parts, epsilon=1e-5)

    def conv(x, name, stride=1, pad=1):
        return node("Conv", x, f"{name}.out", f"{name}.weight", strides=[stride] * 2, pads=[pad] * 4,
                    dilations=[1, 1])

    def prelu(x, name):
        return node("PRelu", x, f"{name}.out", f"{name}.weight")

    x = prelu(bn(conv("input", "conv1"), "bn1"), "prelu")
    for layer, count in enumerate(BLOCKS[depth], 1):
        for block in range(count):
            name, stride = f"layer{layer}.{block}", 2 if block == 0 else 1
            y = prelu(bn(conv(bn(x, f"{name}.bn1"), f"{name}.conv1"), f"{name}.bn2"), f"{name}.prelu")
            y = bn(conv(y, f"{name}.conv2", stride), f"{name}.bn3")
            if block == 0:
                x = bn(conv(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
            nodes.append(helper.make_node("Add", [y, x], [f"{name}.out"], name=f"{name}.out"))
            x = f"{name}.out"
    x = bn(x, "bn2")
    nodes.append(helper.make_node("Flatten", [x], ["flat"], name="flat"))
    x = node("Gemm", "flat", "fc.out", "fc.weight", "fc.bias", transB=1)
    bn(x, "features")
    left = [n for n in tensors if not n.endswith("num_batches_tracked") and all(c.name != n for c in constants)]
    if left:
        sys.exit(f"{depth} has no place for {left[0]} and {len(left) - 1} others: another depth?")
    graph = helper.make_graph(
        nodes, depth, [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("features.out", TensorProto.FLOAT, ["n", 512])], constants)
    model = helper.make_model(graph, producer_name="perface", opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("depth", choices=BLOCKS)
    parser.add_argument("weights")
    parser.add_argument("out")
    arguments = parser.parse_args()
    onnx.save(build(arguments.depth, state(arguments.weights)), arguments.out)
