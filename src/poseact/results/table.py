"""Results as a table: CSV, with units in the names of the columns and empty cells for unknown."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from poseact.core.files import whole_file
from poseact.core.types import Result
from poseact.results.jsonl import Header, result_json

CSV_COLUMNS = (
    *("frame", "time_s", "track", "joint", "x_px", "y_px", "score", "x_mm", "y_mm", "z_mm"),
    *("action", "action_probability"),
)


def write_csv(path: str | Path, header: Header, results: Iterable[Result]) -> None:
    """Long form: a row for each joint of each person of each frame, columns as `CSV_COLUMNS`.

    The last two columns are the person's most probable action; unknown cells are empty.
    """
    path = Path(path)
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(CSV_COLUMNS)
        for result in results:
            line = result_json(result, header)
            for person in line["people"]:
                table.writerows(_csv_rows(line, person, header))


def _csv_rows(line: dict[str, Any], person: dict[str, Any], header: Header) -> list[list[Any]]:
    action = person["action"] or []
    known = [k for k, p in enumerate(action) if p is not None]
    best = max(known, key=lambda k: action[k], default=None)
    named = [None, None] if best is None else [plain_text(header.labels[best]), action[best]]
    unknown = [[None] * 3] * len(header.layout)
    where = [line["frame"], line["time_s"], person["track"]]
    columns = zip(header.layout.joints, person["xy"], person["score"], person["xyz"] or unknown)
    return [
        [*where, plain_text(joint), *xy, score, *xyz, *named] for joint, xy, score, xyz in columns
    ]


def plain_text(text: str) -> str:
    """A name that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
