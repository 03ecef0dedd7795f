#!/usr/bin/env python3
"""Derive triplets from ratings of faces: nobody was asked "which is more similar".

Reads attributes.csv (mean ratings of each face, one column per attribute) and writes triplets.csv with three derived
votes for each question and the columns of docs/data.md. The faces are split first: a face belongs to training,
validation or test by the SHA-256 of its name, and all three faces of a question are of one part. Faces rated under 18
are left out.

A vote: to every standardised rating of the three faces noise of SD --noise is added, as if another third of the raters
had been asked, and the nearer face in that space gets the vote. --noise .37 gives the share of unanimous questions (.78)
that the list derived from single raters has.

--ratings also writes pairs with how near they are in that space, for `perface eval similarity`.

Kinds of questions, by --near, --any and --ages: within one gender and close in age, as in the published design; across
gender and age; and within one gender, where one face is nearer in age by ten years or more. The last are drawn apart, so
that the others are the same with and without them.

--groups also writes the faces that training does not see with their group, for `perface eval groups`: young 18-34 or older from
40, male above 60 of 100 or female below 40; the others are left out.

Needs numpy.  Example:
    python3 tools/omi_triplets.py ../shared/data/omi/attributes.csv --ages 6000 --out triplets.csv
"""
import argparse
import csv
import hashlib

import numpy as np

# The nineteen ratings the published derived list agrees with best (unanimous .996).
ATTRIBUTES = ("age gender weight skin-color hair-color long-haired asian black white hispanic middle-eastern islander "
              "native attractive cute dominant trustworthy dorky smug").split()
ADULT_YEARS = 18.0
NEAR_YEARS = 8.0
APART_YEARS = 10.0


def part_of(name: str, test: float, val: float) -> str:
    """Training, validation or test, the same on every machine."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return "i" if share < test else "val" if share < test + val else "train"


def fits(raw, kind: str, c: int, a: int, b: int) -> bool:
    """Whether a question is of a kind; `raw` holds age and gender in its first columns."""
    (age_c, male_c), (age_a, male_a), (age_b, male_b) = ((raw[k, 0], raw[k, 1] > 50) for k in (c, a, b))
    if kind == "any":
        return True
    if not male_a == male_b == male_c:
        return False
    to_a, to_b = abs(age_a - age_c), abs(age_b - age_c)
    return max(to_a, to_b) <= NEAR_YEARS if kind == "near" else abs(to_a - to_b) >= APART_YEARS


def draw(raw, ratings, faces, kind: str, wanted: int, noise: float, rng, seen: set) -> list:
    """`wanted` questions about `faces` that are not in `seen`: reference, a, b and how many of three votes a gets."""
    questions = []
    while len(questions) < wanted:
        c, a, b = rng.choice(faces, 3, replace=False)
        if not fits(raw, kind, c, a, b) or (c, min(a, b), max(a, b)) in seen:
            continue
        seen.add((c, min(a, b), max(a, b)))
        noisy = ratings[[c, a, b]] + rng.normal(0, noise, (3, 3, ratings.shape[1]))
        to_a = np.linalg.norm(noisy[:, 0] - noisy[:, 1], axis=1)
        to_b = np.linalg.norm(noisy[:, 0] - noisy[:, 2], axis=1)
        questions.append((c, a, b, int((to_a < to_b).sum())))
    return questions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attributes")
    parser.add_argument("--out", default="triplets.csv")
    parser.add_argument("--near", type=int, default=6000, help="training questions within one gender and age")
    parser.add_argument("--any", type=int, default=6000, help="training questions across gender and age")
    parser.add_argument("--ages", type=int, default=0, help="training questions within one gender, across age")
    parser.add_argument("--test", type=float, default=0.15, help="share of faces kept for the final table")
    parser.add_argument("--val", type=float, default=0.15, help="share of faces to stop by")
    parser.add_argument("--held", type=int, default=2000, help="questions of validation and of test, near only")
    parser.add_argument("--groups", help="also write image, gender, age_group, part of faces kept from training")
    parser.add_argument("--noise", type=float, default=0.37)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ratings", metavar="CSV", help="also write 2000 rated pairs: a, b, rating, minus their distance")
    options = parser.parse_args()

    with open(options.attributes, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if float(row["age"]) >= ADULT_YEARS]
    names = [row["image"] for row in rows]
    raw = np.array([[float(row[a]) for a in ATTRIBUTES] for row in rows])
    ratings = (raw - raw.mean(0)) / raw.std(0)
    parts = np.array([part_of(name, options.test, options.val) for name in names])
    rng = np.random.default_rng(options.seed)

    if options.ratings:
        pairs = {tuple(sorted(rng.choice(len(names), 2, replace=False))) for _ in range(2100)}
        with open(options.ratings, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow("a b rating".split())
            for a, b in sorted(pairs)[:2000]:
                writer.writerow([names[a], names[b], f"{-np.linalg.norm(ratings[a] - ratings[b]):.4f}"])

    written, seen = [], set()
    ages_rng = np.random.default_rng([options.seed, 1])
    for part, kind, wanted, rng in [("train", "near", options.near, rng), ("train", "any", options.any, rng),
                                    ("val", "near", options.held, rng), ("i", "near", options.held, rng),
                                    ("train", "ages", options.ages, ages_rng)]:
        for c, a, b, votes_a in draw(raw, ratings, np.flatnonzero(parts == part), kind, wanted, options.noise, rng, seen):
            written.append([f"{part}-{len(written)}", names[c], f"{min(names[a], names[b])}|{max(names[a], names[b])}",
                            names[c], names[a], names[b], votes_a, 3 - votes_a, "derived", part, kind])
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("sample_id target_id triplet_id reference a b votes_a votes_b kind split pairing".split())
        writer.writerows(written)
    if options.groups:
        with open(options.groups, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow("image gender age_group part".split())
            for name, values, part in zip(names, raw, parts):
                group = "young" if values[0] < 35 else "older" if values[0] >= 40 else None
                gender = "male" if values[1] > 60 else "female" if values[1] < 40 else None
                if part != "train" and group and gender:
                    writer.writerow([name, gender, group, part])
    unanimous = np.mean([row[6] in (0, 3) for row in written if row[10] == "near"])
    counts = {part: int((parts == part).sum()) for part in ("train", "val", "i")}
    print(f"{len(written)} derived triplets, faces {counts}, unanimous among near ones {unanimous:.3f}")


if __name__ == "__main__":
    main()
