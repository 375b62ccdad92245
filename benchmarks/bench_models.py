"""Parameters, multiply-adds, milliseconds and memory of the networks, side by side in one run.

    python benchmarks/bench_models.py [--threads N] [--repeats N]

One frame, batch 1, eager float32; rounds of all networks are interleaved so that a busy moment hits
them alike. Random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

from poseact.evaluate.views import multiply_adds
from poseact.models.layers import channels_last
from poseact.models.spnet import PUBLISHED, SPNet
from poseact.train.recipes import shipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    small = SPNet(shipped.spnet_s().model)
    nets = {
        "SPNet P=2, 3D, NTU, 256 px": (SPNet(PUBLISHED["ntu_p2"]), 256),
        "SPNet P=8, 2D, 256 px": (SPNet(PUBLISHED["pose2d"]), 256),
        **{f"spnet-s to block {e}, 128 px": (small.cut(*e), 128) for e in small.exits},
    }
    times: dict[str, list[float]] = {name: [] for name in nets}
    nets = {name: (channels_last(net).eval(), size) for name, (net, size) in nets.items()}
    with torch.inference_mode():
        for _ in range(options.repeats + 1):
            for name, (net, size) in nets.items():
                x = torch.zeros(1, 3, size, size).to(memory_format=torch.channels_last)
                start = time.perf_counter()
                net.frames(x)
                times[name].append(1000 * (time.perf_counter() - start))
    print(f"{options.threads} threads, torch {torch.__version__}, median of {options.repeats}")
    print(f"{'network':34} {'params M':>9} {'GMAC':>7} {'ms/frame':>9} {'frames/s':>9}")
    for name, (net, size) in nets.items():
        params = sum(p.numel() for p in net.parameters()) / 1e6
        cost = multiply_adds(net, (size, size)) / 1e9
        ms = float(np.median(times[name][1:]))
        print(f"{name:34} {params:9.2f} {cost:7.3f} {ms:9.1f} {1000 / ms:9.0f}")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
