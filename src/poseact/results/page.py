"""Results as a page: one HTML file with everything in it, for any browser."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from poseact.core.files import write_text
from poseact.core.types import Result
from poseact.results.intervals import intervals
from poseact.results.jsonl import Header, header_json, result_json

_PAGE = Path(__file__).with_name("report.html")


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

    video: an annotated mp4 to embed; or frames: a JPEG for each result. With neither the page draws
    the 2D skeleton itself. Raises ValueError if the number of frames is not that of the results.
    """
    path = Path(path)
    results = list(results)
    lines = [result_json(result, header) for result in results]
    if frames and len(frames) != len(lines):
        raise ValueError(f"{path}: {len(frames)} frames for {len(lines)} results")
    data = {
        "header": header_json(header),
        "sides": [header.layout.side(j) for j in range(len(header.layout))],
        "frames": lines,
        "intervals": [asdict(interval) for interval in intervals(results)],
        "video": None if video is None else _data_url("video/mp4", Path(video).read_bytes()),
        "images": [_data_url("image/jpeg", jpeg) for jpeg in frames],
    }
    # In a script element only "<" could end the element.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    name = Path(header.source).name or "poseact"
    filled = {"TITLE": html.escape(name), "DATA": text}
    template = _PAGE.read_text(encoding="utf-8")
    page = re.sub("@(TITLE|DATA)@", lambda found: filled[found[1]], template)
    write_text(path, page)


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
