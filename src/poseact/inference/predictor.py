"""From pixels to people: a picture or a video in, one `Result` per frame out.

Where people are comes from a detector (`detector`), or from the caller; in a video their boxes then
follow their poses (`session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from poseact.core.geometry import check_box
from poseact.core.layouts import Layout
from poseact.core.overlap import ahead
from poseact.core.types import Result
from poseact.inference.backends import open_network
from poseact.inference.box_file import BoxFile
from poseact.inference.detector import Detects, PeopleDetector
from poseact.inference.look import HEIGHT_M, CropNetwork, Look, check_picture
from poseact.inference.session import SAME, Following, Session
from poseact.inference.tracking import likeness, pose_box
from poseact.media.inputs import list_inputs
from poseact.media.live import is_stream, newest
from poseact.media.pictures import Frame, read_image
from poseact.media.video import VideoReader
from poseact.models.cards import Card
from poseact.models.exported import Runtime
from poseact.results.jsonl import Header

if TYPE_CHECKING:
    from poseact.models.weights import Network

STILL_SIDE = 448
"""Px of the longer side of a picture as the detector sees it; of a video it is `detector.SIDE`."""
STILL_SCORE = 0.12
"""Least score of a detected box in a picture: there is no second frame to find somebody in."""


class Predictor:
    """A network with its weights, ready for pictures and videos.

    weights: name of shipped weights or path of a file. exit: (pyramid, level) to stop at, for
    speed; None runs all. device: "cpu", "cuda", ...; None takes a GPU if there is one. threads: on
    a CPU; PyTorch's are the whole process's. flip: average with the mirror image (twice the cost).
    smooth: One Euro filter on the poses of a video. people: "all", "one" (the largest) or at most
    so many. detector: "people" is the shipped one, "none" gives one person, whose box, the given
    one or the whole frame, serves for every frame; or a callable of your own, or the boxes of one
    video (`box_file.BoxFile`). focal_px: of the camera; None assumes `FOCAL` times the longer side
    of the frame. height_m: stature of the people, which scales their 3D poses. action_set: which of
    the model's sets, None for poses alone. runtime: who runs the networks, "onnx" (ONNX Runtime),
    "openvino" or "torch"; None takes ONNX Runtime on a CPU where it is installed and the network is
    a shipped one or a file that `poseact export` has written, and PyTorch for the rest.

    Raises FileNotFoundError or ValueError for unusable weights, exit, device or runtime, and
    ImportError if what would run them is not installed.
    """

    def __init__(
        self,
        weights: str | Path = "spnet-s",
        *,
        exit: tuple[int, int] | None = None,
        device: str | None = None,
        threads: int | None = None,
        flip: bool = False,
        smooth: bool = True,
        people: Literal["all", "one"] | int = "all",
        detector: Literal["people", "none"] | Detects | BoxFile = "people",
        focal_px: float | None = None,
        height_m: float = HEIGHT_M,
        action_set: int | None = 0,
        runtime: Runtime | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads is a count of 1 or more, got {threads}")
        if focal_px is not None and not 0 < focal_px < 1e6:
            raise ValueError(f"the focal length is px, more than 0, got {focal_px}")
        if not 0.3 <= height_m <= 3:
            raise ValueError(f"the height of people is metres, 0.3 to 3, got {height_m}")
        self._opened = open_network(
            weights, exit=exit, device=device, runtime=runtime, threads=threads
        )
        self.card, self.device = self._opened.card, device
        self.network = CropNetwork(
            self._opened.network, self.card, flip=flip, focal_px=focal_px, height_m=height_m
        )
        self.layout = self.network.layout
        self.labels: tuple[str, ...] = ()
        if self._opened.acts and action_set is not None:
            self.labels = _labels(self.card, action_set)
        self.smooth, self._action_set = smooth, action_set or 0
        self._people = _count(people)
        self._detector, self._still_detector = _detectors(
            detector, device=device, runtime=runtime, threads=threads
        )

    @property
    def runtime(self) -> str:
        """Who runs the network, and why."""
        return f"{self._opened.runtime}: {self._opened.why}"

    def scale(self, size: tuple[int, int]) -> tuple[float, float]:
        """What 3D poses rest on in frames of (width, height) px: focal length px, stature m."""
        return self.network.focal_px(size), self.network.height_m

    @property
    def model(self) -> Network:
        """The network in PyTorch; ValueError if this predictor has an exported file, ImportError
        without PyTorch."""
        return self._opened.whole().model

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        """Everyone in a picture (H, W, 3) uint8 RGB, the largest first; or who is in `box` (4,) px.

        Nobody who is not believed is in the result, except in a box that was given. One picture
        shows no action.
        """
        if box is None:
            return self.batch([rgb])[0]
        check_picture(rgb)
        return self._still(0, rgb, self.network.look(rgb, check_box(box, picture=_size(rgb))[None]))

    def batch(self, pictures: Sequence[np.ndarray]) -> list[Result]:
        """Everyone in each of several pictures (H, W, 3) uint8 RGB of any sizes.

        As `image` has it, but quicker: the crops of all pictures go through the network together.
        `Result.index` counts the pictures. Keep a batch to what memory holds, 16 pictures, say.
        """
        for rgb in pictures:
            check_picture(rgb)
        if self._still_detector is None:
            boxes = [self.network.whole_box(rgb)[None] for rgb in pictures]
            looks = self.network.looks(pictures, boxes)
        else:
            looks = self._everyone(pictures, self._still_detector)
        return [self._still(n, rgb, own) for n, (rgb, own) in enumerate(zip(pictures, looks))]

    def _still(self, index: int, rgb: np.ndarray, looks: Sequence[Look]) -> Result:
        people = []
        for number, look in enumerate(looks):
            person = self.network.person(look, rgb, track=number)
            people.append(replace(person, box=pose_box(look.xy, look.score, _size(rgb))))
        return Result(index, 0.0, tuple(people))

    def video(
        self,
        source: str | Path | int | Iterable[Frame],
        *,
        box: np.ndarray | None = None,
    ) -> Iterator[tuple[Frame, Result]]:
        """Each frame of a video (path, URL, camera index, or frames) with its result.

        box: (4,) px, of the one person to follow, in the first frame. A live source gives its
        newest frame whenever the last one is done. Raises what `VideoReader` raises.
        """
        if isinstance(source, (str, Path, int)):
            with VideoReader(source) as reader:
                yield from self.video(reader, box=box)
            return
        session, frames = self.session(box=box), source
        if isinstance(source, VideoReader):  # is decoded while the network sees the frame before
            frames = newest(source) if source.live else ahead(source)
        for frame in frames:
            yield frame, session.push(frame.rgb, frame.time_s, index=frame.index)

    def session(
        self, *, box: np.ndarray | None = None, network: CropNetwork | None = None
    ) -> Session:
        """For one video, given frame by frame; box: (4,) px, of the one person to follow.

        network: in place of the predictor's own.
        """
        following = Following(
            self._detector, self._people, self.smooth, self.labels, self._action_set
        )
        return Session(network or self.network, following, box=box)

    def _everyone(self, pictures: Sequence[np.ndarray], detector: Detects) -> list[list[Look]]:
        """Believed poses in pictures, the largest first, each looked at twice."""
        found = [detector(rgb) for rgb in pictures]
        boxes = [f.boxes[f.scores >= STILL_SCORE] for f in found]
        looks: list[list[Look]] = []
        for _ in range(2):  # in the box of the detector, then in that of the pose
            looks = [
                [s for s in own if s.score.mean() >= self.card.believed]
                for own in self.network.looks(pictures, boxes)
            ]
            boxes = [
                np.array([pose_box(s.xy, s.score, _size(rgb)) for s in own]).reshape(-1, 4)
                for rgb, own in zip(pictures, looks)
            ]
        return [self._one_each(own) for own in looks]

    def _one_each(self, looks: Sequence[Look]) -> list[Look]:
        """One of each person, the largest first."""
        one_each: list[Look] = []
        for look in sorted(looks, key=lambda s: -float(s.score.mean())):
            side = float((look.box[2:] - look.box[:2]).max())
            if all(likeness(look.xy, other.xy, side) < SAME for other in one_each):
                one_each.append(look)
        one_each.sort(key=lambda s: -float(np.prod(s.box[2:] - s.box[:2])))
        return one_each[: self._people]


class _Scaled(Protocol):
    """What a file of results says of who made it."""

    @property
    def layout(self) -> Layout: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    def scale(self, size: tuple[int, int], /) -> tuple[float | None, float | None]: ...


def results_header(
    predictor: _Scaled,
    *,
    model: str,
    fps: float | None,
    size: tuple[int, int],
    source: str | int | Path = "",
) -> Header:
    """What a file of a predictor's results says first; model: the name of its weights."""
    return Header(
        predictor.layout, predictor.labels, str(source), model, fps, size, *predictor.scale(size)
    )


