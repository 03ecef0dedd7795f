#!/usr/bin/env python3
"""Reference numbers for the statistics, by scipy, statsmodels and scikit-learn.

Usage: python tools/stats_reference.py > testdata/reference/stats.json
Needs: numpy scipy statsmodels scikit-learn
"""

import itertools
import json
import sys

import numpy as np
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(1)


def student_t():
    for dof in (1, 2, 4, 9, 29, 99, 199, 999, 100_000):
        for p in (0.025, 0.5, 0.95, 0.975, 0.999):
            yield {"p": p, "dof": dof, "t": stats.t.ppf(p, dof)}


def quantile():
    for n in (1, 2, 7, 100):
        values = rng.normal(size=n).round(4)
        for q in (0, 0.025, 0.5, 0.95, 0.975, 1):
            yield {"values": values.tolist(), "q": q, "quantile": np.quantile(values, q)}


def mean_interval():
    for n in (2, 5, 40):
        values = rng.normal(0.7, 0.1, size=n).round(4)
        low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
        yield {"values": values.tolist(), "mean": values.mean(), "low": low, "high": high}


def proportion():
    for hits, n in ((0, 5), (1, 1), (5, 5), (3, 8), (132, 144), (95, 144), (764, 1000), (99_990, 100_000)):
        wilson = proportion_confint(hits, n, method="wilson")
        exact = stats.binomtest(hits, n).proportion_ci(method="exact")
        yield {"hits": hits, "n": n, "wilson_low": wilson[0], "wilson_high": wilson[1],
               "exact_low": exact.low, "exact_high": exact.high}


def binomial():
    for hits, n, chance in ((0, 4, 0.5), (4, 4, 0.5), (7, 9, 0.5), (90, 144, 0.5), (300, 1000, 0.25), (2, 50, 0.1)):
        yield {"hits": hits, "n": n, "chance": chance,
               "two_sided": stats.binomtest(hits, n, chance).pvalue,
               "at_least": stats.binomtest(hits, n, chance, alternative="greater").pvalue}


def mcnemar_exact():
    for b, c in ((0, 1), (1, 1), (2, 9), (17, 40), (120, 90)):
        yield {"only_first": b, "only_second": c, "p": mcnemar([[0, b], [c, 0]], exact=True).pvalue}


def auc():
    for n, decimals in ((6, 1), (40, 1), (40, 6)):
        positive = (np.arange(n) % 3 == 0).astype(int)
        scores = (rng.normal(size=n) + positive).round(decimals)
        yield {"scores": scores.tolist(), "positive": positive.tolist(), "auc": roc_auc_score(positive, scores)}


def balanced_accuracy():
    for tp, fp, fn, tn in ((468, 35, 32, 465), (377, 56, 123, 444), (0, 0, 3, 4)):
        truth = [1] * (tp + fn) + [0] * (fp + tn)
        said = [1] * tp + [0] * fn + [1] * fp + [0] * tn
        yield {"tp": tp, "fp": fp, "fn": fn, "tn": tn, "value": balanced_accuracy_score(truth, said)}


def two_way_bootstrap():
    """Every resample of three rows and three columns; the limits a large sample of them must fall between."""
    for values in (rng.integers(0, 2, size=9).astype(float), rng.normal(size=9).round(3)):
        table = values.reshape(3, 3)
        draws = list(itertools.product(range(3), repeat=3))
        means = sorted(table[np.ix_(rows, columns)].mean() for rows in draws for columns in draws)
        yield {"values": values.tolist(), "row": [0, 0, 0, 5, 5, 5, 2, 2, 2], "column": [7, 1, 4] * 3,
               "mean": table.mean(),
               "low_between": [np.quantile(means, 0.018), np.quantile(means, 0.032)],
               "high_between": [np.quantile(means, 0.968), np.quantile(means, 0.982)]}


# True and false positives and negatives behind Table 4 of arXiv 2509.20281: the only whole numbers with 250 queries
# in each intersection that give its figures.
TABLE_4 = {
    "before": {"male": (468, 35, 32, 465), "young": (406, 84, 94, 416), "young-male": (203, 88, 47, 662),
               "young-female": (163, 39, 87, 711), "older-male": (197, 49, 53, 701), "older-female": (201, 60, 49, 690)},
    "after": {"male": (486, 21, 14, 479), "young": (377, 56, 123, 444), "young-male": (214, 85, 36, 665),
              "young-female": (166, 36, 84, 714), "older-male": (197, 29, 53, 721), "older-female": (216, 57, 34, 693)},
}


def table_4():
    for when, rows in TABLE_4.items():
        for name, (tp, fp, fn, tn) in rows.items():
            yield table_4_row(when, name, tp, fp, fn, tn)
            mirror = {"male": "female", "young": "older"}.get(name)
            if mirror:
                yield table_4_row(when, mirror, tn, fn, fp, tp)


def table_4_row(when, name, tp, fp, fn, tn):
    shares = (tp / (tp + fp), tp / (tp + fn), (tp + tn) / (tp + fp + fn + tn), (tp / (tp + fn) + tn / (tn + fp)) / 2)
    return {"when": when, "class": name, "tp": tp, "fp": fp, "fn": fn, "tn": tn,
            "printed": [f"{share:.3f}" for share in shares]}


PARTS = {
    "student_t": student_t, "quantile": quantile, "mean_interval": mean_interval, "proportion": proportion,
    "binomial": binomial, "mcnemar": mcnemar_exact, "auc": auc, "balanced_accuracy": balanced_accuracy,
    "two_way_bootstrap": two_way_bootstrap, "table_4": table_4,
}

if __name__ == "__main__":
    parts = [f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in make()) + "\n]" for name, make in PARTS.items()]
    sys.stdout.write("{" + ",\n".join(parts) + "}\n")
