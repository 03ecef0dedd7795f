#!/usr/bin/env python3
"""Pixels of faces cut out by DeepFace v0.0.93's own functions, from a photo that is computed.

Usage: python tools/deepface_crop_reference.py DEEPFACE_0_0_93_SOURCE > testdata/reference/deepface_crop.json
Needs: numpy pillow opencv-python-headless h5py onnx. For the source see baseline_twins.py.
"""

import json
import pathlib
import sys

import numpy as np

import baseline_twins

# box x y w h, right eye, left eye, network's width and height
CASES = [
    ((30.6, 20.2, 60.9, 80.5), (45.3, 50.8), (75.9, 49.1), (112, 112)),
    ((30.6, 20.2, 60.9, 80.5), (48.0, 42.0), (70.0, 60.5), (47, 55)),
    ((-12.5, 5.0, 70.0, 70.0), (10.0, 40.0), (30.0, 25.0), (96, 96)),
    ((100.0, 70.0, 40.0, 55.0), (112.0, 90.0), (128.0, 90.0), (160, 160)),
]
STEP = 7


def photo(width=150, height=120):
    """Blue first, as OpenCV reads it."""
    y, x = np.mgrid[0:height, 0:width]
    red = 128 + 100 * np.sin(x / 9.0) * np.cos(y / 13.0)
    green = 128 + 90 * np.sin((x + 2 * y) / 17.0)
    blue = 128 + 110 * np.cos((3 * x - y) / 23.0)
    return np.floor(np.stack([blue, green, red], axis=2)).astype(np.uint8)


def main():
    source = pathlib.Path(sys.argv[1])
    cases = []
    for box, right, left, size in CASES:
        baseline_twins.BOX, baseline_twins.RIGHT_EYE, baseline_twins.LEFT_EYE = box, right, left
        face = baseline_twins.crop(source, photo(), size)[0][:, :, ::-1] * 255
        cases.append({"box_xywh": box, "right_eye": right, "left_eye": left, "size": size,
                      "pixels": [[round(float(v), 2) for v in pixel] for pixel in face[::STEP, ::STEP].reshape(-1, 3)]})
    json.dump({"step": STEP, "cases": cases}, sys.stdout)


if __name__ == "__main__":
    main()
