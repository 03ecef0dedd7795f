"""SimSwap's networks in PyTorch, with the parameter names of its published weights.

Generator: neuralchen/SimSwap, models/fs_networks.py (224) and fs_networks_512.py. Identity network: foamliu's
InsightFace-v2 IR-SE, as SimSwap's models/arcface_models.py. Written anew from their description: layers, order, sizes.
"""

import torch
from torch import nn
import torch.nn.functional as F

LATENT = 512


class InstanceNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-8), both over a picture's own pixels, divisor n."""

    def forward(self, x):
        x = x - x.mean((2, 3), keepdim=True)
        return x * torch.rsqrt((x * x).mean((2, 3), keepdim=True) + 1e-8)


class Style(nn.Module):
    """x * (scale + 1) + shift, both linear in the latent."""

    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(LATENT, 2 * channels)
        self.channels = channels

    def forward(self, x, latent):
        style = self.linear(latent)
        scale, shift = style[:, : self.channels], style[:, self.channels :]
        return x * (scale[:, :, None, None] + 1) + shift[:, :, None, None]


class Bottleneck(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), InstanceNorm())
        self.style1 = Style(channels)
        self.conv2 = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), InstanceNorm())
        self.style2 = Style(channels)

    def forward(self, x, latent):
        y = F.relu(self.style1(self.conv1(x), latent))
        return x + self.style2(self.conv2(y), latent)


def down(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU())


def up(a, b):
    grow = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(grow, nn.Conv2d(a, b, 3, 1, 1), nn.BatchNorm2d(b), nn.ReLU())


class Generator(nn.Module):
    """target [1, 3, S, S] in 0..1, latent [1, 512] of unit norm -> [1, 3, S, S] in 0..1; S is a multiple of 8."""

    def __init__(self, size):
        super().__init__()
        first = 32 if size == 512 else 64
        self.first_layer = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(3, first, 7), nn.BatchNorm2d(first), nn.ReLU()
        )
        if size == 512:
            self.down0 = down(32, 64)
        self.down1, self.down2, self.down3 = down(64, 128), down(128, 256), down(256, 512)
        self.BottleNeck = nn.ModuleList(Bottleneck(512) for _ in range(9))
        self.up3, self.up2, self.up1 = up(512, 256), up(256, 128), up(128, 64)
        if size == 512:
            self.up0 = up(64, 32)
        self.last_layer = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(first, 3, 7))

    def forward(self, target, latent):
        x = self.first_layer(target)
        for name in ("down0", "down1", "down2", "down3"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        for block in self.BottleNeck:
            x = block(x, latent)
        for name in ("up3", "up2", "up1", "up0"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return (torch.tanh(self.last_layer(x)) + 1) / 2


class SE(nn.Module):
    def __init__(self, channels):
        super().__init__()
        hidden = channels // 16
        self.fc = nn.Sequential(nn.Linear(channels, hidden), nn.PReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x):
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class IRBlock(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(a)
        self.conv1 = nn.Conv2d(a, a, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.se = SE(b)
        if stride != 1 or a != b:
            self.downsample = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

    def forward(self, x):
        y = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        y = self.se(self.bn2(self.conv2(y)))
        return self.prelu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Identity(nn.Module):
    """[N, 3, 112, 112], ImageNet mean and std -> [N, 512], not of unit norm."""

    def __init__(self, layers):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        channels = 64
        for index, (n, out) in enumerate(zip(layers, (64, 128, 256, 512)), 1):
            blocks = []
            for block in range(n):
                stride = 2 if index > 1 and block == 0 else 1
                blocks.append(IRBlock(channels, out, stride))
                channels = out
            setattr(self, f"layer{index}", nn.Sequential(*blocks))
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * 7 * 7, LATENT)
        self.bn3 = nn.BatchNorm1d(LATENT)

    def forward(self, x):
        x = F.max_pool2d(self.prelu(self.bn1(self.conv1(x))), 2, 2)
        for index in range(1, 5):
            x = getattr(self, f"layer{index}")(x)
        return self.bn3(self.fc(self.bn2(x).flatten(1)))


def depth_of(names):
    """How many blocks each layer of an identity network has, from its parameter names."""
    return [1 + max(int(n.split(".")[1]) for n in names if n.startswith(f"layer{i}.")) for i in range(1, 5)]


def export(net, inputs, names, path):
    """Write `net` as ONNX with one output, `output`."""
    net.eval()
    options = {"input_names": names, "output_names": ["output"], "opset_version": 17}
    try:
        torch.onnx.export(net, inputs, path, dynamo=False, **options)
    except TypeError:
        torch.onnx.export(net, inputs, path, **options)
