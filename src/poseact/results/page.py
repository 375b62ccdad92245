"""Results as a page: one HTML file with everything in it, for any browser."""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from poseact.core.files import write_text
from poseact.core.types import Result
from poseact.results.intervals import intervals
from poseact.results.jsonl import Header, header_json, result_json

_PAGE = Path(__file__).with_name("report.html")
MOST_FRAMES = 20_000
"""Of a longer video the page shows every second frame, or third, ..."""
MOST_BYTES = 24 << 20
"""A larger video stays beside the page and is not put into it."""


def write_html(
    path: str | Path,
    header: Header,
    results: Iterable[Result],
    *,
    video: str | Path | None = None,
    frames: Sequence[bytes] = (),
) -> None:
    """One page that needs nothing else: player, 3D skeleton to turn, a timeline for
    each person, actions over time, joints.

    video: an annotated mp4 to embed, or to refer to if it has more than `MOST_BYTES`; or frames: a
    JPEG for each result. With neither the page draws the 2D skeleton itself. Of more results than
    `MOST_FRAMES` it shows some, and says so; intervals are those of all. Raises ValueError if the
    number of frames is not that of the results.
    """
    path = Path(path)
    results = list(results)
    if frames and len(frames) != len(results):
        raise ValueError(f"{path}: {len(frames)} frames for {len(results)} results")
    every = max(-(-len(results) // MOST_FRAMES), 1)
    data = {
        "header": header_json(header),
        "sides": [header.layout.side(j) for j in range(len(header.layout))],
        "every": every,
        "frames": [result_json(result, header) for result in results[::every]],
        "intervals": [asdict(interval) for interval in intervals(results)],
        "video": None if video is None else _source(Path(video), path),
        "images": [_data_url("image/jpeg", jpeg) for jpeg in frames[::every]],
    }
    # In a script element only "<" could end the element.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    name = Path(header.source).name or "poseact"
    filled = {"TITLE": html.escape(name), "DATA": text}
    template = _PAGE.read_text(encoding="utf-8")
    page = re.sub("@(TITLE|DATA)@", lambda found: filled[found[1]], template)
    write_text(path, page)


def _source(video: Path, page: Path) -> str:
    """The video itself, or its address as seen from the page."""
    if video.stat().st_size <= MOST_BYTES:
        return _data_url("video/mp4", video.read_bytes())
    return quote(os.path.relpath(video, page.parent).replace(os.sep, "/"))


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
