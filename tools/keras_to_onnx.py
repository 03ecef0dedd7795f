#!/usr/bin/env python3
"""Turn DeepFace's Keras weights (.h5) into ONNX files that `perface models add` takes.

Usage: python tools/keras_to_onnx.py NETWORK WEIGHTS.h5 OUT.onnx
  NETWORK: deepid, vggface, facenet, facenet512, openface, arcface, ghostfacenet
  e.g.  python tools/keras_to_onnx.py arcface arcface_weights.h5 arcface.onnx
        perface models add deepface-arcface arcface.onnx
Needs: numpy h5py onnx. No TensorFlow.

The layers are those of tools/keras/*.tsv, one a line. Keras pairs weights with layers by order, so the file's own order
(attributes layer_names and weight_names) is followed and every shape is compared. Input [N, H, W, 3], as Keras has it.
"""

import argparse
import csv
import json
import pathlib
import re
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NETWORKS = ("deepid", "vggface", "facenet", "facenet512", "openface", "arcface", "ghostfacenet")
# FaceNet's residuals are added scaled, the last one as it is.
FACENET_SCALES = {"Block35": 0.17, "Block17": 0.10, "Block8": 0.20, "Block8_6": 1.0}


def layers(network):
    """Rows of the network's table as dicts: name, class, inputs, shape, config, weights [(name, shape)]."""
    table = "facenet" if network == "facenet512" else network
    path = pathlib.Path(__file__).parent / "keras" / f"{table}.tsv"
    rows = []
    for row in csv.DictReader(path.open(), delimiter="\t", quoting=csv.QUOTE_NONE):
        config = {}
        for item in filter(None, (row["config"] or "").split(";")):
            key, value = item.split("=", 1)
            config[key] = value if re.match(r"^[a-z]+(_[a-z]+)*$", value) else json.loads(value.replace("True", "true").replace("False", "false"))
        weights = []
        for item in filter(None, (row["weights(name:shape in HDF5 order)"] or "").split(";")):
            name, shape = item.split(":")
            weights.append((name, tuple(int(n) for n in shape.split("x"))))
        shape = [int(n) for n in re.findall(r"\d+", row["output_shape"])]
        rows.append({"name": row["name"], "class": row["class"], "inputs": row["inputs"].split(","), "shape": shape,
                     "config": config, "weights": weights})
    if network == "facenet512":
        for row in rows[-2:]:
            row["weights"] = [(n, tuple(512 if d == 128 else d for d in s)) for n, s in row["weights"]]
            row["shape"] = [512]
            if "units" in row["config"]:
                row["config"]["units"] = 512
    return rows


def read_h5(path):
    """Weights of a legacy Keras file as a list, one entry a weighted layer: [(dataset name, array)]."""
    import h5py

    def names(group, attribute):
        parts = [group.attrs[attribute]] if attribute in group.attrs else []
        number = 0
        while f"{attribute}{number}" in group.attrs:
            parts.append(group.attrs[f"{attribute}{number}"])
            number += 1
        return [n.decode() if isinstance(n, bytes) else str(n) for part in parts for n in part]

    with h5py.File(path, "r") as file:
        root = file["model_weights"] if "model_weights" in file else file
        found = []
        for layer in names(root, "layer_names"):
            weights = [(name, np.asarray(root[layer][name], dtype=np.float32)) for name in names(root[layer], "weight_names")]
            if weights:
                found.append(weights)
        return found


def pair(network, found):
    """The file's arrays by layer name, with every shape compared."""
    paired = {}
    wanted = [row for row in layers(network) if row["weights"]]
    # VGG-Face's file goes on to the classes it was trained with.
    if len(found) < len(wanted) or (len(found) > len(wanted) and network != "vggface"):
        sys.exit(f"the file has {len(found)} layers with weights, {network} has {len(wanted)}")
    for row, arrays in zip(wanted, found):
        shapes = [array.shape for _, array in arrays]
        if shapes != [shape for _, shape in row["weights"]]:
            sys.exit(f"layer {row['name']}: the file has {[n for n, _ in arrays]} of shapes {shapes}, expected {row['weights']}")
        paired[row["name"]] = {name: array for (name, _), (_, array) in zip(row["weights"], arrays)}
    return paired


