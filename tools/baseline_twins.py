#!/usr/bin/env python3
"""Random-weight twins of DeepFace's networks: does PerFace prepare and run them as DeepFace does?

Usage: python tools/baseline_twins.py DEEPFACE_0_0_93_SOURCE PHOTO OUT [NETWORK …]
       PERFACE_TWINS=OUT cargo test -p perface --test baseline_twins -- --nocapture
DEEPFACE_0_0_93_SOURCE: the unpacked source archive, `pip download --no-deps --no-binary :all: deepface==0.0.93`.
Needs: numpy pillow opencv-python-headless h5py onnx, and tensorflow with tf_keras (or torch, which is then used and said).

For each network: random weights are written as a Keras file, turned into ONNX by keras_to_onnx.py, and run in Keras on
the face that DeepFace's own functions cut out of PHOTO, for a box and eyes that are given (a random detector would find
nothing). OUT gets NETWORK.onnx, NETWORK.png (the crop, rounded to bytes) and NETWORK.json (box, eyes, embedding of that
crop).
"""

import ast
import json
import pathlib
import sys

import cv2
import h5py
import numpy as np
import onnx
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import keras_to_onnx

# Box and eyes of the face in scikit-image's astronaut.png, as a detector might give them, and turned ones to level.
BOX = (176.3, 65.8, 101.9, 139.4)
RIGHT_EYE, LEFT_EYE = (204.6, 108.2), (248.3, 119.7)
SIZES = {"deepid": (47, 55), "vggface": (224, 224), "facenet": (160, 160), "facenet512": (160, 160),
         "openface": (96, 96), "arcface": (112, 112), "ghostfacenet": (112, 112)}


def functions(path, *names):
    """Functions of a Python file by name, without importing what it imports."""
    class ImageModule:
        @staticmethod
        def img_to_array(array):
            return np.asarray(array, dtype="float32")

    scope = {"np": np, "cv2": cv2, "Image": Image, "image": ImageModule, "Tuple": tuple, "Union": __import__("typing").Union}
    scope["Tuple"] = __import__("typing").Tuple
    tree = ast.parse(path.read_text())
    wanted = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    exec(compile(ast.Module(wanted, []), str(path), "exec"), scope)
    return [scope[name] for name in names]


def crop(source, photo, size):
    """The face as DeepFace v0.0.93 feeds it: [1, H, W, 3], blue first, 0 to 1. Its functions, our box."""
    align, project = functions(source / "deepface/modules/detection.py", "align_img_wrt_eyes", "project_facial_area")
    (resize,) = functions(source / "deepface/modules/preprocessing.py", "resize_image")
    height, width, _ = photo.shape
    bh, bw = int(0.5 * height), int(0.5 * width)
    padded = cv2.copyMakeBorder(photo, bh, bh, bw, bw, cv2.BORDER_CONSTANT, value=[0, 0, 0])
    x, y, w, h = int(BOX[0] + bw), int(BOX[1] + bh), int(BOX[2]), int(BOX[3])
    right, left = [(int(ex + bw), int(ey + bh)) for ex, ey in (RIGHT_EYE, LEFT_EYE)]
    turned, angle = align(img=padded, left_eye=left, right_eye=right)
    x1, y1, x2, y2 = project(facial_area=(x, y, x + w, y + h), angle=angle, size=(padded.shape[0], padded.shape[1]))
    face = turned[int(y1):int(y2), int(x1):int(x2)][:, :, ::-1] / 255
    return resize(face[:, :, ::-1], (size[1], size[0]))


def random_weights(network, rng):
    weights = {}
    for row in keras_to_onnx.layers(network):
        made = []
        for name, shape in row["weights"]:
            if "kernel" in name:
                fan_in = int(np.prod(shape[:-1])) if name == "kernel" else shape[0] * shape[1]
                array = rng.normal(0, np.sqrt(2 / fan_in), shape)
            elif name in ("gamma", "moving_variance"):
                array = rng.uniform(0.5, 1.5, shape)
            elif name == "alpha":
                array = rng.uniform(0.1, 0.4, shape)
            else:
                array = rng.normal(0, 0.1, shape)
            made.append((name, array.astype(np.float32)))
        if made:
            weights[row["name"]] = made
    return weights


def write_h5(path, weights):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in weights]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for layer, made in weights.items():
            group = file.create_group(layer)
            names = [f"{layer}/{name}:0" for name, _ in made]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, (_, array) in zip(names, made):
                group.create_dataset(name, data=array)


def keras_forward(network, h5, x):
    import tensorflow as tf
    from tf_keras import layers as L
    from tf_keras import models

    at, source = {}, None
    for row in keras_to_onnx.layers(network):
        name, kind, c = row["name"], row["class"], dict(row["config"])
        c.pop("scale", None) if kind != "BatchNormalization" else None
        if kind == "InputLayer":
            source = at[name] = L.Input(tuple(row["shape"]), name=name)
            continue
        inputs = [at.get(i, source) for i in row["inputs"]]
        x_in = inputs[0] if len(inputs) == 1 else inputs
        if kind == "Lambda":
            if network.startswith("facenet"):
                s = keras_to_onnx.scale_of(network, row)
                layer = L.Lambda(lambda t, s=s: t * s, name=name)
            elif name.startswith("lrn"):
                layer = L.Lambda(lambda t: tf.nn.lrn(t, alpha=1e-4, beta=0.75), name=name)
            elif name.startswith("power2"):
                layer = L.Lambda(lambda t: t**2, name=name)
            elif name.startswith("mult9"):
                layer = L.Lambda(lambda t: t * 9, name=name)
            elif name.startswith("sqrt"):
                layer = L.Lambda(tf.sqrt, name=name)
            else:
                layer = L.Lambda(lambda t: tf.nn.l2_normalize(t, axis=1), name=name)
        elif kind == "Reshape":
            layer = L.Reshape(tuple(row["shape"]), name=name)
        elif kind == "Dropout":
            layer = L.Dropout(0.5, name=name)
        elif kind == "Concatenate":
            layer = L.Concatenate(axis=3, name=name)
        else:
            layer = getattr(L, kind)(name=name, **c)
        at[name] = layer(x_in)
    model = models.Model(source, at[keras_to_onnx.layers(network)[-1]["name"]])
    model.load_weights(h5)
    return model.predict(x, verbose=0)[0], "Keras, TensorFlow " + tf.__version__


