from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseact.core.layouts import COCO17
from poseact.core.types import COLUMNS, Result
from poseact.results import read
from poseact.results.jsonl import ResultsWriter
from poseact.results.table import write_csv, write_parquet
from small_results import HEADER, LABELS, person, results


def test_csv_has_a_row_for_each_joint(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", HEADER, results())
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 3 * 17
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


def test_a_result_file_is_a_pandas_table(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    path = tmp_path / "a.jsonl"
    with ResultsWriter(path, layout=HEADER.layout, labels=LABELS) as out:
        for result in results():
            out.write(result)
    recording = read(path)
    assert recording.header.labels == LABELS
    assert [r.index for r in recording] == [r.index for r in recording] == [0, 1, 4]
    table = recording.to_pandas()
    assert tuple(table.columns) == COLUMNS and len(table) == 3 * 17
    p = results()[2].people[0]
    last = table[(table.frame == 4) & (table.joint == "l_wrist")].iloc[0]
    assert last.x_px == pytest.approx(p.xy[9, 0], abs=0.006)
    assert last.action == LABELS[int(np.argmax(p.action))]
    assert table[table.track == 7][["x_mm", "action"]].isna().all(axis=None)
    assert results()[0].to_pandas().shape == (2 * 17, len(COLUMNS))
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "b.jsonl")


def test_parquet_is_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="needs poseact[table]")
    pandas = pytest.importorskip("pandas")
    monkeypatch.setattr("poseact.results.table._ROW_GROUP", 20)
    write_parquet(tmp_path / "a.parquet", HEADER, results())
    table = pandas.read_parquet(tmp_path / "a.parquet")
    expected = pandas.concat([r.to_pandas() for r in results() if r.people], ignore_index=True)
    pandas.testing.assert_frame_equal(table, expected, check_dtype=False)


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'poseact\[table\]'"):
        write_parquet(tmp_path / "a.parquet", HEADER, results())
    assert not list(tmp_path.iterdir())
