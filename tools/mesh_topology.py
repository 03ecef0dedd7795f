"""Writes perface/src/swap/warp/topology_table.rs: a triangulation of the 468-point face mesh and its mean shape.

    python3 tools/mesh_topology.py MESHES.json > perface/src/swap/warp/topology_table.rs

MESHES.json is a list of [468, 3] point lists in pixels (x right, y down, smaller z nearer). The committed table was made
from the neutral and smiling photos of the Face Research Lab London Set (DeBruine & Jones, figshare 5047666, CC BY 4.0).
The meshes are brought together by generalised Procrustes alignment (3-D similarity) and averaged with their mirror image.
The mean is unrolled onto a cylinder, its lips and lids are parted so that no two points coincide, and the plane points are
triangulated by Delaunay. Triangles outside the oval are dropped.
"""
import json
import sys

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay

OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
# Rings of the lips from the vermilion border inwards: left corner, upper lip, right corner, lower lip.
LIP_RINGS = [
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146],
    [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77],
    [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319, 403, 316, 15, 86, 179, 89, 96],
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95],
]
# How far the lips are parted for the triangulation, in face widths.
OPENING = .12


def umeyama(source, target):
    """Scale, rotation and shift of the least-squares similarity source -> target."""
    ms, mt = source.mean(0), target.mean(0)
    a, b = source - ms, target - mt
    u, d, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / (a ** 2).sum(1).mean()
    return scale, rotation, mt - scale * rotation @ ms


def mean_shape(meshes):
    mean = meshes[0] - meshes[0].mean(0)
    for _ in range(10):
        aligned = []
        for mesh in meshes:
            s, r, t = umeyama(mesh, mean)
            aligned.append(s * mesh @ r.T + t)
        mean = np.mean(aligned, 0)
        mean /= np.linalg.norm(mean[454] - mean[234])
    return mean


def symmetric(mean):
    """The mean of a levelled shape and its mirror image, and the number of each point's mirror point."""
    mean = mean - [mean[[234, 454], 0].mean(), 0, 0]
    for _ in range(5):
        flip = mean * [-1, 1, 1]
        partner = linear_sum_assignment(np.linalg.norm(mean[:, None] - flip[None], axis=2))[1]
        s, r, t = umeyama(flip[partner], mean)
        mean = (mean + s * flip[partner] @ r.T + t) / 2
    assert (partner[partner] == np.arange(len(mean))).all()
    return mean, partner


def level(mean):
    """Upright and frontal: x along the eye corners, mirror plane at x = 0, centre at the mean point."""
    x = mean[454] - mean[234]
    x /= np.linalg.norm(x)
    y = mean[152] - mean[10]
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    return (mean - mean.mean(0)) @ np.stack([x, y, np.cross(x, y)]).T


def unrolled(mean):
    """Plane coordinates: angle about a vertical axis behind the face, and height; lips parted."""
    axis_z = mean[[234, 454], 2].mean()
    u = .5 * np.arctan2(mean[:, 0], axis_z + .15 - mean[:, 2])
    v = mean[:, 1].copy()
    v[under_the_mouth(mean)] += OPENING
    return np.c_[u, v]


def under_the_mouth(mean):
    """Which points belong to the lower lip and what lies under it."""
    line = mean[[78, 308], 1].mean()
    below = mean[:, 1] > line
    for ring in LIP_RINGS:
        below[ring[:11]] = False
        below[ring[11:]] = True
    return below


def inside(polygon, p):
    x, y = polygon[:, 0], polygon[:, 1]
    xn, yn = np.roll(x, -1), np.roll(y, -1)
    cross = (y > p[1]) != (yn > p[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x + (p[1] - y) * (xn - x) / (yn - y)
    return (cross & (p[0] < at)).sum() % 2 == 1


def lip_triangles():
    """Strips between the rings of the lips, and across the mouth's opening."""
    out = []
    for outer, inner in zip(LIP_RINGS, LIP_RINGS[1:]):
        for k in range(20):
            n = (k + 1) % 20
            out += [(outer[k], outer[n], inner[n]), (outer[k], inner[n], inner[k])]
    mouth = LIP_RINGS[-1]
    for k in range(10):
        a, b, c, d = mouth[k], mouth[k + 1], mouth[-k - 1], mouth[-k] if k else mouth[0]
        out += [t for t in ((a, b, c), (a, c, d)) if len(set(t)) == 3]
    return out


def insist_on_edge(triangles, i, j):
    """Where two triangles share the edge that crosses i-j, turn that edge."""
    if any(i in t and j in t for t in triangles):
        return
    for p, t in enumerate(triangles):
        for q, u in enumerate(triangles):
            shared = set(t) & set(u)
            if i in t and j in u and len(shared) == 2 and not shared & {i, j}:
                a, b = (t[(t.index(i) + k) % 3] for k in (1, 2))
                triangles[p], triangles[q] = (i, a, j), (i, j, b)
                return


def main():
    meshes = np.array(json.load(open(sys.argv[1])), float)
    mean, partner = symmetric(level(mean_shape(meshes)))
    mean = level(mean)
    mean /= mean[454, 0] - mean[234, 0]
    plane = unrolled(mean)
    inside_lips = {i for ring in LIP_RINGS[1:] for i in ring}
    points = np.array([i for i in range(len(plane)) if i not in inside_lips])
    triangles = points[Delaunay(plane[points]).simplices]
    oval = plane[OVAL]
    kept = []
    for t in triangles:
        a, b, c = plane[t]
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if inside(oval, plane[t].mean(0)):
            kept.append(tuple(int(i) for i in (t if area > 0 else t[[0, 2, 1]])))
    for ring in (OVAL, LIP_RINGS[0]):
        for i, j in zip(ring, ring[1:] + ring[:1]):
            insist_on_edge(kept, i, j)
    kept = [t for t in kept if not set(t) <= set(LIP_RINGS[0])] + lip_triangles()
    edges = {frozenset(e) for t in kept for e in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    for name, ring in (("oval", OVAL), ("lips", LIP_RINGS[0])):
        for i, j in zip(ring, ring[1:] + ring[:1]):
            if frozenset((i, j)) not in edges:
                print(f"{name}: edge {i}-{j} is missing", file=sys.stderr)
    print(f"{len(kept)} triangles, {len({i for t in kept for i in t})} points", file=sys.stderr)
    # Each triangle begins with its smallest point, keeping its sense of turning.
    kept = sorted(t[k:] + t[:k] for t in kept for k in [t.index(min(t))])
    print("//! Made by `tools/mesh_topology.py`; that file says how and from what. Do not edit.\n")
    print("/// Corners of each triangle, clockwise on screen when seen from the front.")
    print(f"pub const TRIANGLES: [[u16; 3]; {len(kept)}] = [")
    for t in kept:
        print(f"    [{t[0]}, {t[1]}, {t[2]}],")
    print("];\n")
    print("/// The mean frontal shape: x right, y down, smaller z nearer, in face widths (points 234 to 454), centred.")
    print("pub const MEAN_SHAPE: [[f32; 3]; 468] = [")
    for p in mean:
        print("    [" + ", ".join(f"{v + 0:.4f}" for v in p) + "],")
    print("];")
    print("\n/// The number of each point's mirror point.")
    print("pub const MIRROR: [u16; 468] = [")
    for k in range(0, 468, 18):
        print("    " + ", ".join(str(int(v)) for v in partner[k:k + 18]) + ",")
    print("];")


main()
