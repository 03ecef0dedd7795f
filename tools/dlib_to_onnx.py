#!/usr/bin/env python3
"""Turn dlib's face recognition network (.dat) into an ONNX file that `perface models add` takes.

Usage: python tools/dlib_to_onnx.py dlib_face_recognition_resnet_model_v1.dat OUT.onnx
       python tools/dlib_to_onnx.py --random OUT.dat        a file of the same layout with random weights
       python tools/dlib_to_onnx.py --verify FILE.dat PHOTO  compares with dlib itself (pip install dlib-bin onnxruntime)
  e.g.  perface models add dlib-resnet OUT.onnx
Needs: numpy onnx. No dlib, except for --verify.

The file is dlib's own serialisation (dlib/serialize.h): integers are a byte with their length and sign and then their
bytes, lowest first; other numbers are a mantissa and an exponent, both integers; texts are their length and their bytes;
tensors are a 2, four lengths, and 32-bit floats. Layers are nested, the last of the network first, and have kept their
names and settings, which are compared with the network below: 29 convolutions, of which each second one of a block is
added to what came in, halved by averaging where the block halves, and filled up with noughts to the larger of both sizes.
Input [N, 3, 150, 150], red first, less the mean colour and divided by 256.
"""

import argparse
import math
import pathlib
import struct
import sys

import numpy as np

SIDE = 150
MEAN = (122.782, 117.001, 104.298)
# Filters of each block from the input on, and whether it halves.
BLOCKS = [(32, False)] * 3 + [(64, True)] + [(64, False)] * 3 + [(128, True)] + [(128, False)] * 2
BLOCKS += [(256, True)] + [(256, False)] * 2 + [(256, True)]
LENGTH = 128


def network():
    """The layers from the input on: (kind, settings). `tag` and `skip` keep and fetch a block's input."""
    layers = [("con", (32, 3, 7, 2, 0)), ("affine", 32), ("relu", None), ("max_pool", (3, 3, 2, 2, 0, 0))]
    channels = 32
    for number, (filters, halves) in enumerate(BLOCKS):
        stride, pad = (2, 0) if halves else (1, 1)
        layers += [("tag", number), ("con", (filters, channels, 3, stride, pad)), ("affine", filters), ("relu", None),
                   ("con", (filters, filters, 3, 1, 1)), ("affine", filters)]
        if halves:
            layers += [("tag", f"{number}b"), ("skip", number), ("avg_pool", (2, 2, 2, 2, 0, 0)), ("add", f"{number}b")]
        else:
            layers += [("add", number)]
        layers += [("relu", None)]
        channels = filters
    return layers + [("avg_pool", (0, 0, 1, 1, 0, 0)), ("fc", (LENGTH, channels))]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            sys.exit(f"the file ends early, at byte {self.at}")
        self.at += count
        return self.data[self.at - count:self.at]

    def int(self):
        control = self.take(1)[0]
        size = control & 0x0F
        if size > 8 or control & 0x70:
            sys.exit(f"byte {self.at - 1} begins no number")
        value = int.from_bytes(self.take(size), "little")
        return -value if control & 0x80 else value

    def float(self):
        if self.at < len(self.data) and self.data[self.at] & 0x70:
            # Files before 2012: as text, ended by a blank.
            end = self.data.index(b" ", self.at, self.at + 64)
            return float(self.take(end + 1 - self.at))
        mantissa, exponent = self.int(), self.int()
        return math.nan if exponent >= 32000 else math.ldexp(mantissa, exponent)

    def bool(self):
        return self.take(1) == b"1"

    def text(self):
        size = self.int()
        return self.take(size if 0 <= size < 100 else -1).decode("ascii", "replace")

    def shape(self, version):
        if self.int() != version:
            sys.exit(f"byte {self.at - 1}: not a tensor")
        return tuple(self.int() for _ in range(4))

    def tensor(self):
        shape = self.shape(2)
        if any(n < 0 or n > 1 << 20 for n in shape) or math.prod(shape) > 1 << 24:
            sys.exit(f"byte {self.at}: a tensor of {shape}")
        return np.frombuffer(self.take(4 * math.prod(shape)), "<f4").reshape(shape)

    def alias(self):
        return self.shape(1)


def same(what, got, want):
    if got != want:
        sys.exit(f"{what}: the file has {got}, the network {want}")


