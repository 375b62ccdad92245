"""A frame with its people drawn in, which notebooks show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from poseact.core.files import write_bytes
from poseact.core.types import Result
from poseact.results.panels import annotate


@dataclass(frozen=True)
class Picture:
    """rgb: (H, W, 3) uint8. A notebook shows it as the last value of a cell."""

    rgb: np.ndarray

    def _repr_png_(self) -> bytes:
        return cv2.imencode(".png", cv2.cvtColor(self.rgb, cv2.COLOR_RGB2BGR))[1].tobytes()

    def save(self, path: str | Path) -> None:
        """As a PNG."""
        write_bytes(path, self._repr_png_())


def drawn(rgb: np.ndarray, result: Result) -> Picture:
    """A frame (H, W, 3) uint8 with skeletons, the largest person's 3D view, and actions."""
    return Picture(annotate(rgb, result))
