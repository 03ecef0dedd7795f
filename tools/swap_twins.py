"""Random-weight twins of SimSwap's networks, and what the Python path makes of a photo with them.

    python tools/swap_twins.py APPENDIX SOURCE_PHOTO TARGET_PHOTO OUT
    PERFACE_SWAP_TWINS=OUT cargo test -p perface --test swap_twins

APPENDIX holds the tables of names and shapes (statedict_simswap_G_224.tsv, statedict_foamliu_ir_se101.tsv), against
which every parameter is checked. Landmarks are read from SOURCE_PHOTO.json and TARGET_PHOTO.json: five points, image-left
eye first, as `perface detect --json` prints them. The path is SimSwap's own (test_wholeimage_swapsingle.py): five-pose
crop at 224, source crop / 255 with ImageNet mean and std, nearest to 112, identity network, unit norm; target crop /
255; generator; warped back; mask > 20, eroded by 40 x 40, blurred by 41 x 41, blended.

Needs torch, onnx, numpy and opencv-python-headless. OUT takes 450 MB.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

import simswap_net

SIZE = 224
# SimSwap, util/face_align_ffhqandnewarc.py, at 112.
POSES = np.array([
    [[51.642, 50.115], [57.617, 49.990], [35.740, 69.007], [51.157, 89.050], [57.025, 89.702]],
    [[45.031, 50.118], [65.568, 50.872], [39.677, 68.111], [45.177, 86.190], [64.246, 86.758]],
    [[39.730, 51.138], [72.270, 51.138], [56.000, 68.493], [42.463, 87.010], [69.537, 87.010]],
    [[46.845, 50.872], [67.382, 50.118], [72.737, 68.111], [48.167, 86.758], [67.236, 86.190]],
    [[54.796, 49.990], [60.771, 50.115], [76.673, 69.007], [55.388, 89.702], [61.257, 89.050]],
])  # fmt: skip


def umeyama(src, dst):
    """Least-squares similarity with scale, as skimage's SimilarityTransform."""
    a, b = src - src.mean(0), dst - dst.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a / len(src))
    d = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    r = u @ np.diag(d) @ vt
    scale = (s * d).sum() / a.var(0).sum()
    return np.hstack([scale * r, (dst.mean(0) - scale * r @ src.mean(0))[:, None]])


def five_pose(landmarks, size):
    fits = []
    for pose in POSES * size / 112:
        m = umeyama(landmarks, pose)
        moved = landmarks @ m[:, :2].T + m[:, 2]
        fits.append((np.sqrt(((moved - pose) ** 2).sum(1)).sum(), m))
    return min(fits, key=lambda fit: fit[0])[1]


def check(net, table):
    want = [line.split("\t")[:2] for line in table.read_text().splitlines() if "\t" in line]
    got = [(k, "x".join(map(str, v.shape)) or "scalar") for k, v in net.state_dict().items()]
    assert sorted(map(tuple, want)) == sorted(got), f"{table.name}: {set(map(tuple, want)) ^ set(got)}"


def randomise(net, seed):
    """Weights that keep the scale of what goes through, so that no layer drowns a mistake."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.dtype != torch.float32:
            continue
        random = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(1 + 0.2 * random.abs())
        elif value.dim() >= 2:
            value.copy_(random * (2 / value[0].numel()) ** 0.5)
        elif name.endswith("weight") and value.numel() == 1:
            value.fill_(0.25)
        elif name.endswith("weight"):
            value.copy_(1 + 0.1 * random)
        else:
            value.copy_(0.1 * random)


def main():
    appendix, source_path, target_path, out = map(Path, sys.argv[1:5])
    out.mkdir(parents=True, exist_ok=True)
    torch.set_grad_enabled(False)
    generator, identity = simswap_net.Generator(SIZE).eval(), simswap_net.Identity([3, 4, 23, 3]).eval()
    check(generator, appendix / "statedict_simswap_G_224.tsv")
    check(identity, appendix / "statedict_foamliu_ir_se101.tsv")
    randomise(generator, 1)
    # A random generator would paint grey: let its picture span the range.
    generator.last_layer[1].weight.mul_(0.5)
    randomise(identity, 2)
    # A hundred random layers would turn one grey level of one pixel into another person: let each block add a little.
    for name, value in identity.state_dict().items():
        if name.startswith("layer") and name.endswith("bn2.weight"):
            value.mul_(0.2)

    landmarks = {}
    pictures = {}
    for name, path in (("source", source_path), ("target", target_path)):
        pictures[name] = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        landmarks[name] = np.array(json.loads(Path(f"{path}.json").read_text()), dtype=np.float64).reshape(5, 2)
    warp = lambda name, m: cv2.warpAffine(pictures[name], m, (SIZE, SIZE), borderValue=0.0)  # noqa: E731
    tensor = lambda crop: torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)[None]  # noqa: E731

    source_crop = warp("source", five_pose(landmarks["source"], SIZE))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normal = (tensor(source_crop) - mean[None, :, None, None]) / std[None, :, None, None]
    latent = identity(torch.nn.functional.interpolate(normal, size=(112, 112)))
    latent = latent / latent.norm(dim=1, keepdim=True)

    to_crop = five_pose(landmarks["target"], SIZE)
    target_crop = warp("target", to_crop)
    swapped = generator(tensor(target_crop), latent)
    print("swapped: mean", float(swapped.mean()), "std", float(swapped.std()))
    swapped_u8 = (swapped[0].permute(1, 2, 0).numpy() * 255).astype(np.float32)

    frame = pictures["target"]
    height, width = frame.shape[:2]
    back = cv2.invertAffineTransform(to_crop)
    pasted = cv2.warpAffine(swapped_u8, back, (width, height), borderValue=0.0)
    mask = cv2.warpAffine(np.full((SIZE, SIZE), 255, np.float32), back, (width, height), borderValue=0.0)
    mask[mask > 20] = 255
    mask = cv2.erode(mask, np.ones((40, 40), np.uint8), iterations=1)
    mask = cv2.GaussianBlur(mask, (41, 41), 0) / 255
    result = mask[:, :, None] * pasted + (1 - mask[:, :, None]) * frame
    result = result.astype(np.uint8)

    simswap_net.export(generator, (tensor(target_crop), latent), ["target", "source"], out / "simswap-224.onnx")
    simswap_net.export(identity, (torch.rand(1, 3, 112, 112),), ["input"], out / "simswap-arcface.onnx")
    save = lambda name, picture: cv2.imwrite(str(out / name), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))  # noqa: E731
    for name in ("source", "target"):
        save(f"{name}.png", pictures[name])
    save("source_crop.png", source_crop)
    save("target_crop.png", target_crop)
    save("result.png", result)
    reference = {name: points.tolist() for name, points in landmarks.items()} | {"latent": latent[0].tolist()}
    (out / "reference.json").write_text(json.dumps(reference))
    np.save(out / "swapped.npy", swapped.numpy())


if __name__ == "__main__":
    main()
