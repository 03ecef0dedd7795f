#!/usr/bin/env python3
"""Write testdata/reference/agreement.json: Fleiss' kappa by statsmodels, Krippendorff's alpha by krippendorff.

    pip install numpy statsmodels krippendorff
    python tools/agreement_reference.py
"""

import json
from pathlib import Path

import krippendorff
import numpy as np
from statsmodels.stats.inter_rater import fleiss_kappa

rng = np.random.default_rng(20261124)


def ratings(votes):
    """Raters in rows, samples in columns; NaN where nobody answered."""
    width = max(a + b for a, b in votes)
    columns = [[0.0] * a + [1.0] * b + [np.nan] * (width - a - b) for a, b in votes]
    return np.array(columns).T


def pairwise(votes):
    shares = [(a * (a - 1) + b * (b - 1)) / ((a + b) * (a + b - 1)) for a, b in votes if a + b > 1]
    return float(np.mean(shares))


def kappa(votes):
    counts = np.array([v for v in votes if sum(v) > 1])
    equal = len(set(counts.sum(axis=1))) == 1
    return float(fleiss_kappa(counts, method="fleiss")) if equal else None


def alpha(votes):
    return float(krippendorff.alpha(reliability_data=ratings(votes), level_of_measurement="nominal"))


def case(votes):
    votes = [(int(a), int(b)) for a, b in votes]
    unanimous = np.mean([min(v) == 0 for v in votes if sum(v) > 1])
    return {"votes": votes, "pairwise": pairwise(votes), "kappa": kappa(votes), "alpha": alpha(votes),
            "unanimous": float(unanimous)}


def draw(samples, answers, concentration):
    chance = rng.beta(concentration, concentration, samples)
    return [(a := int(rng.binomial(n, p)), n - a) for p, n in zip(chance, answers)]


def resampled(rows, columns, resamples):
    """Every sample repeated as often as its row was drawn times its column; then the libraries, then numpy's quantiles."""
    votes = draw(rows * columns, [3] * (rows * columns), 0.6)
    weights, values = [], {"pairwise": [], "kappa": [], "alpha": []}
    while len(weights) < resamples:
        row = rng.multinomial(rows, [1 / rows] * rows)
        column = rng.multinomial(columns, [1 / columns] * columns)
        weight = np.outer(row, column).ravel()
        repeated = [v for v, w in zip(votes, weight) for _ in range(w)]
        if len({i for a, b in repeated for i, n in enumerate((a, b)) if n}) < 2:
            continue
        weights.append([float(w) for w in weight])
        for name, of in (("pairwise", pairwise), ("kappa", kappa), ("alpha", alpha)):
            values[name].append(of(repeated))
    interval = {name: {"low": float(np.quantile(v, 0.025)), "high": float(np.quantile(v, 0.975))} for name, v in values.items()}
    return {"votes": votes, "weights": weights, **interval}


cases = [
    case([(3, 0), (2, 1), (0, 3), (1, 2)]),
    case(draw(200, [3] * 200, 0.7)),
    case(draw(200, [5] * 200, 2.0)),
    case(draw(150, rng.integers(1, 6, 150), 0.5)),
    case([(2, 0), (0, 3), (1, 1), (1, 0), (0, 0), (2, 2)]),
]
out = {"cases": cases, "resampled": [resampled(4, 5, 60), resampled(6, 3, 40)]}
path = Path(__file__).parent.parent / "testdata/reference/agreement.json"
path.write_text(json.dumps(out, separators=(",", ":")) + "\n")
print(path, path.stat().st_size, "bytes")