def read_details(r, kind, settings, where):
    """One layer's settings, compared, and its weights."""
    version = r.text()
    if kind == "con":
        filters, channels, side, stride, pad = settings
        if version not in ("con_4", "con_5", "con_6"):
            sys.exit(f"{where}: {version} is no convolution that is known")
        params = r.tensor().ravel()
        same(where, [r.int() for _ in range(7)], [filters, side, side, stride, stride, pad, pad])
        weights, biases = r.alias(), r.alias()
        [r.float() for _ in range(4)]
        use_bias = r.bool() if version != "con_4" else True
        if version == "con_6":
            same(f"{where}, relu", r.bool(), False)
        same(where, weights, (filters, channels, side, side))
        count = math.prod(weights)
        bias = params[count:count + filters] if use_bias and math.prod(biases) else np.zeros(filters, np.float32)
        return {"weight": params[:count].reshape(weights), "bias": bias}
    if kind == "affine":
        if version not in ("affine_", "affine_2"):
            sys.exit(f"{where}: {version} is no affine layer; train on, or convert batch normalisation with dlib first")
        params = r.tensor().ravel()
        same(where, [math.prod(r.alias()), math.prod(r.alias())], [settings, settings])
        r.int()
        disabled = version == "affine_2" and r.bool()
        same(f"{where}, disabled", disabled, False)
        same(where, params.size, 2 * settings)
        return {"gamma": params[:settings], "beta": params[settings:]}
    if kind == "fc":
        if version not in ("fc_2", "fc_3"):
            sys.exit(f"{where}: {version} is no linear layer that is known")
        same(where, [r.int(), r.int()], list(settings))
        params = r.tensor()
        r.alias(), r.alias()
        same(f"{where}, bias", r.int(), 1)
        [r.float() for _ in range(4)]
        if version == "fc_3":
            r.bool()
        # Rows are inputs.
        return {"weight": params.reshape(settings[1], settings[0])}
    if kind == "relu":
        if version not in ("relu_", "relu_2"):
            sys.exit(f"{where}: {version} is no relu")
        same(f"{where}, disabled", version == "relu_2" and r.bool(), False)
    elif kind == "add":
        same(where, version, "add_prev_")
    else:
        same(where, version, f"{kind}_2")
        same(where, [r.int() for _ in range(6)], list(settings))
    return {}


def read(path):
    """Weights of the file at `path`, one entry a layer of `network()`."""
    r = Reader(pathlib.Path(path).read_bytes())
    same("loss", r.int(), 1)
    loss = r.text()
    if loss == "loss_metric_2":
        r.float(), r.float()
    else:
        same("loss", loss, "loss_metric_")
    layers = network()
    # Layers that own the rest of the network put it before themselves, so all headers come first.
    versions = []
    for kind, _ in reversed(layers[1:]):
        versions.append(r.int())
        allowed = (1,) if kind in ("tag", "skip") else (1, 2)
        if versions[-1] not in allowed:
            sys.exit(f"byte {r.at}: version {versions[-1]} of a {kind} layer is not known")
    first = r.int()
    if first not in (2, 3):
        sys.exit(f"byte {r.at}: version {first} of the first layer is not known")
    same("input", r.text(), "input_rgb_image_sized")
    mean = tuple(r.float() for _ in range(3))
    if not np.allclose(mean, MEAN, atol=1e-3):
        sys.exit(f"input: the mean colour is {mean}, not {MEAN}")
    same("input", [r.int(), r.int()], [SIDE, SIDE])
    weights = []
    for number, (kind, settings) in enumerate(layers):
        if kind in ("tag", "skip"):
            weights.append({})
            continue
        weights.append(read_details(r, kind, settings, f"layer {number} ({kind})"))
        [r.bool() for _ in range(3)]
        r.tensor(), r.tensor()
        if number == 0:
            r.tensor()
            if first >= 3:
                r.int()
        elif versions[len(layers) - 1 - number] >= 2:
            r.tensor()
    if r.at != len(r.data):
        sys.exit(f"{len(r.data) - r.at} bytes are left over: this is another network")
    return weights


