#!/usr/bin/env python3
"""Choose triplets, margin and anchor of `perface train --tune head` by cross-validation, in numpy.

    perface detect --once --json omi/images > faces.json
    python3 tools/train_pilot.py faces.json omi/attributes.csv ~/.cache/perface/models/sface.onnx

The faces of training and validation (tools/omi_triplets.py; those of test are not looked at) are divided in four. On three
quarters derived questions are drawn and a head is fitted to their unanimous answers, with the cosine triplet loss (SGD,
momentum 0.9, batch of 32, six epochs); on the fourth is measured

    near, any    share of unanimous derived answers, within one gender and age, and across them
    gender, age  share of faces found nearer to their own group, mean of the four: twelve draws of 4 x 7 faces to compare
                 with, and all that are left; means of the distances `mean-ci-upper` and `knn-mean(5)`

Needs numpy, onnx, onnxruntime and opencv-python-headless. Derived: nobody was asked.
"""
import csv
import hashlib
import json
import sys

import cv2
import numpy as np
import onnx
import onnxruntime

from omi_triplets import ADULT_YEARS, ATTRIBUTES, draw, part_of

TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
MAPS = ["conv_14_relu", "conv_13_relu"]
WIDTH, RATE, DECAY, BATCH, EPOCHS = 128, 0.03, 5e-4, 32, 6
FOLDS, DRAWS, GALLERY, HELD = 4, 12, 7, 1500
T_975 = 2.160  # for two groups of 7


def similarity(source, target):
    """Least-squares similarity of two lists of points, as a 2 x 3 matrix."""
    s, t = source @ [1, 1j], target @ [1, 1j]
    a = ((s - s.mean()).conj() * (t - t.mean())).sum() / (abs(s - s.mean()) ** 2).sum()
    b = t.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def features(faces, network):
    """For each picture the embedding and the means of MAPS, plain and mirrored."""
    model = onnx.load(network)
    for name in MAPS:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found = {}
    for photo in json.load(open(faces, encoding="utf-8")):
        if not photo["faces"]:
            continue
        area = lambda f: (f["box_px"]["right"] - f["box_px"]["left"]) * (f["box_px"]["bottom"] - f["box_px"]["top"])  # noqa: E731
        points = np.array([(p["x"], p["y"]) for p in max(photo["faces"], key=area)["landmarks_px"]])
        crop = cv2.warpAffine(cv2.imread(photo["input"]), similarity(points, TEMPLATE), (112, 112))[:, :, ::-1]
        batch = np.stack([crop, crop[:, ::-1]]).transpose(0, 3, 1, 2).astype(np.float32)
        embedding, *maps = session.run(["fc1", *MAPS], {"data": batch})
        found[photo["input"].rsplit("/", 1)[-1]] = [embedding, *(m.mean((2, 3)) for m in maps)]
    return found


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def agreement(embeddings, triplets):
    c, near, far = (embeddings[triplets[:, k]] for k in range(3))
    return ((c * near).sum(1) > (c * far).sum(1)).mean()


def unanimous(questions):
    rows = [(c, a, b) if votes == 3 else (c, b, a) for c, a, b, votes in questions if votes in (0, 3)]
    return np.array(rows)


def grouping(embeddings, male, older):
    """Gender and age accuracy of the two distances' mean, over DRAWS draws."""
    key = 2 * male + older
    shares = []
    for seed in range(DRAWS):
        rng = np.random.default_rng(1000 + seed)
        mixed = [rng.permutation(np.flatnonzero(key == k)) for k in range(4)]
        gallery = np.concatenate([m[:GALLERY] for m in mixed])
        query = np.concatenate([m[GALLERY:] for m in mixed])
        distance = 1 - embeddings[query] @ embeddings[gallery].T
        for label in (male, older):
            groups = [distance[:, label[gallery] == value] for value in (0, 1)]
            upper = [d.mean(1) + T_975 * d.std(1, ddof=1) / np.sqrt(d.shape[1]) for d in groups]
            nearest = [np.sort(d, 1)[:, :5].mean(1) for d in groups]
            right = [(x[1] < x[0]) == label[query] for x in (upper, nearest)]
            shares += [np.mean([r[key[query] == k].mean() for k in range(4)]) for r in right]
    return np.array(shares).reshape(DRAWS, 2, 2).mean((0, 2))


