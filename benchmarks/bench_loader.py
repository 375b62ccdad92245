"""Samples per second of the loader: LSP-extended stills, rendered clips and packed sets; and
whether a training waits for it.

    python benchmarks/bench_loader.py [--lspet FOLDER] [--workers 0 1 2] [--samples N]
    python benchmarks/bench_loader.py --train [--device cuda] [--workers 0 1 2] [--steps N]

Each source is measured with 0, 1 and 2 worker processes, in rounds that go through all sources so
that a busy moment hits them alike; the median of the rounds is shown. The packed sets hold the very
same records, packed into a temporary folder: LSP-extended is JPEG already, rendered clips lie raw
in their pool (a frame of 128 x 128 px is 48 kB there, some 5 kB packed). A sample is decoded, cut,
augmented (the paper's recipe) and turned into tensors. Without LSP-extended (in POSEACT_SHARED or
beside the repository) only the rendered clips are measured.

--train: steps per second of the network of the recipe spnet_s on rendered clips, side by side, with
a batch that is in memory already and with the loader; augmented by the workers or on the device.
The trainer starves where the loader's rate is clearly below that of the memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch

from poseact.core.layouts import PA17
from poseact.core.types import Record, Sample
from poseact.data import pack, synthetic
from poseact.data.augment import PAPER
from poseact.data.dataset import Batches, Part, loader, make_sample
from poseact.data.device_augment import cut, finish
from poseact.data.sets import lsp
from poseact.models.weights import network
from poseact.people.scene import PeopleConfig
from poseact.train.config import Stage
from poseact.train.objective import Objective
from poseact.train.recipes.shipped import recipe

SHARED = Path(os.environ.get("POSEACT_SHARED", Path(__file__).parents[2] / "shared"))
BATCH = 16
SIZE = (128, 128)
"""Of the crops in training, px."""
Update = Callable[[dict[str, Sample]], None]


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


def steps_per_second(batches: Iterable[dict[str, Sample]], update: Update) -> float:
    """Of all batches but the first two, which warm up."""
    start, count = 0.0, 0
    for count, batch in enumerate(batches):
        if count == 2:
            start = time.perf_counter()
        update(batch)
    return (count - 1) / (time.perf_counter() - start)


def training(device: str) -> Update:
    """One training step on a batch, from its transfer to the weights, waited for."""
    torch.manual_seed(0)
    objective = Objective(network(recipe("spnet_s").model).train()).to(device)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4)
    stage = Stage("bench", 1, ())

    def update(batch: dict[str, Sample]) -> None:
        given: Any = batch
        moved: Any = {
            name: {key: value.to(device, non_blocking=True) for key, value in sample.items()}
            for name, sample in given.items()
        }
        if "matrix" in moved["clips"]:
            moved = {"clips": finish(moved["clips"], PA17, size=SIZE)}
        optimizer.zero_grad(set_to_none=True)
        loss = objective(moved, stage, 0.0)["total"]
        loss.backward()
        optimizer.step()
        float(loss.detach())

    return update


def compare_training(device: str, workers: Sequence[int], steps: int, clips: int) -> None:
    """A table: steps per second from memory and from the loader."""
    update = training(device)
    with tempfile.TemporaryDirectory() as folder:
        records = synthetic.load(PeopleConfig(), clips, cache=Path(folder))
        part = Part("clips", records, clips, frames=8, augment=PAPER, margin=1.25)
        print(f"{'steps/s':26}{'memory':>10}" + "".join(f"{f'{w} workers':>12}" for w in workers))
        for where, make in (("augmented by workers", make_sample), ("on the device", cut)):
            batches = Batches([part], PA17, size=SIZE, make=make)
            memory = steps_per_second(repeat(batches[0], steps + 2), update)
            rates = [
                steps_per_second(loader(batches, 0, steps + 2, workers=number), update)
                for number in workers
            ]
            print(f"{where:26}{memory:10.2f}" + "".join(f"{rate:12.2f}" for rate in rates))


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the loader.")
    parser.add_argument("--lspet", type=Path, default=SHARED / "data" / "lspet")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=512, help="in each measurement, of stills")
    parser.add_argument("--size", type=int, default=128, help="of a crop, px")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", action="store_true", help="compare with training steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=20, help="of training, in each measurement")
    parser.add_argument("--clips", type=int, default=8, help="of 8 frames, in each training step")
    options = parser.parse_args()
    if options.train:
        compare_training(options.device, options.workers, options.steps, options.clips)
        return
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
