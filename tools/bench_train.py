#!/usr/bin/env python3
"""Training steps and inference of PerFace and of PyTorch (channels-last), one step of each in turn on the same machine.

Usage: cargo build --release -p perface-conv --example step_time && python tools/bench_train.py [r50 r18 mbf sface] > bench.json
Needs: numpy torch; with --onnx also onnx onnxruntime (inference of the same network in ONNX Runtime).

A step is forward, backward and SGD (momentum 0.9, weight decay 5e-4) of a batch of 24 crops of 112 x 112; medians over --steps. Both
engines stay in memory and wait while the other works, so a busy machine slows both alike; the ratio is the result. Wall time and
processor time are given; `peak` is what fused multiply-adds on registers reach in the same minutes, `copy` what a plain copy between
large buffers moves (bytes read and bytes written). `gbyte` of a kernel counts each activation it reads or writes once.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

SFACE = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]


def sface():
    """SFace as published: conv 3x3, then depthwise 3x3 and 1x1 pairs, each with BN and PReLU; BN, linear layer, BN."""
    from torch import nn

    def layer(inside, out, kernel, stride, groups):
        conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(out, 1e-3), nn.PReLU(out)]

    layers, inside = layer(3, 32, 3, 1, 1), 32
    for out, stride in SFACE:
        layers += layer(inside, inside, 3, stride, inside) + layer(inside, out, 1, 1, 1)
        inside = out
    layers += [nn.BatchNorm2d(inside, 2e-5), nn.Flatten(), nn.Linear(inside * 49, 128), nn.BatchNorm1d(128, 2e-5)]
    return nn.Sequential(*layers)


def serve(name, batch, threads):
    """Be the PyTorch engine: a command a line in, a JSON record a line out."""
    import torch
    from train_reference import NETS

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = (sface if name == "sface" else NETS[name])().to(memory_format=torch.channels_last)
    pictures = torch.rand(batch, 3, 112, 112).mul_(2).sub_(1).contiguous(memory_format=torch.channels_last)
    trained = [p for p in net.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-4, momentum=0.9, weight_decay=5e-4)
    gradient, session = None, None
    for line in sys.stdin:
        command = line.strip()
        if command == "onnx" and session is None:
            session = onnx_session(net, pictures, threads)
        start, cpu = time.perf_counter(), time.process_time()
        if command == "step":
            net.train()
            optimiser.zero_grad(set_to_none=True)
            embeddings = net(pictures)
            if gradient is None:
                gradient = torch.randn_like(embeddings) * 1e-3
            embeddings.backward(gradient)
            optimiser.step()
        elif command == "eval":
            net.eval()
            with torch.inference_mode():
                net(pictures)
        elif command == "onnx":
            session.run(None, {"input": pictures.contiguous().numpy()})
        record = {"ms": (time.perf_counter() - start) * 1e3, "cpu_ms": (time.process_time() - cpu) * 1e3,
                  "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        print(json.dumps(record), flush=True)


def onnx_session(net, pictures, threads):
    """The same network in ONNX Runtime."""
    import io

    import onnxruntime
    import torch

    net.eval()
    file = io.BytesIO()
    torch.onnx.export(net, pictures.contiguous(), file, input_names=["input"], dynamo=False,
                      dynamic_axes={"input": {0: "n"}})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


class Engine:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def compare(name, options):
    here = os.path.dirname(os.path.abspath(__file__))
    binary = os.path.join(here, "..", "target", "release", "examples", "step_time")
    size = [name, str(options.batch), str(options.threads)]
    engines = {"perface": Engine([binary, *size]), "pytorch": Engine([sys.executable, __file__, "--serve", *size])}
    records = {}
    commands = [("perface", "step"), ("pytorch", "step"), ("perface", "peak"), ("perface", "eval"), ("pytorch", "eval")]
    if options.onnx:
        commands.append(("pytorch", "onnx"))
    for step in range(options.steps + 1):
        for engine, command in commands:
            record = engines[engine].do(command)
            # The first of each warms up: buffers are made, code and weights are read.
            if step > 0:
                records.setdefault((engine, command), []).append(record)
        print(f"{name} {step}/{options.steps}", file=sys.stderr)
    # Last, since its buffers count in the peak of memory.
    copies = [engines["perface"].do("copy")["copy_gbytes"] for _ in range(options.steps)]
    for engine in engines.values():
        engine.stop()
    result = {"net": name, "batch": options.batch, "threads": options.threads, "steps": options.steps}
    median = lambda key, field: statistics.median(r[field] for r in records[key])  # noqa: E731
    for key in records:
        if key[1] == "peak":
            result["peak_gflops"] = round(median(key, "peak_gflops"), 1)
            continue
        label = "onnxruntime_eval" if key[1] == "onnx" else "_".join(key)
        result[label] = {"ms": round(median(key, "ms")), "cpu_ms": round(median(key, "cpu_ms")),
                         "range_ms": [round(f(r["ms"] for r in records[key])) for f in (min, max)]}
    for key in (("perface", "step"), ("pytorch", "step")):
        result["_".join(key)]["peak_mib"] = round(max(r["mib"] for r in records[key]))
    pairs = zip(records["perface", "step"], records["pytorch", "step"])
    result["step_ratio"] = round(statistics.median(a["ms"] / b["ms"] for a, b in pairs), 2)
    pairs = zip(records["perface", "step"], records["pytorch", "step"])
    result["step_cpu_ratio"] = round(statistics.median(a["cpu_ms"] / b["cpu_ms"] for a, b in pairs), 2)
    result["copy_gbytes"] = round(statistics.median(copies), 1)
    kernels = {}
    for kind in records["perface", "step"][0]["kernels"]:
        ms = statistics.median(r["kernels"][kind][0] for r in records["perface", "step"])
        gflop, gbyte = records["perface", "step"][0]["kernels"][kind][1:]
        rate = lambda work: work / ms * 1e3 if ms else 0.0  # noqa: E731
        kernels[kind] = {"ms": round(ms), "gflop": round(gflop, 1), "gflops": round(rate(gflop)),
                         "of_peak": round(rate(gflop) / result["peak_gflops"], 2),
                         "gbyte": round(gbyte, 2), "of_copy": round(rate(gbyte) / result["copy_gbytes"], 2)}
    result["kernels"] = kernels
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=["r50", "r18", "mbf", "sface"])
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--onnx", action="store_true", help="also time ONNX Runtime on the same network")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]), int(options.serve[2]))
        return
    for name in options.nets:
        print(json.dumps(compare(name, options)), flush=True)


if __name__ == "__main__":
    main()
