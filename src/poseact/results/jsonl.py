"""Result files of our own: JSON lines, a header and then a line a frame.

Units are in the header. Unknown numbers are null.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from poseact.core.files import Unfinished
from poseact.core.layouts import LAYOUTS, Layout
from poseact.core.reading import understood
from poseact.core.types import Person, Result

T = TypeVar("T")
SCHEMA = "poseact/1"
_WRONG = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
UNITS = {
    "xy": "px of the upright frame, x right, y down, (0, 0) is the corner of the first pixel",
    "xyz": "mm, root-relative, camera axes: x right, y down, z forward",
    "box": "px, x0 y0 x1 y1",
    "root": "mm, camera axes, from the camera to the root: xyz + root is a point in camera space",
    "score": "0..1",
    "action": "probability per label, for the window that ends at this frame",
}

LARGEST = 1e9
"""Px or mm; a file that has more is damaged."""


@dataclass(frozen=True)
class Header:
    """What holds for all frames. fps and size (width, height) px: None where unknown.

    focal_px, height_m: the focal length and the stature that 3D poses rest on, given or assumed;
    None where they rest on none.
    """

    layout: Layout
    labels: tuple[str, ...] = ()
    source: str = ""
    model: str = ""
    fps: float | None = None
    size: tuple[int, int] | None = None
    focal_px: float | None = None
    height_m: float | None = None


class ResultsWriter:
    """Writes `poseact/1` JSON lines, a frame at a time; the file appears when the block ends.

    After an exception nothing is left. To end a live session and keep its results, catch
    KeyboardInterrupt inside the block.

    >>> with ResultsWriter("a.jsonl", layout=PA17, labels=("wave",)) as out:    # doctest: +SKIP
    ...     out.write(result)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        layout: Layout,
        labels: Sequence[str] = (),
        source: str = "",
        model: str = "",
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        focal_px: float | None = None,
        height_m: float | None = None,
    ) -> None:
        self.path = Path(path)
        self.header = Header(layout, tuple(labels), source, model, fps, size, focal_px, height_m)
        self._output = Unfinished(self.path)
        self._file = self._output.part.open("w", encoding="utf-8", newline="\n")
        self._line(header_json(self.header))

    def write(self, result: Result) -> None:
        """Append a frame. ValueError if its layout, labels or shapes are not the header's."""
        self._line(result_json(result, self.header))

    def _line(self, value: dict[str, Any]) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"
        with self._output.named():
            self._file.write(text)

    def close(self) -> None:
        """Give the file its name."""
        try:
            with self._output.named():
                self._file.close()
            self._output.finish()
        finally:
            self._output.drop()

    def abort(self) -> None:
        """Drop the unfinished file."""
        with contextlib.suppress(OSError):  # what was not yet written need not be
            self._file.close()
        self._output.drop()

    def __enter__(self) -> ResultsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close() if kind is None else self.abort()


def read_jsonl(path: str | Path) -> tuple[Header, list[Result]]:
    """The header and the frames of a file of `ResultsWriter`.

    Coordinates were rounded to 0.01 px, 0.1 mm and 1e-4 of a probability. Raises FileNotFoundError,
    or ValueError that names the file and the line.
    """
    header, results = open_jsonl(path)
    return header, list(results)


