"""Where people are, from a file: the boxes of a detector or an annotator of one's own."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from poseact.core.geometry import check_box
from poseact.core.reading import understood
from poseact.inference.detector import Detections

COLUMNS = ("frame", "x0", "y0", "x1", "y1")
_NOBODY = Detections(np.zeros((0, 4)), np.zeros(0))


class BoxFile:
    """Boxes of one video, or picture: a CSV with `COLUMNS` and, if it likes, `score`.

    Frames count from 0, boxes are px and hold the whole body; a frame without rows has nobody new,
    and whoever is followed goes on being followed. Raises OSError or ValueError, naming the line.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        found: dict[int, list[tuple[float, np.ndarray]]] = {}
        with understood(path), path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            if missing := set(COLUMNS) - set(rows.fieldnames or ()):
                raise ValueError(f"it lacks the columns {', '.join(sorted(missing))}")
            for row in rows:
                try:
                    frame, score = int(row["frame"]), float(row.get("score") or 1.0)
                    box = check_box(np.array([float(row[column]) for column in COLUMNS[1:]]))
                    if frame < 0 or not 0 <= score <= 1:
                        raise ValueError(f"frame {frame}, score {score}: 0 or more; 0 to 1")
                except (TypeError, ValueError, OverflowError) as error:
                    raise ValueError(f"line {rows.line_num}: {error}") from error
                found.setdefault(frame, []).append((score, box))
        if not found:
            raise ValueError(f"{path}: no boxes")
        self._found = {
            frame: Detections(np.stack([box for _, box in own]), np.array([s for s, _ in own]))
            for frame, own in found.items()
        }

    def __contains__(self, frame: int) -> bool:
        return frame in self._found

    def at(self, frame: int) -> Detections:
        """The boxes of a frame, counted from 0."""
        return self._found.get(frame, _NOBODY)
