#!/usr/bin/env python3
"""A pilot of `perface train --tune head` in numpy: which features of SFace carry what derived answers go by.

    perface detect --once --json omi/images > faces.json
    python3 tools/omi_triplets.py omi/attributes.csv --near 6000 --any 6000 --out triplets.csv
    python3 tools/train_pilot.py faces.json triplets.csv ~/.cache/perface/models/sface.onnx

Needs numpy, onnx, onnxruntime and opencv-python-headless. Prints the share of unanimous derived answers on the faces of
validation and test for the plain network and for heads trained with the cosine triplet loss (SGD, momentum 0.9, batch of
32); the epoch is chosen on validation. Derived: nobody was asked.
"""
import csv
import json
import sys

import cv2
import numpy as np
import onnx
import onnxruntime

TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
MAPS = ["conv_14_relu", "conv_13_relu"]


def similarity(source, target):
    """Least-squares similarity of two lists of points, as a 2 x 3 matrix."""
    s, t = source @ [1, 1j], target @ [1, 1j]
    a = ((s - s.mean()).conj() * (t - t.mean())).sum() / (abs(s - s.mean()) ** 2).sum()
    b = t.mean() - a * s.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def features(faces, network):
    """For each picture: the embedding and the means of MAPS, plain and mirrored."""
    model = onnx.load(network)
    for name in MAPS:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names, rows = [], []
    for photo in json.load(open(faces, encoding="utf-8")):
        if not photo["faces"]:
            continue
        area = lambda f: (f["box_px"]["right"] - f["box_px"]["left"]) * (f["box_px"]["bottom"] - f["box_px"]["top"])  # noqa: E731
        points = np.array([(p["x"], p["y"]) for p in max(photo["faces"], key=area)["landmarks_px"]])
        crop = cv2.warpAffine(cv2.imread(photo["input"]), similarity(points, TEMPLATE), (112, 112))[:, :, ::-1]
        batch = np.stack([crop, crop[:, ::-1]]).transpose(0, 3, 1, 2).astype(np.float32)
        embedding, *maps = session.run(["fc1", *MAPS], {"data": batch})
        names.append(photo["input"].rsplit("/", 1)[-1])
        rows.append([embedding, *(m.mean((2, 3)) for m in maps)])
    return names, [np.stack(column) for column in zip(*rows)]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def agreement(embeddings, triplets):
    c, near, far = (unit(embeddings)[triplets[:, k]] for k in range(3))
    return ((c * near).sum(1) > (c * far).sum(1)).mean()


def train(x, parts, width, margin, rate, epochs, seed):
    """Head on plain and mirrored rows `x [n, 2, D]`; the best matrix on validation and its accuracy there."""
    faces = np.unique(parts["train"])
    both = x[faces].reshape(-1, x.shape[2])
    projection = np.linalg.svd(both, full_matrices=False)[2][:width].T
    rows = (x @ projection).astype(np.float32)
    rng = np.random.default_rng(seed)
    weight, velocity, best = np.eye(rows.shape[2], dtype=np.float32), 0.0, (0.0, None)
    for _ in range(epochs):
        order = rng.permutation(len(parts["train"]))
        for at in range(0, len(order), 32):
            batch = parts["train"][order[at:at + 32]]
            mirrored = np.tile(rng.integers(0, 2, len(batch)), 3)
            inputs = rows[batch.T.reshape(-1), mirrored]
            raw = inputs @ weight.T
            norm = np.linalg.norm(raw, axis=1, keepdims=True)
            c, near, far = np.split(raw / norm, 3)
            active = (((c * far).sum(1) - (c * near).sum(1) + margin) > 0)[:, None] / len(batch)
            gradient = np.concatenate([active * (far - near), -active * c, active * c])
            u = raw / norm
            gradient = (gradient - (gradient * u).sum(1, keepdims=True) * u) / norm
            velocity = 0.9 * velocity + gradient.T @ inputs + 5e-4 * weight
            weight = weight - rate * velocity
        accuracy = agreement(rows[:, 0] @ weight.T, parts["val"])
        if accuracy > best[0]:
            best = (accuracy, rows[:, 0] @ weight.T)
    return best


def main() -> None:
    faces, triplets, network = sys.argv[1:4]
    names, columns = features(faces, network)
    number = {name: at for at, name in enumerate(names)}
    parts = {}
    for row in csv.DictReader(open(triplets, encoding="utf-8")):
        three = [number.get(row[key]) for key in ("reference", "a", "b")]
        if row["votes_a"] in ("0", "3") and None not in three:
            c, a, b = three
            parts.setdefault(row["split"], []).append((c, a, b) if row["votes_a"] == "3" else (c, b, a))
    parts = {part: np.array(rows) for part, rows in parts.items()}
    print({part: len(rows) for part, rows in parts.items()}, flush=True)
    plain = columns[0][:, 0]
    print(f"SFace, plain: val {agreement(plain, parts['val']):.3f} test {agreement(plain, parts['i']):.3f}", flush=True)
    learnt = np.unique(parts["train"])

    def standard(x):
        flat = x[learnt].reshape(-1, x.shape[2])
        return (x - flat.mean(0)) / (flat.std(0) + 1e-6) / np.sqrt(x.shape[2])

    both = np.concatenate([standard(columns[1]), standard(columns[2])], 2)
    for what, x, margin in [("maps of the last two blocks, margin 0.5", both, 0.5),
                            ("the same, margin 0.1", both, 0.1),
                            ("map of the last block, margin 0.5", standard(columns[1]), 0.5),
                            ("embedding, margin 0.1", unit(columns[0]), 0.1),
                            ("embedding, margin 0.5", unit(columns[0]), 0.5)]:
        runs = [train(x, parts, 128, margin, 0.03, 8, seed) for seed in (1, 2, 3)]
        val = np.array([run[0] for run in runs])
        test = np.array([agreement(run[1], parts["i"]) for run in runs])
        print(f"{what}: val {val.mean():.3f} +- {val.std(ddof=1):.3f} test {test.mean():.3f} +- {test.std(ddof=1):.3f}",
              flush=True)


if __name__ == "__main__":
    main()
