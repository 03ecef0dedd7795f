#!/usr/bin/env python3
"""The published experiment in small, with derived answers: a grid of swaps, three test sets, a similarity fitted to two label sets.

Nobody is asked. Faces rated 18 or older are drawn into targets and source triplets (`perface study design`), every source is laid on
every target by the built-in engine (`study render`), and three votes for each cell are drawn from the *sources'* ratings, as
tools/omi_triplets.py does. `study close` makes the table, `perface train` fits a head to majority (D1) and unanimous answers (D2) for
some draws of the test sets, and `eval splits` puts the plain embedder and both side by side.

Needs numpy.  Example, about 500 swaps:
    python3 tools/small_grid.py DATA/omi scratch/grid --perface target/release/perface --targets 8 --triplets 20 --draws 5
"""
import argparse
import csv
import json
import os
import subprocess

import numpy as np
from omi_triplets import ADULT_YEARS, ATTRIBUTES


def ratings_of(path: str) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Rows of faces rated as adults, and their standardised ratings by the picture's name."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["age"]) >= ADULT_YEARS]
    raw = np.array([[float(row[a]) for a in ATTRIBUTES] for row in rows])
    standard = (raw - raw.mean(0)) / raw.std(0)
    return rows, {row["image"]: ratings for row, ratings in zip(rows, standard)}


def votes_of(study: dict, ratings: dict[str, np.ndarray], noise: float, seed: int) -> list[list]:
    """Three votes a sample: as if another third of the raters had been asked each time; dummies are always answered right."""
    rng = np.random.default_rng(seed)
    triplets = {triplet["id"]: triplet for triplet in study["triplets"]}
    written = []
    for sample in study["samples"]:
        if sample["kind"] == "practice":
            continue
        for person in range(3):
            if sample["kind"] == "dummy":
                choice, purpose = sample["correct"], "dummy"
            else:
                triplet = triplets[sample["triplet_id"]]
                faces = [ratings[os.path.basename(triplet[which])] for which in "cab"]
                c, a, b = np.array(faces) + rng.normal(0, noise, (3, len(ATTRIBUTES)))
                choice, purpose = "a" if np.linalg.norm(c - a) < np.linalg.norm(c - b) else "b", "real"
            written.append([sample["id"], person + 1, choice, "a", 2000, 1, "2026-01-01T00:00:00Z", purpose])
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("omi", help="folder with attributes.csv and images/")
    parser.add_argument("out")
    parser.add_argument("--perface", default="target/release/perface")
    parser.add_argument("--targets", type=int, default=8)
    parser.add_argument("--triplets", type=int, default=20)
    parser.add_argument("--draws", type=int, default=5, help="draws of the test sets")
    parser.add_argument("--noise", type=float, default=0.37)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    perface = os.path.abspath(options.perface)
    run = lambda *arguments: subprocess.run([perface, *map(str, arguments)], check=True)  # noqa: E731

    rows, ratings = ratings_of(os.path.join(options.omi, "attributes.csv"))
    faces = os.path.join(options.out, "faces.csv")
    with open(faces, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "gender", "age"])
        images = os.path.relpath(os.path.join(options.omi, "images"), options.out)
        for row in rows:
            gender = "male" if float(row["gender"]) > 50 else "female"
            writer.writerow([os.path.join(images, row["image"]), gender, round(float(row["age"]))])

    study = os.path.join(options.out, "study")
    if not os.path.exists(os.path.join(study, "study.json")):
        run("study", "design", faces, "--out", study, "--targets", options.targets, "--triplets", options.triplets,
            "--dummies", 2, "--practice", 1, "--simulated", "--seed", options.seed)
    run("study", "render", study)
    with open(os.path.join(study, "study.json"), encoding="utf-8") as file:
        design = json.load(file)
    votes = os.path.join(options.out, "votes.csv")
    with open(votes, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("sample_id person_id choice left ms valid answered_at purpose".split())
        writer.writerows(votes_of(design, ratings, options.noise, options.seed))
    run("study", "close", study, "--votes", votes, "--no-split")

    runs = []
    for labels in ("d1", "d2"):
        for draw in range(1, options.draws + 1):
            runs.append(os.path.join(options.out, f"{labels}-{draw}"))
            if not os.path.exists(os.path.join(runs[-1], "run.json")):
                run("train", os.path.join(study, "triplets.csv"), "--split", "grid", "--split-seed", draw, "--seed", draw,
                    "--labels", labels, "--features", "maps", "--width", 32, "--margin", 0.5, "--epochs", 10,
                    "--same-geometry", "--out", runs[-1])
    run("eval", "splits", *runs, "--out", os.path.join(options.out, "report"))


if __name__ == "__main__":
    main()
