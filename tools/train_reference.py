#!/usr/bin/env python3
"""Write testdata/reference/train.json: what PyTorch computes for IResNet-18 and MobileFaceNet, and ten steps of SGD.

The networks are plain re-statements with the published parameter names. Weights and pictures come from a formula that the
tests repeat, so none are stored: u(name, k) in [-1, 1) is SplitMix64 of FNV-1a(name) + k.

Needs torch and numpy.  Example:
    python3 tools/train_reference.py testdata/reference/train.json
    python3 tools/train_reference.py r50.json --nets r50        # by hand; large
"""
import argparse
import json

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

MASK = (1 << 64) - 1
TRIPLETS = 2
STEPS = 10
# Two triplets are soon told apart, so the margin is the widest there is and every step has a loss to compare.
MARGIN = 2.0
RATE = 0.001


def fnv1a(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def uniform(name: str, count: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2**53 * 2 - 1


def fill(net: nn.Module) -> None:
    """Values by kind: small normalisations around one, weights of the variance that keeps activations alive."""
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        u = uniform(name, tensor.numel())
        if tensor.dim() > 1:
            u *= (3.0 / (tensor.numel() / tensor.shape[0])) ** 0.5
        elif name.endswith("running_var"):
            u = 1 + 0.5 * u
        elif name.endswith("running_mean") or name.endswith("bias"):
            u *= 0.1
        elif name == "features.weight":
            u = np.ones_like(u)
        elif "prelu" in name or ".layers.2.weight" in name or name == "conv_sep.layers.2.weight":
            u = 0.25 + 0.1 * u
        else:
            u = 1 + 0.1 * u
        tensor.copy_(torch.from_numpy(u.astype(np.float32)).reshape(tensor.shape))


class Block(nn.Module):
    def __init__(self, inside, out, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.prelu = nn.PReLU(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1, self.bn1, self.prelu = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        inside = 64
        for stage, (count, out) in enumerate(zip(blocks, (64, 128, 256, 512)), 1):
            layers = []
            for index in range(count):
                layers.append(Block(inside, out, 2 if index == 0 else 1))
                inside = out
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * 49, 512)
        self.features = nn.BatchNorm1d(512)
        self.features.weight.requires_grad = False

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.features(self.fc(torch.flatten(self.bn2(x), 1)))


class Layers(nn.Module):
    """`layers.N` run one after the other, plus the input where it is a residual."""

    def __init__(self, *layers, residual=False):
        super().__init__()
        self.layers, self.residual = nn.Sequential(*layers), residual

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.residual else y


def conv_block(inside, out, kernel, stride, pad, groups=1):
    conv = nn.Conv2d(inside, out, kernel, stride, pad, groups=groups, bias=False)
    return Layers(conv, nn.BatchNorm2d(out), nn.PReLU(out))


def linear_block(inside, out, kernel, stride, pad, groups=1):
    return Layers(nn.Conv2d(inside, out, kernel, stride, pad, groups=groups, bias=False), nn.BatchNorm2d(out))


def depthwise(inside, out, wide, stride, residual=False):
    return Layers(conv_block(inside, wide, 1, 1, 0), conv_block(wide, wide, 3, stride, 1, wide),
                  linear_block(wide, out, 1, 1, 0), residual=residual)


class MobileFaceNet(nn.Module):
    def __init__(self):
        super().__init__()
        repeat = lambda n, c: Layers(*[depthwise(c, c, c, 1, True) for _ in range(n)])  # noqa: E731
        self.layers = nn.ModuleList([
            conv_block(3, 128, 3, 2, 1), conv_block(128, 128, 3, 1, 1, 64), depthwise(128, 128, 128, 2), repeat(4, 128),
            depthwise(128, 256, 256, 2), repeat(6, 256), depthwise(256, 256, 512, 2), repeat(2, 256)])
        self.conv_sep = conv_block(256, 512, 1, 1, 0)
        self.features = Layers(linear_block(512, 512, 7, 1, 0, 512), nn.Flatten(), nn.Linear(512, 512, bias=False),
                               nn.BatchNorm1d(512))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.features(self.conv_sep(x))


NETS = {"r18": lambda: IResNet((2, 2, 2, 2)), "r50": lambda: IResNet((3, 4, 14, 3)), "mbf": MobileFaceNet}


def loss_of(embeddings: torch.Tensor) -> torch.Tensor:
    reference, near, far = embeddings.chunk(3)
    return torch.clamp(F.cosine_similarity(reference, far) - F.cosine_similarity(reference, near) + MARGIN, min=0).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--nets", default="r18,mbf")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = torch.from_numpy(uniform("pictures", 3 * TRIPLETS * 3 * 112 * 112).astype(np.float32))
    pictures = pictures.reshape(3 * TRIPLETS, 3, 112, 112)
    result = {}
    for name in options.nets.split(","):
        net = NETS[name]()
        with torch.no_grad():
            fill(net)
            net.eval()
            evaluated = net(pictures)
            net.train()
            trained = net(pictures)
            # The first and last values of every running statistic, after one batch.
            running = {key: [float(v) for v in (value[0], value[-1])]
                       for key, value in net.state_dict().items() if "running_" in key}
            fill(net)
        optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=RATE, momentum=0.9,
                                    weight_decay=5e-4)
        losses = []
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = loss_of(net(pictures))
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        result[name] = {"eval": evaluated[:, :4].tolist(), "train": trained[:, :4].tolist(), "running": running,
                        "losses": losses}
        print(name, losses)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump({"torch": torch.__version__, **result}, file)
        file.write("\n")


if __name__ == "__main__":
    main()
