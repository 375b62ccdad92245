"""From pixels to people: a picture or a video in, one `Result` per frame out.

Where the person is comes from the network itself, the papers' single-person way with more windows
(`finder`); in a video the box then follows the last pose (`session`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from poseact.core.types import Result
from poseact.inference.look import CropNetwork
from poseact.inference.session import Follower, Following, start_box
from poseact.media.inputs import list_inputs
from poseact.media.live import is_stream, newest
from poseact.media.pictures import Frame, read_image
from poseact.media.video import VideoReader
from poseact.models.weights import Card, load


class Predictor:
    """A network with its weights, ready for pictures and videos.

    weights: name of shipped weights or path of a file. exit: (pyramid, level) to stop at, for
    speed; None runs all. device: "cpu", "cuda", ...; None takes a GPU if there is one. threads: CPU
    threads of torch, for the whole process. flip: average with the mirror image (twice the cost).
    smooth: One Euro filter on the poses of a video. search: find the person in the frame and follow
    it; off, the given box, or the whole frame, serves for every frame. focal_px: of the camera;
    None assumes `FOCAL` times the longer side of the frame. action_set: which of the model's sets,
    None for poses alone.

    Raises FileNotFoundError or ValueError for unusable weights, exit or device.
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
        search: bool = True,
        focal_px: float | None = None,
        action_set: int | None = 0,
    ) -> None:
        if threads is not None:
            if threads < 1:
                raise ValueError(f"threads is a count of 1 or more, got {threads}")
            torch.set_num_threads(threads)
        on = _device(device)
        model, self.card = load(weights, device=str(on))
        if exit is not None:
            if tuple(exit) not in model.exits:
                raise ValueError(f"no exit {tuple(exit)} in {weights}; it has {list(model.exits)}")
            model = model.cut(*exit)
        model = model.eval().to(on)
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.network = CropNetwork(model, self.card, device=on, flip=flip, focal_px=focal_px)
        self.model, self.layout = model, self.network.layout
        self.labels: tuple[str, ...] = ()
        if self.model.config.actions and action_set is not None:
            self.labels = _labels(self.card, action_set)
        self.smooth, self._search, self._action_set = smooth, search, action_set or 0

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        """The person in a picture (H, W, 3) uint8 RGB; in `box` (4,) px if given. No action."""
        look = self.network.first_look(rgb, box, search=self._search)
        return Result(0, 0.0, (self.network.person(look, rgb, track=0),))

    def video(
        self,
        source: str | Path | int | Iterable[Frame],
        *,
        box: np.ndarray | None = None,
    ) -> Iterator[tuple[Frame, Result]]:
        """Each frame of a video (path, URL, camera index, or frames) with its result.

        The start box encloses the poses of the first, middle and last frame of the first clip
        (TPAMI 2020), which is read ahead. A live source starts on its first frame, and gives its
        newest frame whenever the last one is done. Raises what `VideoReader` raises.
        """
        if isinstance(source, (str, Path, int)):
            with VideoReader(source) as reader:
                yield from self.video(reader, box=box)
            return
        live = isinstance(source, VideoReader) and source.live
        frames = newest(source) if live else iter(source)
        if box is None and self._search and not live:
            box, frames = start_box(self.network, frames)
        follower = self.follower(box=box)
        for frame in frames:
            yield frame, follower.push(frame)

    def follower(self, *, box: np.ndarray | None = None) -> Follower:
        """For one video, given frame by frame; box: (4,) px, where the person is at its start."""
        following = Following(self._search, self.smooth, self.labels, self._action_set)
        return Follower(self.network, following, box=box)


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; use cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {name!r} was asked for, but torch sees no GPU here; use cpu")
    return device


def _labels(card: Card, action_set: int) -> tuple[str, ...]:
    if not 0 <= action_set < len(card.labels):
        raise ValueError(f"no action set {action_set}; these weights have {len(card.labels)}")
    return card.labels[action_set]


def predict(
    source: str | Path | int,
    *,
    weights: str | Path = "spnet-s",
    box: np.ndarray | None = None,
    exit: tuple[int, int] | None = None,
    device: str | None = None,
    threads: int | None = None,
    flip: bool = False,
    smooth: bool = True,
) -> Iterator[Result]:
    """Results of a picture, folder, glob, video, URL or camera index, frame by frame.

    Of several pictures `index` counts the files; a video counts its own frames. Options and errors
    are those of `Predictor`, plus those of reading the source.

    >>> for result in predict("dance.mp4"):                # doctest: +SKIP
    ...     print(result.time_s, result.people[0].xy)
    """
    predictor = Predictor(
        weights, exit=exit, device=device, threads=threads, flip=flip, smooth=smooth
    )
    if is_stream(source):
        source = int(str(source)) if str(source).isdecimal() else str(source)
        yield from (result for _, result in predictor.video(source, box=box))
        return
    for index, item in enumerate(list_inputs(str(source))):
        if item.kind == "image":
            yield replace(predictor.image(read_image(item.path), box=box), index=index)
        else:
            yield from (result for _, result in predictor.video(item.path, box=box))
