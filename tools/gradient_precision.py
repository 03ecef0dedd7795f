#!/usr/bin/env python3
"""Gradients of PerFace and of PyTorch in float32, both against PyTorch in float64.

Usage: cargo build --release -p perface-conv --example gradients && python tools/gradient_precision.py [r18 mbf] [--batch 8]
Needs: numpy torch. Prints one JSON record a network: the error of all weights' gradients together, ||g - g64|| / ||g64||, and the
same for the worst tensor, for both. Weights are new ones (PyTorch's initialisation, seed 0), pictures and output gradient random.
"""

import argparse
import copy
import json
import os
import subprocess
import sys

import numpy as np
import torch
from bench_train import sface
from train_reference import NETS


def gradients(net, pictures, gradient):
    net.zero_grad(set_to_none=True)
    net.train()
    output = net(pictures)
    output.backward(gradient)
    return output.detach(), {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def error(found, reference):
    """Of everything together and of the worst tensor, among those whose gradient is not mere rounding."""
    square = {name: (float(((found[name].double() - g) ** 2).sum()), float((g**2).sum())) for name, g in reference.items()}
    total = sum(s for _, s in square.values())
    worst = max((d / s) ** 0.5 for d, s in square.values() if s > 1e-16 * total)
    return (sum(d for d, _ in square.values()) / total) ** 0.5, worst


def compare(name, batch):
    torch.manual_seed(0)
    net = (sface if name == "sface" else NETS[name])()
    pictures = torch.rand(batch, 3, 112, 112) * 2 - 1
    gradient = torch.randn(batch, 128 if name == "sface" else 512) / batch
    here = os.path.dirname(os.path.abspath(__file__))
    binary = [os.path.join(here, "..", "target", "release", "examples", "gradients"), name, str(batch)]
    names = subprocess.run([*binary, "names"], capture_output=True, text=True, check=True).stdout.split()
    state = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    # SFace's layers have other names here, in the same order.
    keys = list(state) if name == "sface" else names
    parts = [state[key].numpy().ravel() for key in keys] + [pictures.numpy().ravel(), gradient.numpy().ravel()]
    data = np.concatenate(parts).astype("<f4").tobytes()
    raw = np.frombuffer(subprocess.run(binary, input=data, capture_output=True, check=True).stdout, "<f4")
    at, ours = gradient.numel(), {}
    for key in keys:
        count = state[key].numel()
        ours[key] = torch.from_numpy(raw[at:at + count].copy()).reshape(state[key].shape)
        at += count
    reference_output, reference = gradients(copy.deepcopy(net).double(), pictures.double(), gradient.double())
    layout = {"memory_format": torch.channels_last}
    output, theirs = gradients(copy.deepcopy(net).to(**layout), pictures.contiguous(**layout), gradient)
    result = {"net": name, "batch": batch}
    for engine, found in (("perface", ours), ("pytorch", theirs)):
        result[engine] = dict(zip(("all", "worst"), (float(f"{e:.2e}") for e in error(found, reference))))
    for engine, found in (("perface", torch.from_numpy(raw[:output.numel()].copy()).reshape(output.shape)), ("pytorch", output)):
        distance = (found.double() - reference_output).abs().max() / reference_output.abs().max()
        result[engine]["output"] = float(f"{float(distance):.2e}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=["r18", "mbf"])
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    for name in options.nets:
        print(json.dumps(compare(name, options.batch)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