def sizes():
    """Rows, which are as many as columns, after each layer."""
    at, kept, found = SIDE, {}, []
    for kind, settings in network():
        if kind == "con":
            at = (at + 2 * settings[4] - settings[2]) // settings[3] + 1
        elif kind in ("max_pool", "avg_pool"):
            at = 1 if settings[0] == 0 else (at - settings[0]) // settings[2] + 1
        elif kind == "tag":
            kept[settings] = at
        elif kind == "skip":
            at = kept[settings]
        elif kind == "add":
            at = max(at, kept[settings])
        found.append(at)
    return found


def build(weights):
    """The ONNX model."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(op, inputs, name, **attributes):
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def filled(x, name, have, want):
        """`x` of `have` (channels, side) with noughts at the end up to `want`."""
        if have == want:
            return x
        ends = [0, want[0] - have[0], want[1] - have[1], want[1] - have[1]]
        return node("Pad", [x, constant(f"{name}.pads", np.array([0] * 4 + ends, np.int64))], name)

    x, channels, kept = "input", 3, {}
    for number, ((kind, settings), w, side) in enumerate(zip(network(), weights, sizes())):
        name = f"{number}.{kind}"
        if kind == "con":
            channels, _, kernel, stride, pad = settings
            inputs = [x, constant(f"{name}.weight", w["weight"]), constant(f"{name}.bias", w["bias"])]
            x = node("Conv", inputs, name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                     dilations=[1, 1])
        elif kind == "affine":
            gamma, beta = (constant(f"{name}.{part}", w[part].reshape(1, -1, 1, 1)) for part in ("gamma", "beta"))
            x = node("Add", [node("Mul", [x, gamma], f"{name}.scaled"), beta], name)
        elif kind == "relu":
            x = node("Relu", [x], name)
        elif kind == "max_pool":
            x = node("MaxPool", [x], name, kernel_shape=settings[:2], strides=settings[2:4], pads=[0] * 4)
        elif kind == "avg_pool":
            if settings[0] == 0:
                x = node("GlobalAveragePool", [x], name)
            else:
                x = node("AveragePool", [x], name, kernel_shape=settings[:2], strides=settings[2:4], pads=[0] * 4)
        elif kind == "tag":
            kept[settings] = (x, channels, side)
        elif kind == "skip":
            x, channels, _ = kept[settings]
        elif kind == "add":
            other, its_channels, its_side = kept[settings]
            own_side = sizes()[number - 1]
            want = (max(channels, its_channels), side)
            parts = [filled(x, f"{name}.own", (channels, own_side), want),
                     filled(other, f"{name}.kept", (its_channels, its_side), want)]
            x, channels = node("Add", parts, name), want[0]
        elif kind == "fc":
            x = node("Gemm", [node("Flatten", [x], f"{name}.flat"), constant(f"{name}.weight", w["weight"])], "embedding")
    graph = helper.make_graph(
        nodes, "dlib-resnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", LENGTH])], constants)
    model = helper.make_model(graph, producer_name="perface", opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


class Writer:
    """dlib's serialisation, for files with random weights."""

    def __init__(self):
        self.parts = []

    def int(self, value):
        magnitude = abs(value)
        size = max(1, (magnitude.bit_length() + 7) // 8)
        self.parts.append(bytes([size | (0x80 if value < 0 else 0)]) + magnitude.to_bytes(size, "little"))

    def ints(self, *values):
        for value in values:
            self.int(value)

    def float(self, value):
        mantissa, exponent = math.frexp(np.float32(value))
        mantissa, exponent = int(mantissa * (1 << 24)), exponent - 24
        self.ints(mantissa, exponent)

    def bool(self, value):
        self.parts.append(b"1" if value else b"0")

    def text(self, value):
        self.int(len(value))
        self.parts.append(value.encode())

    def alias(self, *shape):
        self.ints(1, *shape)

    def tensor(self, array):
        self.ints(2, *(array.shape if array.ndim == 4 else (array.size, 1, 1, 1)))
        self.parts.append(array.astype("<f4").tobytes())

    def no_tensor(self):
        self.ints(2, 0, 0, 0, 0)


def write_random(path, rng):
    """A file as dlib 20 writes it, with weights that keep activations in a range where every layer matters."""
    w, layers = Writer(), network()
    w.int(1)
    w.text("loss_metric_2")
    w.float(0.04), w.float(0.6)
    for kind, _ in reversed(layers[1:]):
        w.int(1 if kind in ("tag", "skip") else 2)
    w.int(3)
    w.text("input_rgb_image_sized")
    for value in MEAN:
        w.float(value)
    w.ints(SIDE, SIDE)
    for number, (kind, settings) in enumerate(layers):
        if kind in ("tag", "skip"):
            continue
        if kind == "con":
            filters, channels, side, stride, pad = settings
            weight = rng.normal(0, math.sqrt(2 / (channels * side * side)), (filters, channels, side, side))
            w.text("con_6")
            w.tensor(np.concatenate([weight.ravel(), rng.normal(0, 0.1, filters)]))
            w.ints(filters, side, side, stride, stride, pad, pad)
            w.alias(filters, channels, side, side), w.alias(1, filters, 1, 1)
            [w.float(value) for value in (1, 1, 1, 0)]
            w.bool(True), w.bool(False)
        elif kind == "affine":
            w.text("affine_2")
            w.tensor(np.concatenate([rng.uniform(0.5, 1, settings), rng.normal(0, 0.1, settings)]))
            w.alias(1, settings, 1, 1), w.alias(1, settings, 1, 1)
            w.int(0), w.bool(False)
        elif kind == "fc":
            outputs, inputs = settings
            w.text("fc_3")
            w.ints(outputs, inputs)
            w.tensor(rng.normal(0, math.sqrt(1 / inputs), (inputs, outputs, 1, 1)))
            w.alias(inputs, outputs, 1, 1), w.alias(0, 0, 0, 0)
            w.int(1)
            [w.float(value) for value in (1, 1, 1, 0)]
            w.bool(True)
        elif kind == "relu":
            w.text("relu_2"), w.bool(False)
        elif kind == "add":
            w.text("add_prev_")
        else:
            w.text(f"{kind}_2")
            w.ints(*settings)
        w.bool(True), w.bool(False), w.bool(False)
        for _ in range(3):
            w.no_tensor()
        if number == 0:
            w.int(1)
    pathlib.Path(path).write_bytes(b"".join(w.parts))


def verify(path, photo):
    """Compare the ONNX model with dlib on the middle of `photo`, and say what one wrong step does."""
    import dlib
    import onnxruntime

    image = dlib.load_rgb_image(photo)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    chip = np.ascontiguousarray(dlib.resize_image(image[top:top + side, left:left + side].copy(), SIDE, SIDE))
    want = np.array(dlib.face_recognition_model_v1(path).compute_face_descriptor(chip))
    session = onnxruntime.InferenceSession(build(read(path)).SerializeToString(), providers=["CPUExecutionProvider"])
    # The input layer's mean is in 32 bits.
    mean = np.float32(MEAN)

    def error(pixels, mean=mean, scale=256.0):
        x = ((pixels.astype(np.float32) - mean) / np.float32(scale)).transpose(2, 0, 1)[None]
        got = session.run(None, {"input": x.astype(np.float32)})[0][0]
        return float(np.linalg.norm(got - want) / np.linalg.norm(want))

    found, controls = error(chip), {
        "blue first": error(chip[:, :, ::-1]),
        "divided by 255": error(chip, scale=255.0),
        "no mean": error(chip, mean=np.float32(0)),
    }
    print(f"dlib {dlib.__version__}: {want.size} values, norm {np.linalg.norm(want):.4g}; ONNX is {found:.2e} off (relative)")
    for what, value in controls.items():
        print(f"  {what}: {value:.2e}")
    if found > 1e-4 or min(controls.values()) < 10 * 1e-4:
        sys.exit("they do not agree, or a wrong step is not noticed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", metavar="OUT.dat", type=pathlib.Path, help="write random weights in dlib's layout")
    parser.add_argument("--verify", metavar=("FILE.dat", "PHOTO"), nargs=2, help="compare with dlib itself")
    parser.add_argument("files", metavar="FILE", nargs="*", type=pathlib.Path, help="the .dat and the ONNX file to write")
    arguments = parser.parse_args()
    if arguments.random:
        write_random(arguments.random, np.random.default_rng(1))
    elif arguments.verify:
        verify(*arguments.verify)
    elif len(arguments.files) == 2:
        import onnx

        onnx.save(build(read(arguments.files[0])), arguments.files[1])
    else:
        parser.error("two files are needed")


if __name__ == "__main__":
    main()
