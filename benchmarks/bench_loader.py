"""Samples per second of the loader: LSP-extended stills, rendered clips and packed sets.

    python benchmarks/bench_loader.py [--lspet FOLDER] [--workers 0 1 2] [--samples N]

Each source is measured with 0, 1 and 2 worker processes, in rounds that go through all sources so
that a busy moment hits them alike; the median of the rounds is shown. The packed sets hold the very
same records, packed into a temporary folder: LSP-extended is JPEG already, rendered clips lie raw
in their pool (a frame of 128 x 128 px is 48 kB there, some 5 kB packed). A sample is decoded, cut,
augmented (the paper's recipe) and turned into tensors. Without LSP-extended (in POSEACT_SHARED or
beside the repository) only the rendered clips are measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from poseact.data import lsp, pack, synthetic
from poseact.data.augment import PAPER
from poseact.data.dataset import Batches, Part, loader
from poseact.layouts import PA17
from poseact.people.scene import PeopleConfig
from poseact.types import Record

SHARED = Path(os.environ.get("POSEACT_SHARED", Path(__file__).parents[2] / "shared"))
BATCH = 16


def samples_per_second(batches: Batches, steps: int, workers: int) -> float:
    """Of `steps` batches; with workers, without the time until the first one is there."""
    found = iter(loader(batches, 0, steps + 1, workers=workers))
    next(found)
    start = time.perf_counter()
    count = sum(1 for _ in found)
    return count * BATCH / (time.perf_counter() - start)


def sources(lspet: Path, samples: int, folder: Path) -> dict[str, tuple[Sequence[Record], int]]:
    """Records and frames per sample, by name."""
    clips = synthetic.load(PeopleConfig(), max(samples // 8, 8), cache=folder / "cache")
    found: dict[str, tuple[Sequence[Record], int]] = {"rendered clips, T = 8": (clips, 8)}
    pack.pack(clips, folder / "clips")
    found["the same, packed"] = (pack.load(folder / "clips"), 8)
    if (lspet / "lspet.npz").is_file():
        stills = lsp.load(lspet)[:samples]
        pack.pack(stills, folder / "stills")
        packed = pack.load(folder / "stills")
        found = {"LSP-extended stills": (stills, 1), "the stills, packed": (packed, 1), **found}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the loader.")
    parser.add_argument("--lspet", type=Path, default=SHARED / "data" / "lspet")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=512, help="in each measurement, of stills")
    parser.add_argument("--size", type=int, default=128, help="of a crop, px")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        parts = {
            name: Part("part", records, BATCH, frames=frames, augment=PAPER, margin=1.25)
            for name, (records, frames) in sources(
                options.lspet, options.samples, Path(folder)
            ).items()
        }
        speeds: dict[tuple[str, int], list[float]] = {}
        for _ in range(options.rounds):
            for workers in options.workers:
                for name, part in parts.items():
                    batches = Batches([part], PA17, size=(options.size, options.size))
                    steps = max(options.samples // BATCH // part.frames, 4)
                    speed = samples_per_second(batches, steps, workers)
                    speeds.setdefault((name, workers), []).append(speed)
    columns = "".join(f"{f'{workers} workers':>12}" for workers in options.workers)
    print(f"{'samples/s':26}{columns}   ({os.cpu_count()} cores)")
    for name in parts:
        row = [float(np.median(speeds[name, workers])) for workers in options.workers]
        print(f"{name:26}" + "".join(f"{speed:12.0f}" for speed in row))


if __name__ == "__main__":
    main()