def scale_of(network, row):
    block = re.match(r"(Block8_6|Block\d+)", row["inputs"][0])
    return FACENET_SCALES[block.group(1)]


class Graph:
    """An ONNX graph in the making, in NCHW inside."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name


def same_pads(size, kernel, stride):
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def build(network, weights):
    """The ONNX model of `network` with `weights` {layer: {name: array}}."""
    rows = layers(network)
    g = Graph()
    height, width = rows[0]["shape"][:2]
    at = {}
    shapes = {}
    source = g.node("Transpose", ["input"], "nchw", perm=[0, 3, 1, 2])
    for row in rows:
        name, kind, config = row["name"], row["class"], row["config"]
        w = weights.get(name, {})
        inputs = [at.get(i, source) for i in row["inputs"]]
        x = inputs[0]
        size = shapes.get(row["inputs"][0], [height, width, 3])
        shapes[name] = row["shape"]
        out = name
        if kind == "InputLayer":
            out = source
        elif kind == "ZeroPadding2D":
            (top, bottom), (left, right) = config["padding"]
            pads = g.constant(f"{name}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
            g.node("Pad", [x, pads], out)
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            kernel = w["kernel"] if "kernel" in w else w["depthwise_kernel"]
            kh, kw = kernel.shape[:2]
            group = 1
            if kind == "DepthwiseConv2D":
                group = kernel.shape[2]
                kernel = kernel.reshape(kh, kw, group, -1).transpose(2, 3, 0, 1).reshape(-1, 1, kh, kw)
            else:
                kernel = kernel.transpose(3, 2, 0, 1)
            sh, sw = config["strides"]
            pads = [0, 0, 0, 0]
            if config["padding"] == "same":
                (top, bottom), (left, right) = same_pads(size[0], kh, sh), same_pads(size[1], kw, sw)
                pads = [top, left, bottom, right]
            names = [x, g.constant(f"{name}.kernel", kernel)]
            if "bias" in w:
                names.append(g.constant(f"{name}.bias", w["bias"]))
            relu = config.get("activation") == "relu"
            out = g.node("Conv", names, f"{name}.conv" if relu else name, kernel_shape=[kh, kw],
                         strides=[sh, sw], pads=pads, dilations=[1, 1], group=group)
            if relu:
                out = g.node("Relu", [out], name)
        elif kind == "BatchNormalization":
            n = len(w["beta"])
            parts = [("gamma", w.get("gamma", np.ones(n, np.float32))), ("beta", w["beta"]),
                     ("mean", w["moving_mean"]), ("variance", w["moving_variance"])]
            names = [g.constant(f"{name}.{part}", array) for part, array in parts]
            g.node("BatchNormalization", [x, *names], out, epsilon=float(config["epsilon"]))
        elif kind == "PReLU":
            g.node("PRelu", [x, g.constant(f"{name}.alpha", w["alpha"].reshape(-1, 1, 1))], out)
        elif kind in ("Activation", "ReLU"):
            activation = config.get("activation", "relu")
            if activation == "relu":
                g.node("Relu", [x], out)
            elif activation == "hard_sigmoid":
                # Keras 2: clip(0.2 x + 0.5, 0, 1).
                g.node("HardSigmoid", [x], out, alpha=0.2, beta=0.5)
            elif activation == "linear":
                g.node("Identity", [x], out)
            else:
                sys.exit(f"{name}: unknown activation {activation}")
        elif kind in ("MaxPooling2D", "AveragePooling2D"):
            op = "MaxPool" if kind == "MaxPooling2D" else "AveragePool"
            g.node(op, [x], out, kernel_shape=config["pool_size"], strides=config["strides"], pads=[0] * 4)
        elif kind == "GlobalAveragePooling2D":
            g.node("Flatten", [g.node("GlobalAveragePool", [x], f"{name}.mean")], out)
        elif kind == "Reshape":
            channels = row["shape"][-1]
            g.node("Reshape", [x, g.constant(f"{name}.shape", np.array([0, channels, 1, 1], np.int64))], out)
        elif kind == "Multiply":
            g.node("Mul", inputs, out)
        elif kind == "Add":
            g.node("Add", inputs, out)
        elif kind == "Concatenate":
            g.node("Concat", inputs, out, axis=1)
        elif kind == "Flatten":
            # Keras flattens rows, columns, channels.
            g.node("Flatten", [g.node("Transpose", [x], f"{name}.nhwc", perm=[0, 2, 3, 1])], out)
        elif kind == "Dense":
            names = [x, g.constant(f"{name}.kernel", w["kernel"])]
            if "bias" in w:
                names.append(g.constant(f"{name}.bias", w["bias"]))
            g.node("Gemm", names, out)
        elif kind == "Dropout":
            g.node("Identity", [x], out)
        elif kind == "Lambda" and network.startswith("facenet"):
            g.node("Mul", [x, g.constant(f"{name}.scale", np.float32(scale_of(network, row)))], out)
        elif kind == "Lambda" and name.startswith("lrn"):
            # tf.nn.lrn: the squares of 11 neighbours, alpha not divided by their number. Written out, as rten has no LRN.
            places = np.arange(row["shape"][-1])
            band = (abs(places[:, None] - places) <= 5).astype(np.float32)[:, :, None, None]
            window = g.node("Conv", [g.node("Mul", [x, x], f"{name}.squares"), g.constant(f"{name}.band", band)], f"{name}.window",
                            kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4, dilations=[1, 1])
            scaled = g.node("Mul", [window, g.constant(f"{name}.alpha", np.float32(1e-4))], f"{name}.scaled")
            base = g.node("Add", [scaled, g.constant(f"{name}.one", np.float32(1))], f"{name}.base")
            power = g.node("Pow", [base, g.constant(f"{name}.beta", np.float32(0.75))], f"{name}.power")
            g.node("Div", [x, power], out)
        elif kind == "Lambda" and name.startswith("power2"):
            g.node("Mul", [x, x], out)
        elif kind == "Lambda" and name.startswith("mult9"):
            g.node("Mul", [x, g.constant(f"{name}.nine", np.float32(9))], out)
        elif kind == "Lambda" and name.startswith("sqrt"):
            g.node("Sqrt", [x], out)
        elif kind == "Lambda" and name == "norm_layer":
            axes = g.constant(f"{name}.axes", np.array([1], np.int64))
            total = g.node("ReduceSum", [g.node("Mul", [x, x], f"{name}.squares"), axes], f"{name}.total", keepdims=1)
            least = g.node("Max", [total, g.constant(f"{name}.least", np.float32(1e-12))], f"{name}.bound")
            g.node("Div", [x, g.node("Sqrt", [least], f"{name}.norm")], out)
        else:
            sys.exit(f"{name}: unknown layer {kind}")
        at[name] = out
    last = at[rows[-1]["name"]]
    g.node("Identity", [last], "embedding.out")
    length = rows[-1]["shape"][-1]
    graph = helper.make_graph(
        g.nodes, network,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", height, width, 3])],
        [helper.make_tensor_value_info("embedding.out", TensorProto.FLOAT, ["n", length])], g.constants)
    model = helper.make_model(graph, producer_name="perface", opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("weights", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    arguments = parser.parse_args()
    onnx.save(build(arguments.network, pair(arguments.network, read_h5(arguments.weights))), arguments.out)


if __name__ == "__main__":
    main()
