"""A crop in PyTorch, ONNX Runtime and OpenVINO: milliseconds of one thread, side by side.

    python -m benchmarks.bench_runtimes [WEIGHTS ...] [--rounds 30] [-o FILE.md]

Rounds over all runtimes are repeated; the least and the median of the process time are kept, so
that other jobs hardly count. Needs poseact[onnx,openvino].
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from benchmarks.bench_exits import machine
from poseact.core.files import write_text
from poseact.inference.backends import open_network
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.simplified import simplified

RUNTIMES = ("PyTorch", "PyTorch, simplified", "ONNX Runtime", "OpenVINO")


@torch.inference_mode()
def milliseconds(name: str, rounds: int) -> np.ndarray:
    """(4, rounds) of a crop, in the order of `RUNTIMES`."""
    model, card = weights.load(name)
    channels_last(model)
    small = channels_last(simplified(model))
    x = torch.rand(1, 3, *card.size) * 2 - 1
    nhwc = x.contiguous(memory_format=torch.channels_last)
    crop = (127.5 * (x + 1)).byte().permute(0, 2, 3, 1).numpy()
    onnx, openvino = (open_network(name, runtime=r).network for r in ("onnx", "openvino"))
    tries: tuple[Callable[[], object], ...] = (
        lambda: model.frames(nhwc),
        lambda: small.frames(nhwc),
        lambda: onnx.frames(crop),
        lambda: openvino.frames(crop),
    )
    spent = np.zeros((len(tries), rounds + 2))
    for n in range(rounds + 2):
        for k, run in enumerate(tries):
            start = time.process_time()
            run()
            spent[k, n] = time.process_time() - start
    return 1e3 * spent[:, 2:]


def table(names: list[str], rounds: int) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "openvino"))
    lines = [
        "# A crop, batch 1, one thread: process time in ms",
        "",
        f"`python -m benchmarks.bench_runtimes {' '.join(names)} --rounds {rounds}` on "
        f"{machine('cpu')}, {libraries}.",
        "",
        "| network | runtime | least | median | times PyTorch (median of rounds) |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        spent = milliseconds(name, rounds)
        for runtime, own in zip(RUNTIMES, spent):
            ratio = np.median(spent[0] / own)
            row = (name, runtime, f"{own.min():.1f}", f"{np.median(own):.1f}", f"{ratio:.2f}")
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", nargs="*", default=["spnet-s", "spnet-l"])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = table(options.weights, options.rounds)
    print(text)
    if options.out is not None:
        write_text(options.out, text)


if __name__ == "__main__":
    main()
