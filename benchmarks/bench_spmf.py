"""Sequences per second of the Enhanced-SPMF on one core, beside a plain loop over frames.

    python benchmarks/bench_spmf.py [--frames 40 150] [--seconds 2]

The loop builds the same map column by column and pair by pair; smoothing, equalisation and resizing
are the same calls in both, and the two maps are compared before anything is timed. Rounds
alternate, and times are process time, so that other jobs on the machine do not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np

from poseact.core.layouts import H36M17, MSR20, NTU25, SBU15, Layout
from poseact.skeletons.spmf import JET, SPMFConfig, enhance, resize, smooth, spmf

SIZE = 32
CONFIG = SPMFConfig(size=SIZE)


def loop_map(poses: np.ndarray) -> np.ndarray:
    """The map of (T, J, 3), one pair after the other."""
    frames, joints = poses.shape[:2]
    columns = []
    for column in range(2 * frames - 1):
        here, there = poses[column // 2], poses[(column + 1) // 2]
        columns.append([here[j] - there[k] for j in range(joints) for k in range(j + 1, joints)])
    distances = [[np.linalg.norm(offset) for offset in column] for column in columns]
    longest, low, high = np.max(distances), np.min(columns), np.max(columns)
    out = np.empty((2 * len(columns[0]), len(columns), 3), np.uint8)
    for x, (column, lengths) in enumerate(zip(columns, distances, strict=True)):
        for y, (offset, length) in enumerate(zip(column, lengths, strict=True)):
            out[y, x] = JET[round(255 * length / longest)]
            out[len(column) + y, x] = np.floor(255 * (offset - low) / (high - low))
    return out


def loop_spmf(poses: np.ndarray) -> np.ndarray:
    bodies = smooth(poses).reshape(len(poses), -1, 3)
    return resize(enhance(loop_map(bodies), config=CONFIG), (SIZE, SIZE))


def per_second(make: Callable[[], np.ndarray], seconds: float) -> float:
    """Calls a second of process time, over `seconds` of it and one call at least."""
    calls, start = 0, time.process_time()
    while not calls or time.process_time() - start < seconds:
        make()
        calls += 1
    return calls / (time.process_time() - start)


def walk(frames: int, layout: Layout, people: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (people, len(layout), 3) if people > 1 else (len(layout), 3)
    return rng.normal(0, 400, shape) + rng.normal(0, 20, (frames, *shape)).cumsum(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the Enhanced-SPMF.")
    parser.add_argument("--frames", type=int, nargs="+", default=[40, 150])
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'sequences/s':22}{'frames':>7}{'loop':>9}{'spmf':>9}{'times':>8}{'ms':>8}")
    for layout, people in ((H36M17, 1), (MSR20, 1), (NTU25, 1), (SBU15, 2)):
        for frames in options.frames:
            poses = walk(frames, layout, people)
            apart = loop_spmf(poses).astype(int) - spmf(poses, layout)
            assert np.abs(apart).max() <= 2, "the loop and poseact.skeletons.spmf do not agree"
            speeds = [
                (
                    per_second(lambda p=poses: loop_spmf(p), options.seconds),
                    per_second(lambda p=poses, n=layout: spmf(p, n), options.seconds),
                )
                for _ in range(options.rounds)
            ]
            loop, ours = np.median(speeds, axis=0)
            name = f"{layout.name}, {people} person{'s' * (people > 1)}"
            print(
                f"{name:22}{frames:7}{loop:9.1f}{ours:9.0f}{ours / loop:7.0f}x{1e3 / ours:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
