"""Turn SimSwap's published weights into the ONNX files that `perface models add` takes.

    python tools/simswap_to_onnx.py generator checkpoints/people/latest_net_G.pth simswap-224.onnx
    python tools/simswap_to_onnx.py generator checkpoints/512/550000_net_G.pth simswap-512.onnx
    python tools/simswap_to_onnx.py identity arcface_model/arcface_checkpoint.tar simswap-arcface.onnx
    perface models add simswap-224 simswap-224.onnx
    perface models add simswap-arcface simswap-arcface.onnx

Needs torch and onnx. `arcface_checkpoint.tar` is a whole pickled module of classes that are not here; it is opened
with stand-ins for them and nothing in it is run. The weights are CC BY-NC 4.0.
"""

import argparse
import pickle
import types

import torch

import simswap_net


class StandIn(torch.nn.Module):
    """Takes the place of any class of a pickled module."""


class Unpickler(pickle.Unpickler):
    ALLOWED = ("torch", "collections", "numpy")

    def find_class(self, module, name):
        if module.split(".")[0] not in self.ALLOWED:
            return StandIn
        return super().find_class(module, name)


def load(path):
    """The parameters in `path` by name, whether it holds a dictionary or a whole module."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        stand_ins = types.SimpleNamespace(Unpickler=Unpickler, load=pickle.load, __name__="pickle")
        found = torch.load(path, map_location="cpu", pickle_module=stand_ins, weights_only=False)
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    for key in ("state_dict", "model"):
        if key in found and isinstance(found[key], dict):
            found = found[key]
    return {name.removeprefix("module."): value for name, value in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["generator", "identity"])
    parser.add_argument("weights")
    parser.add_argument("onnx")
    arguments = parser.parse_args()
    weights = load(arguments.weights)
    if arguments.kind == "generator":
        size = 512 if "down0.0.weight" in weights else 224
        net = simswap_net.Generator(size)
        inputs, names = (torch.rand(1, 3, size, size), torch.rand(1, 512)), ["target", "source"]
    else:
        net = simswap_net.Identity(simswap_net.depth_of(weights))
        inputs, names = (torch.rand(1, 3, 112, 112),), ["input"]
    net.load_state_dict(weights, strict=True)
    with torch.no_grad():
        simswap_net.export(net, inputs, names, arguments.onnx)
    print(f"{arguments.onnx}: {sum(v.numel() for v in net.parameters())} parameters")


if __name__ == "__main__":
    main()
