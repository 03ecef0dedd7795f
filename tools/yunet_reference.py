"""Faces in the sample photo of the astronaut, by the repaired YuNet run in ONNX Runtime from Python.

Usage: python tools/yunet_reference.py CACHE > testdata/reference/yunet_astronaut.json
CACHE is the folder `perface models fetch` filled. Needs numpy, onnxruntime and Pillow.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

MIN_SCORE, MAX_IOU = 0.7, 0.3


def decode(outputs, columns):
    cls, obj, box, kps = (outputs[kind * 3 : kind * 3 + 3] for kind in range(4))
    for level, stride in enumerate((8, 16, 32)):
        score = np.sqrt(np.clip(cls[level], 0, 1) * np.clip(obj[level], 0, 1))[0, :, 0]
        for cell in np.flatnonzero(score >= MIN_SCORE):
            row, column = divmod(int(cell), columns // stride)
            dx, dy, w, h = box[level][0, cell]
            width, height = np.exp(w) * stride, np.exp(h) * stride
            left, top = (column + dx) * stride - width / 2, (row + dy) * stride - height / 2
            points = kps[level][0, cell].reshape(5, 2) * stride + np.array([column, row]) * stride
            yield [left, top, width, height, *points.ravel(), score[cell]]


def iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


cache = Path(sys.argv[1])
picture = np.asarray(Image.open(next(cache.glob("packs/scikit-image-*/astronaut.png"))).convert("RGB"))
assert picture.shape[0] % 32 == 0 and picture.shape[1] % 32 == 0
session = onnxruntime.InferenceSession(str(cache / "models/yunet.onnx"))
blob = picture[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
faces = []
for face in sorted(decode(session.run(None, {session.get_inputs()[0].name: blob}), picture.shape[1]), key=lambda f: -f[14]):
    if all(iou(face, kept) <= MAX_IOU for kept in faces):
        faces.append([float(v) for v in face])
json.dump({"faces": faces}, sys.stdout, indent=1)