def train(x, triplets, teacher, margin, anchor, seed=1):
    """Unit rows of a head fitted to `triplets` on plain and mirrored rows `x [n, 2, D]`."""
    learnt = x[np.unique(triplets)].reshape(-1, x.shape[2])
    projection = np.linalg.svd(learnt, full_matrices=False)[2][:WIDTH].T
    rows = (x @ projection).astype(np.float32)
    rng = np.random.default_rng(seed)
    weight, velocity = np.eye(rows.shape[2], dtype=np.float32), 0.0
    for _ in range(EPOCHS):
        order = rng.permutation(len(triplets))
        for at in range(0, len(order), BATCH):
            batch = triplets[order[at:at + BATCH]]
            pictures, mirrored = batch.T.reshape(-1), np.tile(rng.integers(0, 2, len(batch)), 3)
            inputs = rows[pictures, mirrored]
            raw = inputs @ weight.T
            norm = np.linalg.norm(raw, axis=1, keepdims=True)
            u = raw / norm
            c, near, far = np.split(u, 3)
            active = (((c * far).sum(1) - (c * near).sum(1) + margin) > 0)[:, None] / len(batch)
            gradient = np.concatenate([active * (far - near), -active * c, active * c])
            if anchor:
                off = u @ u.T - teacher[pictures] @ teacher[pictures].T
                gradient += 4 * anchor / (len(u) * (len(u) - 1)) * (off - np.diag(np.diag(off))) @ u
            gradient = (gradient - (gradient * u).sum(1, keepdims=True) * u) / norm
            velocity = 0.9 * velocity + gradient.T @ inputs + DECAY * weight
            weight = weight - RATE * velocity
    return unit(rows[:, 0] @ weight.T)


def main() -> None:
    found = features(sys.argv[1], sys.argv[3])
    with open(sys.argv[2], newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["age"]) >= ADULT_YEARS and row["image"] in found]
    names = [row["image"] for row in rows]
    embedding, *maps = (np.stack(column) for column in zip(*(found[name] for name in names)))
    raw = np.array([[float(row[a]) for a in ATTRIBUTES] for row in rows])
    ratings = (raw - raw.mean(0)) / raw.std(0)
    male, older = (raw[:, 1] > 60).astype(int), (raw[:, 0] >= 40).astype(int)
    grouped = ((raw[:, 1] > 60) | (raw[:, 1] < 40)) & ((raw[:, 0] < 35) | (raw[:, 0] >= 40))
    fold = np.array([int.from_bytes(hashlib.sha256(b"fold" + name.encode()).digest()[:4], "big") % FOLDS for name in names])
    seen = np.array([part_of(name, 0.15, 0.15) != "i" for name in names])
    plain = unit(embedding[:, 0])

    folds = []
    for k in range(FOLDS):
        learnt, held = np.flatnonzero(seen & (fold != k)), np.flatnonzero(seen & (fold == k))
        rng, drawn = np.random.default_rng(k), {}
        for kind in ("near", "any", "ages"):
            drawn[kind] = unanimous(draw(raw, ratings, learnt, kind, 9000 if kind == "near" else 4500, 0.37, rng, set()))
        tests = [unanimous(draw(raw, ratings, held, kind, HELD, 0.37, rng, set())) for kind in ("near", "any")]
        standard = []
        for x in maps:
            flat = x[learnt].reshape(-1, x.shape[2])
            standard.append((x - flat.mean(0)) / (flat.std(0) + 1e-6) / np.sqrt(x.shape[2]))
        folds.append((drawn, tests, held[grouped[held]], np.concatenate(standard, 2)))

    def report(what, fitted):
        shares = []
        for drawn, tests, faces, x in folds:
            embeddings = fitted(drawn, x)
            groups = grouping(embeddings[faces], male[faces], older[faces])
            shares.append([*(agreement(embeddings, test) for test in tests), *groups])
        print("| " + " | ".join([what, *(f"{share:.3f}" for share in np.mean(shares, 0))]) + " |", flush=True)

    def triplets(drawn, kinds):
        return np.concatenate([drawn[kind][:len(drawn[kind]) // (1 if len(kinds) == 1 else 1 + (kind == "near"))]
                               for kind in kinds])

    print("| triplets, margin, anchor | near | any | gender | age |\n| --- | --- | --- | --- | --- |")
    report("SFace, plain", lambda drawn, x: plain)
    report("maps, not trained", lambda drawn, x: unit(x[:, 0]))
    settings = [(["near"], margin, anchor) for margin, anchor in [(0.5, 0), (0.1, 0), (0.1, 0.3), (0.3, 0.3)]]
    settings += [(["near", "any"], margin, anchor) for margin, anchor in [(0.5, 0), (0.3, 0), (0.1, 0)]]
    settings += [(["near", "any", "ages"], margin, anchor)
                 for margin, anchor in [(0.5, 0), (0.3, 0), (0.3, 0.1), (0.3, 0.3), (0.3, 1), (0.3, 3), (0.3, 10), (0.1, 0)]]
    for kinds, margin, anchor in settings:
        report(f"{', '.join(kinds)}; {margin}; {anchor}",
               lambda drawn, x: train(x, triplets(drawn, kinds), plain, margin, anchor))


if __name__ == "__main__":
    main()