def torch_forward(network, weights, x):
    import torch
    import torch.nn.functional as F

    t = lambda array: torch.from_numpy(np.ascontiguousarray(array)).double()
    at, source = {}, t(x).permute(0, 3, 1, 2)
    for row in keras_to_onnx.layers(network):
        name, kind, c = row["name"], row["class"], row["config"]
        w = dict(weights.get(name, []))
        inputs = [at.get(i, source) for i in row["inputs"]]
        y = inputs[0]
        if kind == "ZeroPadding2D":
            (top, bottom), (left, right) = c["padding"]
            y = F.pad(y, (left, right, top, bottom))
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            kernel = t(w.get("kernel", w.get("depthwise_kernel")))
            groups = 1
            if kind == "Conv2D":
                kernel = kernel.permute(3, 2, 0, 1)
            else:
                groups = kernel.shape[2]
                kernel = kernel.permute(2, 3, 0, 1)
            if c["padding"] == "same":
                pads = []
                for length, k, s in zip(reversed(y.shape[2:]), reversed(kernel.shape[2:]), reversed(c["strides"])):
                    total = max((-(-length // s) - 1) * s + k - length, 0)
                    pads += [total // 2, total - total // 2]
                y = F.pad(y, pads)
            y = F.conv2d(y, kernel, t(w["bias"]) if "bias" in w else None, stride=tuple(c["strides"]), groups=groups)
            y = F.relu(y) if c.get("activation") == "relu" else y
        elif kind == "BatchNormalization":
            gamma = t(w["gamma"]) if "gamma" in w else None
            y = F.batch_norm(y, t(w["moving_mean"]), t(w["moving_variance"]), gamma, t(w["beta"]), eps=float(c["epsilon"]))
        elif kind == "PReLU":
            y = F.prelu(y, t(w["alpha"]).flatten())
        elif kind == "Activation":
            y = {"relu": F.relu, "linear": lambda v: v, "hard_sigmoid": lambda v: (0.2 * v + 0.5).clamp(0, 1)}[c["activation"]](y)
        elif kind in ("MaxPooling2D", "AveragePooling2D"):
            pool = F.max_pool2d if kind[0] == "M" else F.avg_pool2d
            y = pool(y, tuple(c["pool_size"]), tuple(c["strides"]))
        elif kind == "GlobalAveragePooling2D":
            y = y.mean((2, 3))
        elif kind == "Reshape":
            y = y[:, :, None, None]
        elif kind == "Multiply":
            y = inputs[0] * inputs[1]
        elif kind == "Add":
            y = sum(inputs)
        elif kind == "Concatenate":
            y = torch.cat(inputs, 1)
        elif kind == "Flatten":
            y = y.permute(0, 2, 3, 1).flatten(1)
        elif kind == "Dense":
            y = y @ t(w["kernel"]) + (t(w["bias"]) if "bias" in w else 0)
        elif kind == "Lambda":
            if network.startswith("facenet"):
                y = y * keras_to_onnx.scale_of(network, row)
            elif name.startswith("lrn"):
                squares = F.pad(y**2, (0, 0, 0, 0, 5, 5))
                window = sum(squares[:, i:i + y.shape[1]] for i in range(11))
                y = y / (1 + 1e-4 * window) ** 0.75
            else:
                y = {"p": lambda v: v**2, "m": lambda v: v * 9, "s": torch.sqrt, "n": F.normalize}[name[0]](y)
        at[name] = y
    return y[0].numpy(), "PyTorch " + torch.__version__


def main():
    source, photo_path, out = (pathlib.Path(a) for a in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    photo = cv2.imread(str(photo_path))
    for number, network in enumerate(sys.argv[4:] or SIZES):
        weights = random_weights(network, np.random.default_rng(number))
        h5 = out / f"{network}.h5"
        write_h5(h5, weights)
        onnx.save(keras_to_onnx.build(network, keras_to_onnx.pair(network, keras_to_onnx.read_h5(h5))), out / f"{network}.onnx")
        face = crop(source, photo, SIZES[network])
        rounded = np.rint(face[0] * 255).astype(np.uint8)
        cv2.imwrite(str(out / f"{network}.png"), rounded)
        x = (rounded.astype(np.float32) / 255)[None]
        try:
            embedding, by = keras_forward(network, h5, x)
        except ImportError:
            embedding, by = torch_forward(network, weights, x)
        h5.unlink()
        record = {"photo": str(photo_path.resolve()), "box_xywh": BOX, "right_eye": RIGHT_EYE, "left_eye": LEFT_EYE,
                  "forward": by, "embedding": [float(v) for v in embedding]}
        (out / f"{network}.json").write_text(json.dumps(record))
        norm = float(np.linalg.norm(embedding))
        print(f"{network}: {len(embedding)} values, norm {norm:.4g}, by {by}", flush=True)


if __name__ == "__main__":
    main()
