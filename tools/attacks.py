"""Faces that are hard to find: how many of 60 portraits does the detector find once they were changed?

    python tools/attacks.py PERFACE PORTRAITS OUT        # the binary, a folder of *_neutral.jpg, a scratch folder

Each picture is changed in one way and given to `perface detect`. Needs numpy and opencv-python-headless.
"""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

PERFACE, PORTRAITS, OUT = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])


def detect(name, pictures):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{index:03d}.png"), picture)
    output = subprocess.run([PERFACE, "detect", str(folder), "--json", "--quiet"], capture_output=True, text=True)
    found = [photo["faces"] for photo in json.loads(output.stdout)]
    print(f"{name:<12} {sum(bool(f) for f in found)} of {len(found)} pictures, {sum(map(len, found))} faces", flush=True)
    return found


def painted(picture, face, what):
    """Dark glasses over the eyes, or a mask over nose and mouth."""
    picture = picture.copy()
    points = [(int(p["x"]), int(p["y"])) for p in face["landmarks_px"]]
    apart = abs(points[1][0] - points[0][0])
    if what == "glasses":
        for eye in points[:2]:
            cv2.ellipse(picture, eye, (int(apart * 0.38), int(apart * 0.28)), 0, 0, 360, (20, 20, 20), -1)
        cv2.line(picture, points[0], points[1], (20, 20, 20), 6)
    else:
        nose, mouth = points[2], ((points[3][0] + points[4][0]) // 2, (points[3][1] + points[4][1]) // 2)
        size = (int(apart * 0.75), int((mouth[1] - nose[1]) * 1.5))
        cv2.ellipse(picture, ((nose[0] + mouth[0]) // 2, mouth[1]), size, 0, 0, 360, (200, 190, 170), -1)
    return picture


def shrunk(picture, box, width):
    """The picture made so small that the face is `width` wide, on a plain background."""
    scale = width / (box[2] - box[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.full((480, 640, 3), 120, np.uint8)
    canvas[200 : 200 + small.shape[0], 300 : 300 + small.shape[1]] = small
    return canvas


def on_a_screen(picture):
    """Dimmed, and seen from the side in a larger scene."""
    canvas = np.full((720, 960, 3), (90, 110, 100), np.uint8)
    height, width = picture.shape[:2]
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    warp = cv2.getPerspectiveTransform(corners, np.float32([[330, 180], [610, 230], [590, 560], [320, 520]]))
    dimmed = cv2.warpPerspective((picture * 0.6).astype(np.uint8), warp, (960, 720))
    inside = cv2.warpPerspective(np.ones((height, width), np.uint8), warp, (960, 720))
    canvas[inside > 0] = dimmed[inside > 0]
    return canvas


def overlapped(picture, box, other, other_box):
    """A neighbour's face over two fifths of this one."""
    face = cv2.resize(other[other_box[1] : other_box[3], other_box[0] : other_box[2]], (box[2] - box[0], box[3] - box[1]))
    canvas = cv2.copyMakeBorder(picture, 0, 0, 0, 200, cv2.BORDER_REPLICATE)
    left = box[0] + int(0.6 * (box[2] - box[0]))
    canvas[box[1] : box[3], left : left + face.shape[1]] = face
    return canvas


def main():
    pictures = [cv2.imread(str(path)) for path in sorted(PORTRAITS.glob("*_neutral.jpg"))[:60]]
    plain = detect("plain", pictures)
    boxes = [[int(faces[0]["box_px"][k]) for k in ("left", "top", "right", "bottom")] for faces in plain]
    both = list(zip(pictures, boxes))
    detect("mirrored", [p[:, ::-1] for p in pictures])
    detect("grey", [cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) for p in pictures])
    detect("turned", [cv2.rotate(p, cv2.ROTATE_90_CLOCKWISE) for p in pictures])
    detect("upside down", [cv2.rotate(p, cv2.ROTATE_180) for p in pictures])
    for share in (0.25, 0.4, 0.5):
        detect(f"cut {share}", [p[:, int(b[0] + share * (b[2] - b[0])) :] for p, b in both])
    for width in (24, 16, 12, 10, 8):
        detect(f"{width} px", [shrunk(p, b, width) for p, b in both])
    detect("screen", [on_a_screen(p) for p in pictures])
    detect("overlap", [overlapped(p, b, *both[(i + 1) % len(both)]) for i, (p, b) in enumerate(both)])
    for what in ("glasses", "mask"):
        detect(what, [painted(p, faces[0], what) for p, faces in zip(pictures, plain)])


if __name__ == "__main__":
    main()
