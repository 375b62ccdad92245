"""What a protocol gives: numbers, the same by joint or action, and what they rest on."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from poseact.core.layouts import Layout
from poseact.evaluate import metrics

Measure = metrics.Rate | metrics.Distance
Groups = dict[str, dict[str, float]]
"""Name of a joint, an action, ... -> name of a number -> its value."""


@dataclass(frozen=True)
class Scores:
    """Rates are percent, distances mm; NaN where nothing counted.

    overall: over everything. by: the same by "joint", "action", "scene". counts: what the numbers
    rest on and what was left out. notes: what one must know to compare them. The rest says what was
    measured; `benchmarks.run` fills it in.
    """

    overall: dict[str, float]
    by: dict[str, Groups]
    counts: dict[str, int]
    notes: tuple[str, ...] = ()
    data: str = ""
    protocol: str = ""
    split: str = ""
    block: tuple[int, int] | None = None

    def to_json(self) -> str:
        """One line: overall numbers on top, `by_joint` and so on below; null is "nothing"."""
        head = {"data": self.data, "protocol": self.protocol, "split": self.split}
        groups = {
            f"by_{kind}": {name: _plain(row) for name, row in rows.items()}
            for kind, rows in self.by.items()
        }
        rest = {"block": self.block, "counts": self.counts, "notes": self.notes}
        return json.dumps({**head, **_plain(self.overall), **groups, **rest})

    def table(self) -> str:
        """The same as lines: a title, a column a number, a row a joint, action or scene."""
        block = "" if self.block is None else f", block {self.block[0]} {self.block[1]}"
        counts = ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in self.counts.items())
        rows = [("all", self.overall)]
        rows += [(name, row) for group in self.by.values() for name, row in group.items()]
        wide = max(len(name) for name, _ in rows)
        lines = [
            f"{self.data} {self.protocol}, split {self.split}{block}: {counts}",
            "  ".join([" " * wide, *self.overall]),
        ]
        for name, row in rows:
            cells = (f"{row[n]:.1f}" if n in row else "" for n in self.overall)
            padded = (f"{cell:>{len(n)}}" for n, cell in zip(self.overall, cells))
            lines.append("  ".join([f"{name:{wide}}", *padded]).rstrip())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _plain(row: dict[str, float]) -> dict[str, float | None]:
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in row.items()}


def of_joints(
    measures: dict[str, Measure], layout: Layout, *, frames: int, notes: tuple[str, ...] = ()
) -> Scores:
    """Overall and by joint; the counts are those of the first measure."""
    joints = {
        joint: {name: unit(m) * float(m.per_joint[j]) for name, m in measures.items()}
        for j, joint in enumerate(layout.joints)
        if any(np.isfinite(m.per_joint[j]) for m in measures.values())
    }
    first = next(iter(measures.values()))
    left_out = "people_left_out" if isinstance(first, metrics.Rate) else "points_left_out"
    counts = {"frames": frames, "points": first.count, left_out: first.left_out}
    return Scores(overall(measures), {"joint": joints}, counts, notes)


def overall(measures: dict[str, Measure]) -> dict[str, float]:
    """Means over all points, rates in percent."""
    return {name: unit(m) * m.mean for name, m in measures.items()}


def unit(measure: Measure) -> float:
    return 100.0 if isinstance(measure, metrics.Rate) else 1.0
