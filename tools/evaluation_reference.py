#!/usr/bin/env python3
"""Reference numbers for agreement among people, correlation and verification, by scipy, statsmodels and scikit-learn.

Usage: python tools/evaluation_reference.py > testdata/reference/evaluation.json
Needs: numpy scipy statsmodels scikit-learn
"""

import json
import sys

import numpy as np
from scipy import integrate, stats
from sklearn.metrics import roc_curve
from statsmodels.stats.inter_rater import fleiss_kappa

rng = np.random.default_rng(2)


def ceiling():
    """Shares under p ~ Beta(a, a), by numerical integration over p in (1/2, 1)."""
    for u in (0.3, 0.4, 0.5, 0.5625, 0.6, 0.7, 0.8, 0.95):
        pairwise = (1 + 2 * u) / 3
        a = (1 - pairwise) / (2 * pairwise - 1)
        weight = stats.beta(a, a)

        def upper(of):
            # p = 1 - t^k removes the singularity of the density at 1 where a < 1.
            k = max(1.0, 2.0 / a)
            inner = lambda t: of(1 - t**k) * weight.pdf(t**k) * k * t ** (k - 1)
            return integrate.quad(inner, 0, 0.5 ** (1 / k), epsabs=1e-13, epsrel=1e-13, limit=400)[0]

        three = upper(lambda p: p**3 + (1 - p) ** 3)
        yield {"u": u, "pairwise": pairwise, "a": a,
               "new_person": 2 * upper(lambda p: p),
               "majority": 2 * upper(lambda p: 3 * p**2 - 2 * p**3),
               "unanimous": upper(lambda p: p**3) / three,
               "fourth": upper(lambda p: p**4 + (1 - p) ** 4) / three}


def fleiss():
    for n, people, bias in ((12, 3, 0.5), (200, 3, 0.7), (50, 5, 0.4)):
        a = rng.binomial(people, rng.beta(0.7 * bias * 2, 0.7 * (1 - bias) * 2, size=n))
        votes = np.stack([a, people - a], axis=1)
        agree = (votes * (votes - 1)).sum(1) / (people * (people - 1))
        three = (votes * (votes - 1) * (votes - 2)).sum(1) / (people * (people - 1) * (people - 2))
        yield {"votes": votes.tolist(), "kappa": fleiss_kappa(votes), "pairwise": agree.mean(),
               "third": three.sum() / agree.sum()}


def correlation():
    for n, decimals in ((5, 3), (40, 1), (200, 1), (300, 6)):
        x = rng.normal(size=n).round(decimals)
        y = (0.6 * x + rng.normal(size=n)).round(decimals)
        spearman, kendall = stats.spearmanr(x, y), stats.kendalltau(x, y, method="asymptotic")
        yield {"x": x.tolist(), "y": y.tolist(),
               "spearman": spearman.statistic, "spearman_p": spearman.pvalue,
               "kendall": kendall.statistic, "kendall_p": kendall.pvalue}


def eer():
    """Equal error rate where the ROC, with straight lines between its points, meets FAR = 1 - TAR."""
    for n, decimals in ((30, 1), (200, 2), (200, 8)):
        same = (np.arange(n) % 2 == 0).astype(int)
        scores = (rng.normal(size=n) + 1.5 * same).round(decimals)
        far, tar, _ = roc_curve(same, scores, drop_intermediate=False)
        gap = far - (1 - tar)
        i = int(np.argmax(gap >= 0))
        if i == 0:
            rate = far[0]
        else:
            t = -gap[i - 1] / (gap[i] - gap[i - 1])
            rate = far[i - 1] + t * (far[i] - far[i - 1])
        yield {"scores": scores.tolist(), "same": same.tolist(), "eer": rate}


PARTS = {"ceiling": ceiling, "fleiss": fleiss, "correlation": correlation, "eer": eer}

if __name__ == "__main__":
    parts = [f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in make()) + "\n]" for name, make in PARTS.items()]
    sys.stdout.write("{" + ",\n".join(parts) + "}\n")
