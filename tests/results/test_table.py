from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from poseact.core.layouts import COCO17
from poseact.core.types import Result
from poseact.results.table import CSV_COLUMNS, write_csv
from small_results import HEADER, LABELS, person, results


def test_csv_has_a_row_for_each_joint(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", HEADER, results())
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS and len(rows) == 3 * 17
    first, p = rows[4], results()[0].people[0]
    assert (first["frame"], first["track"], first["joint"]) == ("0", "0", "r_shoulder")
    assert float(first["x_px"]) == pytest.approx(p.xy[4, 0], abs=0.006)
    assert p.xyz is not None and p.action is not None
    assert float(first["z_mm"]) == pytest.approx(p.xyz[4, 2], abs=0.06)
    assert first["action"] == LABELS[int(p.action.argmax())]
    assert float(first["action_probability"]) == pytest.approx(p.action.max(), abs=1e-4)
    assert rows[3]["x_px"] == "" and rows[5]["x_mm"] == "" and rows[3]["x_mm"] != ""
    flat = [r for r in rows if r["track"] == "7"]
    assert len(flat) == 17 and all(r["x_mm"] == r["action"] == "" for r in flat)


def test_a_failed_csv_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="COCO17"):
        write_csv(tmp_path / "a.csv", HEADER, [Result(0, 0.0, (person(0, layout=COCO17),))])
    assert not list(tmp_path.iterdir())


def test_names_that_spreadsheets_would_run_are_defused(tmp_path: Path) -> None:
    labels = ("=HYPERLINK(1)", "@x", "-y")
    header = replace(HEADER, labels=labels)
    write_csv(tmp_path / "a.csv", header, [replace(r, labels=labels) for r in results()])
    cells = [
        cell for line in (tmp_path / "a.csv").read_text().splitlines() for cell in line.split(",")
    ]
    assert any(cell.startswith("'") for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "@") or cell == "-y"]
