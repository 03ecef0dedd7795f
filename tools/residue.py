#!/usr/bin/env python3
"""Where a learned attacker finds the trace of the original: inside the new face, around it, or in the choice of candidate.

Usage: python tools/residue.py ORIGINALS OUTPUTS MODELS
  ORIGINALS and OUTPUTS are the folders of a `perface anonymize` run with its report beside OUTPUTS; MODELS is the folder with
  sface.onnx and mobilefacenet-192.onnx. Photos with one face only; names of one person begin alike up to the first `_`.
Needs: numpy opencv-python onnxruntime

The attack is that of `perface audit` (ridge from results to originals, five folds by person, penalty on one of them), here the mean
of six ways to deal people into folds. What changed is taken for the new face: the largest connected part that differs by more than
5 levels after smoothing, closed. `around` fills it with one colour, `inside` fills all else with grey. Both are unlike photos a
recogniser was made for, so what they find is a lower limit.
"""

import json
import pathlib
import sys

import cv2
import numpy as np
import onnxruntime

ORIGINALS, OUTPUTS, MODELS = (pathlib.Path(a) for a in sys.argv[1:4])
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
NETS = {"sface": (0.0, 1.0), "mobilefacenet-192": (127.5, 128.0)}
FOLDS, DEALS, PENALTIES = 5, 6, (0.01, 0.1, 1.0, 10.0)


def aligned(picture, landmarks):
    """The similarity of least squares onto the template, bilinear."""
    rows, wanted = np.zeros((10, 4)), TEMPLATE.reshape(-1)
    rows[0::2] = np.c_[landmarks[:, 0], -landmarks[:, 1], np.ones(5), np.zeros(5)]
    rows[1::2] = np.c_[landmarks[:, 1], landmarks[:, 0], np.zeros(5), np.ones(5)]
    a, b, c, d = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    return cv2.warpAffine(picture, np.array([[a, -b, c], [b, a, d]]), (112, 112))


def embedded(session, crops, mean, scale):
    entry, out = session.get_inputs()[0], []
    for crop in crops:
        x = (crop.astype(np.float32) - mean) / scale
        x = x.transpose(2, 0, 1)[None] if entry.shape[1] == 3 else x[None]
        vector = session.run(None, {entry.name: x})[0][0]
        out.append(vector / np.linalg.norm(vector))
    return np.array(out)


def changed(before, after, width):
    """Where the new face is."""
    difference = np.abs(before.astype(int) - after.astype(int)).max(2).astype(np.float32)
    mask = (cv2.GaussianBlur(difference, (0, 0), 2) > 5).astype(np.uint8)
    size = max(9, int(width) // 5) | 1
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    return labels == 1 + stats[1:, 4].argmax() if count > 1 else mask > 0


def units(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def attack(results, own, gallery, person, of):
    """Shares of results whose person comes first and among the first five, in percent, with the deviation between deals."""
    people, first, five = person.max() + 1, [], []
    for deal in range(DEALS):
        fold = np.random.default_rng(deal).permutation(people) % FOLDS
        ranks = []
        for held in range(FOLDS):
            attacked, tuned = fold[of] == held, fold[of] == (held + 1) % FOLDS

            def fit(rows, penalty):
                x, y = results[rows] - results[rows].mean(0), own[rows] - own[rows].mean(0)
                covariance, width = x.T @ x / len(x), x.shape[1]
                ridge = covariance + np.eye(width) * max(penalty * np.trace(covariance) / width, 1e-12)
                return results[rows].mean(0), own[rows].mean(0), np.linalg.solve(ridge, x.T @ y / len(x))

            def advantage(penalty):
                mean, target, weights = fit(~attacked & ~tuned, penalty)
                guess, right = units((results[tuned] - mean) @ weights), units(own[tuned] - target)
                return (guess * right).sum(1).mean() - guess.mean(0) @ right.mean(0)

            mean, target, weights = fit(~attacked, max(PENALTIES, key=advantage))
            scores = units((results[attacked] - mean) @ weights) @ units(gallery - target).T
            best = np.full((len(scores), people), -9.0)
            for column, who in enumerate(person):
                best[:, who] = np.maximum(best[:, who], scores[:, column])
            ranks += list(1 + (best > best[np.arange(len(best)), of[attacked]][:, None]).sum(1))
        first.append(100 * np.mean(np.array(ranks) == 1))
        five.append(100 * np.mean(np.array(ranks) <= 5))
    return f"first {np.mean(first):.1f} ± {np.std(first):.1f} %, among five {np.mean(five):.1f} %"


def main():
    report = json.loads((OUTPUTS.parent / (OUTPUTS.name + ".report") / "report.json").read_text())
    crops = {name: [] for name in ("original", "whole", "around", "inside")}
    names, replaced, candidates = [], [], []
    for photo in report["photos"]:
        if len(photo["faces"]) != 1:
            continue
        [face] = photo["faces"]
        name = pathlib.Path(photo["input"]).name
        before = cv2.imread(str(ORIGINALS / name))[..., ::-1]
        landmarks = np.array([(p["x"], p["y"]) for p in face["landmarks_px"]])
        names.append(name.split("_")[0])
        crops["original"].append(aligned(before, landmarks))
        replaced.append(face["verdict"] == "replaced")
        if not replaced[-1]:
            continue
        candidates.append(face["candidate"])
        after = cv2.imread(str(OUTPUTS / photo["output"]))[..., ::-1]
        face_mask = changed(before, after, face["box_px"]["right"] - face["box_px"]["left"])
        around, inside = after.copy(), after.copy()
        around[face_mask], inside[~face_mask] = (150, 120, 105), 128
        for kind, picture in (("whole", after), ("around", around), ("inside", inside)):
            crops[kind].append(aligned(picture, landmarks))
    replaced = np.array(replaced)
    order = {name: place for place, name in enumerate(sorted(set(names)))}
    person = np.array([order[name] for name in names])
    print(f"{replaced.sum()} results, {len(order)} people, guessing {100 / len(order):.2f} %")
    for net, (mean, scale) in NETS.items():
        session = onnxruntime.InferenceSession(str(MODELS / f"{net}.onnx"))
        vectors = {kind: embedded(session, pictures, mean, scale) for kind, pictures in crops.items()}
        own = vectors["original"][replaced]
        for kind in ("whole", "around", "inside"):
            print(f"{net}, {kind}: {attack(vectors[kind], own, vectors['original'], person, person[replaced])}")
        known = sorted(set(candidates))
        choice = np.array([[float(c == k) for k in known] for c in candidates])
        print(f"{net}, choice of candidate alone: {attack(choice, own, vectors['original'], person, person[replaced])}")


if __name__ == "__main__":
    main()