def _size(rgb: np.ndarray) -> tuple[int, int]:
    return rgb.shape[1], rgb.shape[0]


def _detectors(
    detector: Literal["people", "none"] | Detects | BoxFile,
    *,
    device: str | None,
    runtime: Runtime | None,
    threads: int | None,
) -> tuple[Detects | BoxFile | None, Detects | None]:
    """What finds people in videos, and in pictures."""
    if detector == "people":
        found = PeopleDetector(device=device, runtime=runtime, threads=threads)
        return found, found.sized(STILL_SIDE)
    if detector == "none":
        return None, None
    if isinstance(detector, BoxFile):
        return detector, lambda rgb: detector.at(0)
    if not callable(detector):
        raise ValueError(f'detector is "people", "none" or a callable, got {detector!r}')
    return detector, detector


def _count(people: Literal["all", "one"] | int) -> int | None:
    """At most so many people; None is everyone."""
    if people == "all":
        return None
    count = 1 if people == "one" else people
    if not isinstance(count, int) or count < 1:
        raise ValueError(f'people is "all", "one" or a count of 1 or more, got {people!r}')
    return count


def _labels(card: Card, action_set: int) -> tuple[str, ...]:
    if not 0 <= action_set < len(card.labels):
        raise ValueError(f"no action set {action_set}; these weights have {len(card.labels)}")
    return card.labels[action_set]


