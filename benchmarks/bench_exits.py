"""Frames a second at every exit, as TPAMI 2020 measures its Figure 9 and Table 7.

    python benchmarks/bench_exits.py [--networks 2d 3d 2018] [-o FILE]
    python benchmarks/bench_exits.py --device cuda [--precision bf16]

Mini-batches of 16 images for poses, and single clips of 8 frames with their actions, 256 x 256 px,
networks cut after each block. Random weights: speed does not depend on them. Rounds over all exits
are repeated, and the median is kept, so that a busy moment hits them alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poseact.core.files import write_text
from poseact.evaluate.cost import multiply_adds
from poseact.models import multitask, spnet
from poseact.models.layers import channels_last
from poseact.models.multitask import Multitask
from poseact.models.spnet import SPNet
from poseact.models.weights import Network

NETWORKS: dict[str, Callable[[], Network]] = {
    "2d": lambda: SPNet(spnet.PUBLISHED["penn_paper"]),
    "3d": lambda: SPNet(spnet.PUBLISHED["ntu_paper"]),
    "2018": lambda: Multitask(multitask.PUBLISHED["ntu_k4"]),
}
"""The text's two of 2020, and that of Table 7's row "Ours [34]", with NTU's heads."""
IMAGES, FRAMES, SIDE = 16, 8, 256


def machine(device: str) -> str:
    """What it ran on, in words."""
    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    cpu, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return f"{cpu}, threads: {torch.get_num_threads()}, torch {torch.__version__}"


def seconds(net: Network, x: Tensor, precision: torch.dtype) -> float:
    """Of one pass: process time on one thread of a CPU, so that other jobs do not count."""
    on_cpu = x.device.type == "cpu"
    clock = time.process_time if on_cpu and torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    with torch.autocast(x.device.type, precision, precision != torch.float32):
        net(x)
    if not on_cpu:
        torch.cuda.synchronize(x.device)
    return clock() - start


@torch.inference_mode()
def rates(
    whole: Network,
    exits: Sequence[tuple[int, int]],
    *,
    side: int = SIDE,
    rounds: int = 3,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
) -> list[dict[str, float | list[int]]]:
    """A row an exit: parameters (M), multiply-adds of a frame (G), and frames a second of poses in
    batches of 16, and of a clip of 8 with its actions, if the cut network has some."""
    nets = [channels_last(whole.cut(*exit)).eval().to(device) for exit in exits]
    times: dict[tuple[int, str], list[float]] = {}
    for n in range(rounds + 1):
        for k, net in enumerate(nets):
            clips = {"poses": (IMAGES, 1), "actions": (1, FRAMES)}
            for what, (batch, frames) in clips.items():
                if what == "actions" and not net.action_exits:
                    continue
                x = torch.zeros(batch, frames, 3, side, side, device=device)
                taken = seconds(net, x, precision)
                if n:  # the first round warms up
                    times.setdefault((k, what), []).append(taken)
    rows: list[dict[str, float | list[int]]] = []
    for k, (exit, net) in enumerate(zip(exits, nets)):
        row: dict[str, float | list[int]] = {
            "exit": list(exit),
            "parameters_M": sum(p.numel() for p in net.parameters()) / 1e6,
            "multiply_adds_G": multiply_adds(net, (side, side)) / 1e9,
        }
        for what, count in (("poses", IMAGES), ("actions", FRAMES)):
            if (k, what) in times:
                row[f"{what}_frames_per_s"] = count / float(np.median(times[k, what]))
        rows.append(row)
    return rows


def table(rows: Sequence[dict]) -> str:
    """The rows as Markdown."""
    head = (
        "| exit | M parameters | G multiply-adds | poses, frames/s | clips with actions, frames/s |"
    )
    lines = [head, "|---|---|---|---|---|"]
    for row in rows:
        acts = row.get("actions_frames_per_s")
        lines.append(
            f"| {row['exit'][0]} {row['exit'][1]} | {row['parameters_M']:.2f} "
            f"| {row['multiply_adds_G']:.2f} | {row['poses_frames_per_s']:.2f} "
            f"| {'' if acts is None else f'{acts:.2f}'} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--every", type=int, default=1, help="one exit in so many, and the last")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=SIDE, help="of the pictures, px")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("-o", "--out", type=Path, help="the rows as JSON")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    precision = {"float32": torch.float32, "bf16": torch.bfloat16}[args.precision]
    note: dict = {
        "machine": machine(args.device),
        "side_px": args.side,
        "precision": args.precision,
    }
    print(note["machine"])
    for name in args.networks:
        whole = NETWORKS[name]()
        exits = whole.exits[args.every - 1 :: args.every]
        exits = exits if whole.exits[-1] in exits else (*exits, whole.exits[-1])
        note[name] = rates(
            whole,
            exits,
            side=args.side,
            rounds=args.rounds,
            device=args.device,
            precision=precision,
        )
        print(f"\n{name}\n{table(note[name])}", flush=True)
    if args.out is not None:
        write_text(args.out, json.dumps(note, indent=1))


if __name__ == "__main__":
    main()
