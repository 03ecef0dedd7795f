"""Write testdata/reference/photo_colour.json: what Little CMS makes of samples under four small profiles.

    python tools/photo_colour.py        (needs numpy and pillow)

The profiles are made here from published primaries and a plain model of four inks, so that no foreign file is needed.
"""
import base64
import io
import json
import pathlib
import struct

import numpy as np
from PIL import Image, ImageCms

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def s15(value):
    return struct.pack(">i", int(round(value * 65536)))


def profile(kind, space, pcs, tags):
    tags = [(b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78), (b"cprt", b"text\0\0\0\0none\0"),
            (b"wtpt", b"XYZ \0\0\0\0" + b"".join(map(s15, D50)))] + tags
    table, data, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, body in tags:
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", offset + len(data), len(body))
        data += body
    head = struct.pack(">I4xI", offset + len(data), 0x02400000) + kind + space + pcs
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + b"".join(map(s15, D50))
    return head.ljust(128, b"\0") + table + data


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, int(round(gamma * 256)))


def rgb_profile(primaries, gamma):
    """Matrix and curve, white D65, adapted to D50 by Bradford's matrix."""
    xyz = lambda x, y: np.array([x / y, 1.0, (1 - x - y) / y])
    white = xyz(0.3127, 0.3290)
    m = np.array([xyz(*p) for p in primaries]).T
    m = m * np.linalg.solve(m, white)
    scale = (BRADFORD @ np.array(D50)) / (BRADFORD @ white)
    m = np.linalg.inv(BRADFORD) @ np.diag(scale) @ BRADFORD @ m
    tags = [(c + b"XYZ", b"XYZ \0\0\0\0" + b"".join(map(s15, m[:, i]))) for i, c in enumerate((b"r", b"g", b"b"))]
    return profile(b"mntr", b"RGB ", b"XYZ ", tags + [(c + b"TRC", curve(gamma)) for c in (b"r", b"g", b"b")])


def cmyk_profile(steps=5):
    """A lattice from four inks to Lab (lut16Type, ICC.1:2001, 6.5.9)."""
    c, m, y, k = np.meshgrid(*[np.linspace(0, 1, steps)] * 4, indexing="ij")
    rgb = np.stack([(1 - 0.95 * c) * (1 - 0.15 * m) * (1 - 0.02 * y), (1 - 0.35 * c) * (1 - 0.9 * m) * (1 - 0.08 * y),
                    (1 - 0.2 * c) * (1 - 0.5 * m) * (1 - 0.9 * y)], -1) * (1 - 0.93 * k)[..., None]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    srgb = np.array([[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]])
    t = linear @ srgb.T / D50
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    lab = np.stack([(116 * f[..., 1] - 16) / 100 * 65280, (500 * (f[..., 0] - f[..., 1]) + 128) * 256,
                    (200 * (f[..., 1] - f[..., 2]) + 128) * 256], -1)
    line = np.array([0, 65535], ">u2").tobytes()
    lut = b"mft2\0\0\0\0" + bytes([4, 3, steps, 0]) + b"".join(map(s15, [1, 0, 0, 0, 1, 0, 0, 0, 1])) + struct.pack(">HH", 2, 2)
    lut += line * 4 + np.clip(np.round(lab), 0, 65535).astype(">u2").tobytes() + line * 3
    return profile(b"prtr", b"CMYK", b"Lab ", [(b"A2B0", lut)])


PROFILES = {
    "display-p3-gamma-2.2": ("RGB", rgb_profile([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], 2.2)),
    "adobe-rgb": ("RGB", rgb_profile([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], 563 / 256)),
    "grey-gamma-1.8": ("L", profile(b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", curve(1.8))])),
    "four-inks": ("CMYK", cmyk_profile()),
}


def main():
    rng = np.random.default_rng(1)
    cases = []
    for name, (mode, icc) in PROFILES.items():
        channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
        samples = rng.integers(0, 256, (96, channels), dtype=np.uint8)
        samples[:9] = np.linspace(0, 255, 9).astype(np.uint8)[:, None]
        image = Image.frombytes(mode, (len(samples), 1), samples.tobytes())
        out = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"),
                                        renderingIntent=ImageCms.Intent.PERCEPTUAL, outputMode="RGB")
        cases.append({"name": name, "channels": channels, "icc_base64": base64.b64encode(icc).decode(),
                      "samples": samples.ravel().tolist(), "srgb": list(out.tobytes())})
    path = pathlib.Path(__file__).parent.parent / "testdata/reference/photo_colour.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": 1, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
