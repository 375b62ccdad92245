from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from poseact.core.layouts import PA17
from poseact.results import page as page_module
from poseact.results.page import write_html
from small_results import HEADER, results


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


def test_a_long_video_is_thinned_and_a_large_one_stays_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "MOST_FRAMES", 2)
    monkeypatch.setattr(page_module, "MOST_BYTES", 5)
    video = tmp_path / "out" / "a b.mp4"
    video.parent.mkdir()
    video.write_bytes(b"an mp4")
    write_html(tmp_path / "out" / "a.html", HEADER, results(), video=video)
    _, data = page(tmp_path / "out" / "a.html")
    assert data["every"] == 2 and [f["frame"] for f in data["frames"]] == [0, 4]
    assert data["video"] == "a%20b.mp4"
    write_html(tmp_path / "a.html", HEADER, results(), video=video)
    assert page(tmp_path / "a.html")[1]["video"] == "out/a%20b.mp4"
    write_html(tmp_path / "b.html", HEADER, results(), frames=[b"1", b"2", b"3"])
    assert len(page(tmp_path / "b.html")[1]["images"]) == 2


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
