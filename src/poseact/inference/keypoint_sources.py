"""Where the unified framework gets its 2D joints, beside our own network (`Predictor`): from a file
that another program wrote, or from rtmlib.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from poseact.core.geometry import box_around
from poseact.core.layouts import HALPE26
from poseact.core.types import NO_TRACK, Keypoints, Person, Result
from poseact.inference.detector import Detections
from poseact.media.live import newest
from poseact.media.pictures import Frame
from poseact.media.video import VideoReader

LEAST_SCORE = 0.3
"""Mean score of a person of rtmlib; without anybody it gives joints of an empty picture."""


class FromFile:
    """The people of a keypoint file, frame by frame of the video it was made of."""

    def __init__(self, keypoints: Keypoints) -> None:
        self.layout = keypoints.layout
        self._size = keypoints.size
        self._people = {result.index: result.people for result in keypoints.results}

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        """Everyone in a file of one frame. ValueError if it has more, or another size."""
        self._check((rgb.shape[1], rgb.shape[0]))
        if len(self._people) > 1:
            raise ValueError(f"the keypoints are {len(self._people)} frames, but this is a picture")
        return Result(0, 0.0, next(iter(self._people.values())))

    def video(
        self, source: VideoReader, *, box: np.ndarray | None = None
    ) -> Iterator[tuple[Frame, Result]]:
        """Everyone in each frame, by its number; nobody in frames that the file does not have.

        ValueError for another size of the picture, and if the file goes on after the video's end.
        """
        self._check(source.size)
        count = 0
        for frame in source:
            count = frame.index + 1
            yield frame, Result(frame.index, frame.time_s, self._people.get(frame.index, ()))
        if (last := max(self._people)) >= count:
            raise ValueError(
                f"the keypoints go on to frame {last}, counted from 0, the video has {count} "
                "frames; give the video that they were made of"
            )

    def _check(self, size: tuple[int, int]) -> None:
        if self._size not in (None, size):
            raise ValueError(f"the keypoints are of {self._size} px pictures, this one has {size}")


class RTMLib:
    """RTMPose by rtmlib, an extra: everyone in the picture, 26 joints with head top and pelvis.

    It downloads its networks when it is first used. mode: "lightweight", "balanced" or
    "performance". device: "cpu" or "cuda". ImportError says how to install it.
    """

    layout = HALPE26

    def __init__(self, *, mode: str = "balanced", device: str = "cpu") -> None:
        if find_spec("rtmlib") is None:
            raise ImportError("rtmlib is not installed: pip install 'poseact[detect]'")
        library = import_module("rtmlib")
        on = device.split(":")[0]
        self._body = library.BodyWithFeet(mode=mode, backend="onnxruntime", device=on)

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        """Everyone in a picture (H, W, 3) uint8 RGB."""
        return Result(0, 0.0, self._people(rgb))

    def video(
        self, source: VideoReader, *, box: np.ndarray | None = None
    ) -> Iterator[tuple[Frame, Result]]:
        """Everyone in each frame, without tracks; of a live source in its newest frames."""
        for frame in newest(source) if source.live else source:
            yield frame, Result(frame.index, frame.time_s, self._people(frame.rgb))

    def boxes(self, rgb: np.ndarray, /) -> Detections:
        """Where everyone is: what `Predictor` takes as a detector."""
        people = self._people(rgb)
        return Detections(
            np.array([p.box for p in people]).reshape(-1, 4),
            np.array([float(p.score.mean()) for p in people]),
        )

    def _people(self, rgb: np.ndarray) -> tuple[Person, ...]:
        points, scores = self._body(np.ascontiguousarray(rgb[..., ::-1]))  # it reads BGR
        return tuple(
            Person(xy, None, score, box_around(xy), HALPE26, NO_TRACK)
            for xy, score in zip(np.asarray(points, float), np.clip(scores, 0.0, 1.0))
            if score.mean() >= LEAST_SCORE
        )