def predict(
    source: str | Path | int | np.ndarray,
    *,
    weights: str | Path = "spnet-s",
    box: np.ndarray | None = None,
    people: Literal["all", "one"] | int = "all",
    exit: tuple[int, int] | None = None,
    device: str | None = None,
    threads: int | None = None,
    flip: bool = False,
    smooth: bool = True,
) -> Iterator[Result]:
    """Results of a picture, folder, glob, video, URL or camera index, frame by frame.

    A picture may also be an array (H, W, 3) uint8 RGB; frames of a video as arrays go to
    `Predictor.session`, several pictures to `Predictor.batch`. Of several files `index` counts the
    pictures; a video counts its own frames; `source` names the file. Options and errors are those
    of `Predictor`, plus those of reading the source; TypeError for a source of another type.

    >>> for result in predict("dance.mp4"):                # doctest: +SKIP
    ...     print(result.time_s, [person.xy for person in result.people])
    """
    if not isinstance(source, (str, Path, int, np.ndarray)):
        raise TypeError(
            f"predict takes a path, URL, camera index or picture, got {type(source).__name__}; "
            "several pictures go to Predictor.batch, frames to Predictor.session"
        )
    if isinstance(source, np.ndarray):
        check_picture(source)
    predictor = Predictor(
        weights,
        exit=exit,
        device=device,
        threads=threads,
        flip=flip,
        smooth=smooth,
        people=people,
    )
    if isinstance(source, np.ndarray):
        yield predictor.image(source, box=box)
        return
    if is_stream(source):
        name, stream = str(source), int(str(source)) if str(source).isdecimal() else str(source)
        for _, result in predictor.video(stream, box=box):
            yield replace(result, source=name)
        return
    for index, item in enumerate(list_inputs(str(source))):
        name = str(item.path)
        if item.kind == "image":
            result = predictor.image(read_image(item.path), box=box)
            yield replace(result, index=index, source=name)
        else:
            for _, result in predictor.video(item.path, box=box):
                yield replace(result, source=name)
