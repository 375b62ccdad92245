from __future__ import annotations

import base64
import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poseact.core.layouts import COCO17, PA17, Layout
from poseact.core.types import Person, Result
from poseact.results.jsonl import (
    CSV_COLUMNS,
    Header,
    ResultsWriter,
    read_jsonl,
    write_csv,
    write_html,
)

LABELS = ("wave", "throw", "kick")
STEPS = {"xy": 0.01, "xyz": 0.1, "score": 1e-4, "box": 0.01, "action": 1e-4}
HEADER = Header(PA17, LABELS, "clip.mp4", "spnet", 29.97, (640, 480))


def person(seed: int, *, track: int = 0, layout: Layout = PA17) -> Person:
    rng = np.random.default_rng(seed)
    joints = len(layout)
    xy = rng.uniform(0, 600, (joints, 2))
    xyz = rng.normal(0, 400, (joints, 3))
    xy[3], xyz[5] = np.nan, np.nan
    box = np.array([1.25, 2.5, 300, 400])
    return Person(
        xy, xyz, rng.random(joints), box, layout, track, rng.dirichlet(np.ones(len(LABELS)))
    )


def results() -> list[Result]:
    flat = replace(person(2, track=7), xyz=None, action=None)
    return [
        Result(0, 0.0, (person(0), flat), LABELS),
        Result(1, 1 / 29.97, (), LABELS),
        Result(4, 4 / 29.97, (person(1),), LABELS),
    ]


def write(path: Path, frames: list[Result], header: Header = HEADER) -> Path:
    names = ("layout", "labels", "source", "model", "fps", "size")
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


# JSON lines


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


# CSV


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


# HTML


class Page(HTMLParser):
    """Collects the elements, their addresses and the texts of scripts and title."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1] if self.tags else "", []).append(data)


def page(path: Path) -> tuple[Page, dict[str, Any]]:
    parsed = Page(path.read_text(encoding="utf-8"))
    return parsed, json.loads(parsed.texts["script"][0])


def test_the_page_holds_all_the_data_and_needs_nothing_else(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"an mp4")
    write_html(tmp_path / "a.html", HEADER, results(), video=video)
    parsed, data = page(tmp_path / "a.html")
    assert data["header"]["joints"] == list(PA17.joints) and len(data["frames"]) == 3
    assert data["sides"][4] == "r" and data["images"] == []
    assert base64.b64decode(data["video"].split(",")[1]) == b"an mp4"
    assert parsed.addresses == [] and "link" not in parsed.tags
    assert not re.search(r"https?://|@import|fetch\(|url\(", (tmp_path / "a.html").read_text())
    assert "canvas" in parsed.tags and "prefers-color-scheme: dark" in parsed.texts["style"][0]


def test_frames_are_embedded_one_for_each_result(tmp_path: Path) -> None:
    write_html(tmp_path / "a.html", HEADER, results(), frames=[b"1", b"2", b"3"])
    _, data = page(tmp_path / "a.html")
    assert [base64.b64decode(i.split(",")[1]) for i in data["images"]] == [b"1", b"2", b"3"]
    with pytest.raises(ValueError, match="2 frames for 3 results"):
        write_html(tmp_path / "b.html", HEADER, results(), frames=[b"1", b"2"])
    assert not (tmp_path / "b.html").exists()


def test_no_text_can_leave_its_place(tmp_path: Path) -> None:
    evil = '</script><img src=x onerror=alert(1)>@DATA@<!--"'
    header = replace(HEADER, labels=(evil, "b", "c"), source="dir/<b>" + evil.replace("/", "\\"))
    write_html(tmp_path / "a.html", header, [])
    parsed, data = page(tmp_path / "a.html")
    assert data["header"]["labels"][0] == evil
    assert "img" not in parsed.tags and "b" not in parsed.tags
    assert parsed.tags.count("script") == 2
    assert "@DATA@" in "".join(parsed.texts["title"])


def test_every_element_the_script_asks_for_is_there(tmp_path: Path) -> None:
    write_html(tmp_path / "a.html", HEADER, results())
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    asked = set(re.findall(r'\$\("(\w+)"\)', text))
    assert len(asked) > 10 and asked <= set(re.findall(r'id="(\w+)"', text))
