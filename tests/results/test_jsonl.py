from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseact.core.layouts import COCO17, PA17, Layout
from poseact.core.types import Result
from poseact.results.jsonl import Header, ResultsWriter, read_jsonl
from small_results import HEADER, LABELS, person, results

STEPS = {"xy": 0.01, "xyz": 0.1, "root": 0.1, "score": 1e-4, "box": 0.01, "action": 1e-4}


def write(path: Path, frames: list[Result], header: Header = HEADER) -> Path:
    names = ("layout", "labels", "source", "model", "fps", "size", "focal_px", "height_m")
    with ResultsWriter(path, **{name: getattr(header, name) for name in names}) as out:
        for result in frames:
            out.write(result)
    return path


def assert_same(a: Result, b: Result) -> None:
    assert (a.index, a.labels, len(a.people)) == (b.index, b.labels, len(b.people))
    assert a.time_s == pytest.approx(b.time_s, abs=1e-6)
    for p, q in zip(a.people, b.people, strict=True):
        assert (p.track, p.layout) == (q.track, q.layout)
        for name, step in STEPS.items():
            x, y = getattr(p, name), getattr(q, name)
            assert (x is None) == (y is None), name
            if x is not None:
                assert x.shape == y.shape, name
                np.testing.assert_allclose(x, y, rtol=0, atol=step * 0.501, err_msg=name)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "out" / "a.jsonl", results())
    header, back = read_jsonl(path)
    assert header == HEADER and header.layout is PA17
    for a, b in zip(results(), back, strict=True):
        assert_same(a, b)
    assert [p.name for p in path.parent.iterdir()] == ["a.jsonl"]


@settings(max_examples=25, deadline=None)
@given(
    xy=st.lists(st.floats(-1e5, 1e5) | st.just(np.nan), min_size=34, max_size=34),
    time_s=st.floats(0, 1e6),
)
def test_any_coordinates_survive(tmp_path_factory: Any, xy: list[float], time_s: float) -> None:
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    wild = replace(person(0), xy=np.reshape(xy, (17, 2)), score=np.full(17, np.inf))
    _, (back,) = read_jsonl(write(path, [Result(3, time_s, (wild,), LABELS)]))
    known = replace(wild, score=np.full(17, np.nan))  # what is not finite is unknown
    assert_same(Result(3, time_s, (known,), LABELS), back)


def test_every_line_is_strict_json_and_the_header_says_what_it_is(tmp_path: Path) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = write(tmp_path / "a.jsonl", results()).read_text()
    lines = [json.loads(line, parse_constant=no_constant) for line in text.splitlines()]
    head = lines[0]
    assert head["schema"] == "poseact/1" and head["joints"] == list(PA17.joints)
    assert head["labels"] == list(LABELS) and head["size"] == [640, 480]
    assert "px" in head["units"]["xy"] and "mm, root-relative" in head["units"]["xyz"]
    assert lines[1]["people"][0]["xy"][3] == [None, None] and lines[1]["people"][1]["xyz"] is None


def test_a_layout_of_ones_own_is_kept(tmp_path: Path) -> None:
    own = Layout("PA17", ("root", "tip"), (-1, 0))  # the name alone must not decide
    header = replace(HEADER, layout=own, size=None, fps=None)
    back, _ = read_jsonl(write(tmp_path / "a.jsonl", [], header))
    assert back == header and back.layout.joints == ("root", "tip")


def test_wrong_frames_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    coco = Result(5, 0.0, (person(0, layout=COCO17),), LABELS)
    short = Result(5, 0.0, (replace(person(0), action=np.ones(2)),), LABELS)
    other = Result(5, 0.0, (person(0),), ("jump", "run", "sit"))
    for bad, reason in ((coco, "COCO17"), (short, "2 action prob"), (other, "labels")):
        with pytest.raises(ValueError, match=f"frame 5 has .*{reason}"):
            write(tmp_path / "a.jsonl", [bad])
    assert not list(tmp_path.iterdir())


def test_broken_files_are_named_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", results())
    lines = path.read_text().splitlines()
    broken = {
        "line 2": [lines[0], lines[1][:100]],
        "line 3: .*no 'people'": [lines[0], lines[1], '{"frame": 1, "time_s": 0}'],
        "line 4: .*reshape": [*lines[:3], lines[3].replace('"box":[', '"box":[0,')],
        "line 2: .*box has 1e.308: no px": [
            lines[0],
            re.sub(r'"box":\[[^,]*', '"box":[1e308', lines[1]),
        ],
        "line 1: .*'coco', this version reads 'poseact/1'": ['{"schema": "coco"}'],
        "line 1: .*poseact/1": ["[]"],
        "empty": [],
    }
    for reason, content in broken.items():
        path.write_text("\n".join(content))
        with pytest.raises(ValueError, match=f"a.jsonl.*{reason}"):
            read_jsonl(path)
    with pytest.raises(FileNotFoundError, match="gone.jsonl"):
        read_jsonl(tmp_path / "gone.jsonl")
