"""The tables: views over the results of runs, as Markdown with mean and spread over seeds.

The last block is the answer, always: nothing is chosen by what the test people say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.ablation.runs import Result, result
from experiments.ablation.variants import variants
from poseact.core.files import write_text

Found = Mapping[str, Sequence[Result]]
"""The results of a variant, one a seed that is done."""

UNITS = {
    "parameters": ("parameters, k", 1e-3),
    "multiply_adds": ("multiply-adds a frame, M", 1e-6),
    "mpjpe_mm": ("MPJPE, mm", 1.0),
    "p_mpjpe_mm": ("P-MPJPE, mm", 1.0),
    "pckh_0.5": ("PCKh@0.5, %", 1.0),
    "action_top1": ("action, %", 1.0),
}
"""Heading of a number in `results.json`, and the factor it is shown with."""

_COST, _POSE = ("parameters", "multiply_adds"), ("mpjpe_mm", "pckh_0.5")


@dataclass(frozen=True)
class Table:
    """rows: what is said of a variant, and its name. columns: keys of `UNITS`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]


TABLES: dict[str, Table] = {
    "a": Table(
        "Blocks and their supervision (TPAMI Table 4)",
        (*_COST, *_POSE, "action_top1"),
        (
            ("one block", "one_block"),
            ("P = 2, last block supervised", "last_block"),
            ("P = 2, all blocks supervised", "base"),
            ("P = 4, all blocks supervised", "deep"),
        ),
    ),
    "b": Table(
        "What the action heads see (TPAMI Table 5)",
        (*_POSE, "action_top1"),
        (
            ("pose", "pose_only"),
            ("appearance", "appearance_only"),
            ("both", "base"),
            ("both, decoupled poses", "decoupled"),
        ),
    ),
    "c": Table(
        "One task or two (TPAMI Table 6)",
        ("action_top1",),
        (
            ("actions alone", "action_only"),
            ("actions alone, four times the frames at first", "action_only_more"),
            ("poses and actions of the same clips", "base"),
            ("and 2D poses of other people", "others"),
        ),
    ),
    "d": Table(
        "One network, cut at each of its blocks (TPAMI Fig. 9)",
        ("multiply_adds", *_POSE, "action_top1"),
        (("P = 4", "deep"),),
    ),
    "e": Table(
        "3D poses from little 3D data (CVPR supplement, Table 1)",
        (*_POSE, "p_mpjpe_mm"),
        (
            ("3D labels, few people", "pose_few"),
            ("half of the batch other people with 2D labels", "pose_few_others"),
        ),
    ),
    "f": Table(
        "The CVPR network and SPNet at equal multiply-adds",
        (*_COST, *_POSE),
        (("CVPR 2018, K = 4", "pose_cvpr"), ("SPNet, P = 2", "pose_wide")),
    ),
    "g": Table(
        "Choices the papers leave open",
        (*_POSE, "action_top1"),
        (
            ("base", "base"),
            ("confidence: largest cell, no 2 x 2 window", "max_confidence"),
            ("base, poses only", "pose"),
            ("grid from border to border", "pose_to_the_border"),
            ("no heat-map loss", "pose_no_heatmap_loss"),
        ),
    ),
}

FIGURE_VARIANTS = ("deep", "one_block", "base")
"""What `figure.draw_cost` shows: the network that is cut, and networks trained at their size."""


def gather(names: Sequence[str], out: Path, *, seeds: int, steps: int) -> dict[str, list[Result]]:
    """What is there of these variants."""
    every = [variants(steps=steps, seed=seed) for seed in range(seeds)]
    found = {name: [result(one[name], out) for one in every] for name in names}
    return {name: [r for r in results if r is not None] for name, results in found.items()}


def markdown(name: str, found: Found) -> str:
    """A table; what has no result yet is a dash. Table d has a row for every exit."""
    table = TABLES[name]
    rows = exits(found["deep"]) if name == "d" else [(label, found[v]) for label, v in table.rows]
    heads = [UNITS[column][0] for column in table.columns]
    lines = [f"| | {' | '.join(heads)} | seeds |", "|---|" + "---|" * (len(heads) + 1)]
    for label, values in rows:
        cells = [cell([r[c] * UNITS[c][1] for r in values if c in r]) for c in table.columns]
        lines.append(f"| {label} | {' | '.join(cells)} | {len(values)} |")
    return "\n".join(lines)


def exits(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """The blocks of one network, each with its scores of all seeds."""
    return [
        (f"pyramid {blocks[0]['pyramid']}, level {blocks[0]['level']}", list(blocks))
        for blocks in zip(*(r["blocks"] for r in results))
    ]


def cell(values: Sequence[float]) -> str:
    """Mean +- standard deviation (n - 1); the mean alone if all are equal or there is one.

    >>> cell([1.0, 2.0, 3.0]), cell([2.5]), cell([])
    ('2.0 ± 1.0', '2.5', '–')
    """
    if not values:
        return "–"
    mean = f"{np.mean(values):.1f}"
    same = len(set(values)) == 1
    return mean if same else f"{mean} ± {np.std(values, ddof=1):.1f}"


def fill(page: Path, bodies: Mapping[str, str]) -> None:
    """Put each table into a page, between `<!-- table NAME -->` and `<!-- end -->`.

    ValueError names the page and the table if there is no such place.
    """
    text = page.read_text(encoding="utf-8")
    for name, body in bodies.items():
        place = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = place.subn(lambda m, b=body: f"{m[1]}{b}\n{m[2]}", text)
        if count != 1:
            raise ValueError(
                f"{page} has {count} places for table {name}; give it one: a line "
                f"<!-- table {name} --> and below it <!-- end -->"
            )
    write_text(page, text)