def open_jsonl(path: str | Path) -> tuple[Header, Iterator[Result]]:
    """The header, and the frames one after the other: for long files. Errors as `read_jsonl`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such result file")
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise ValueError(f"{path}: empty, not a {SCHEMA} file")
    header = _understood(path, 1, partial(_read_header, first))
    return header, _results(path, header, lines)


def _lines(path: Path) -> Iterator[str]:
    with understood(path), path.open(encoding="utf-8") as lines:
        yield from lines


def _results(path: Path, header: Header, lines: Iterator[str]) -> Iterator[Result]:
    for number, text in enumerate(lines, 2):
        yield _understood(path, number, partial(_read_result, text, header))


def _understood(path: Path, number: int, read: Callable[[], T]) -> T:
    try:
        return read()
    except _WRONG as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}, line {number}: not a {SCHEMA} line: {why}") from None


def header_json(header: Header) -> dict[str, Any]:
    """The first line of a file, as JSON knows it."""
    return {
        "schema": SCHEMA,
        "layout": header.layout.name,
        "joints": header.layout.joints,
        "parents": header.layout.parents,
        "labels": header.labels,
        "units": UNITS,
        "source": header.source,
        "model": header.model,
        "fps": header.fps,
        "size": header.size,
        "focal_px": header.focal_px,
        "height_m": header.height_m,
    }


def _read_header(text: str) -> Header:
    value = json.loads(text)
    if value.get("schema") != SCHEMA:
        raise ValueError(f"schema is {value.get('schema')!r}, this version reads {SCHEMA!r}")
    layout = Layout(str(value["layout"]), *map(tuple, (value["joints"], value["parents"])))
    _check_header(value, layout)
    if LAYOUTS.get(layout.name) == layout:
        layout = LAYOUTS[layout.name]
    width_height = value["size"]
    return Header(
        layout,
        tuple(value["labels"]),
        value["source"],
        value["model"],
        value["fps"],
        (int(width_height[0]), int(width_height[1])) if width_height else None,
        value.get("focal_px"),
        value.get("height_m"),
    )


def _check_header(value: dict[str, Any], layout: Layout) -> None:
    """ValueError for a skeleton, labels, a rate or a size that cannot be."""
    texts = (*layout.joints, *value["labels"], value["source"], value["model"])
    numbers = range(-1, len(layout))
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("names of joints and labels, source and model are text")
    if not all(type(p) is int and p in numbers for p in layout.parents) or -1 not in layout.parents:
        raise ValueError(f"parents are numbers of joints, -1 for the root, got {layout.parents}")
    for name in ("focal_px", "height_m"):
        number = value.get(name)
        if number is not None and not 0 < float(number) < 1e6:
            raise ValueError(f"{name} is more than 0, got {number!r:.40}")
    fps, size = value["fps"], value["size"]
    if fps is not None and not 0 < float(fps) < 1e6:
        raise ValueError(f"fps is frames a second, got {fps!r:.40}")
    if size is not None and (len(size) != 2 or not all(0 < int(n) < 1 << 20 for n in size)):
        raise ValueError(f"size is width and height in px, got {size!r:.40}")


def result_json(result: Result, header: Header) -> dict[str, Any]:
    """A frame's line; ValueError if its layout, labels or shapes are not the header's."""
    if result.people and result.labels and result.labels != header.labels:
        raise ValueError(f"frame {result.index} has labels {result.labels}, not {header.labels}")
    if not math.isfinite(result.time_s):
        raise ValueError(f"the time of frame {result.index} is {result.time_s} s")
    people = [_person_json(p, header, result.index) for p in result.people]
    return {"frame": result.index, "time_s": round(result.time_s, 6), "people": people}


def _person_json(person: Person, header: Header, index: int) -> dict[str, Any]:
    joints = len(header.layout)
    if person.layout != header.layout or np.shape(person.xy) != (joints, 2):
        raise ValueError(
            f"frame {index} has layout {person.layout.name} with {len(person.xy)} joints, the file "
            f"has {header.layout.name} with {joints}; see layouts.convert"
        )
    if person.action is not None and len(person.action) != len(header.labels):
        raise ValueError(
            f"frame {index} has {len(person.action)} action probabilities for "
            f"{len(header.labels)} labels"
        )
    return {
        "track": int(person.track),
        "box": _rounded(person.box, 2),
        "xy": _rounded(person.xy, 2),
        "score": _rounded(person.score, 4),
        "xyz": None if person.xyz is None else _rounded(person.xyz, 1),
        "root": None if person.root is None else _rounded(person.root, 1),
        "action": None if person.action is None else _rounded(person.action, 4),
        "filled": person.filled,
    }


def _rounded(values: np.ndarray, digits: int) -> list[Any]:
    """Nested lists with None for what is not finite: JSON has no NaN."""
    values = np.asarray(values, float)
    if values.ndim > 1:
        return [_rounded(row, digits) for row in values]
    return [round(v, digits) if np.isfinite(v) else None for v in values.tolist()]


def _read_result(text: str, header: Header) -> Result:
    value = json.loads(text)
    people = tuple(_read_person(p, header) for p in value["people"])
    index, time_s = int(value["frame"]), float(value["time_s"])
    if not 0 <= index < 1 << 53 or not math.isfinite(time_s):
        raise ValueError(f"frame {index} at {time_s} s")
    return Result(index, time_s, people, header.labels)


def _read_person(value: dict[str, Any], header: Header) -> Person:
    layout = header.layout

    def array(name: str, *shape: int) -> np.ndarray:
        found = np.array(value[name], float).reshape(shape)  # None becomes NaN
        if (np.abs(found) > LARGEST).any():
            raise ValueError(f"{name} has {found[np.abs(found) > LARGEST][0]:.3g}: no px, no mm")
        return found

    joints = len(layout)
    return Person(
        xy=array("xy", joints, 2),
        xyz=None if value["xyz"] is None else array("xyz", joints, 3),
        score=array("score", joints),
        box=array("box", 4),
        layout=layout,
        track=min(int(value["track"]), 1 << 53),
        action=None if value["action"] is None else array("action", len(header.labels)),
        filled=bool(value.get("filled", False)),
        root=None if value.get("root") is None else array("root", 3),
    )
