"""One video: whom to follow and where to look next, smoothing, the window of the action."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from poseact.core.camera import DEPTH_RANGE_MM
from poseact.core.geometry import check_box, square, union
from poseact.core.types import Person, Result
from poseact.inference.look import CropNetwork, Look, check_picture
from poseact.inference.smoothing import OneEuro
from poseact.inference.tracking import (
    LOST_FRAMES,
    identify,
    lost,
    next_box,
    pose_box,
)
from poseact.inference.window import ActionWindow, Sampler
from poseact.media.pictures import Frame

WIDER = 2.0
"""So many times as large is the box that a follower tries when a pose is not sure."""
OUTGROWN = 1.15
"""The wide look is believed if it is surer and its pose so many times larger."""


def start_box(
    network: CropNetwork, frames: Iterator[Frame]
) -> tuple[np.ndarray | None, Iterator[Frame]]:
    """The box (4,) px around the poses of a video's first clip, and all of its frames.

    The poses are those of the clip's first, middle and last frame (TPAMI 2020), searched for in
    the whole frames. None for a video without frames.
    """
    clip = _clip(frames, (network.card.frames - 1) / network.card.fps)
    picks = sorted({0, len(clip) // 2, len(clip) - 1}) if clip else []
    boxes = []
    for frame in (clip[i] for i in picks):
        look = network.first_look(frame.rgb, None, search=True)
        boxes.append(pose_box(look.xy, look.score, (frame.rgb.shape[1], frame.rgb.shape[0])))
    return union(np.stack(boxes)) if boxes else None, chain(clip, frames)


def _clip(frames: Iterator[Frame], seconds: float) -> list[Frame]:
    """The frames up to `seconds` after the first, one frame at least if there is any."""
    clip: list[Frame] = []
    for frame in frames:
        clip.append(frame)
        if frame.time_s - clip[0].time_s >= seconds:
            break
    return clip


@dataclass(frozen=True)
class Following:
    """How a person is followed.

    search: find the person in the frame and move the box along; off, the given box, or the whole
    frame, serves for every frame. smooth: One Euro filter on the poses. labels: of the actions,
    empty for poses alone. action_set: which of the model's sets they are.
    """

    search: bool = True
    smooth: bool = True
    labels: tuple[str, ...] = ()
    action_set: int = 0


class Follower:
    """One person through the frames of one video: box, identity, smoothing and action window."""

    def __init__(
        self, network: CropNetwork, following: Following, *, box: np.ndarray | None = None
    ) -> None:
        self._network, self._following = network, following
        self._box = None if box is None else check_box(box)
        self._scores: deque[float] = deque(maxlen=LOST_FRAMES)
        self._people: tuple[Person, ...] = ()
        self._count = 0
        self._start()

    def push(self, frame: Frame) -> Result:
        """The result of the next frame."""
        following, rgb = self._following, frame.rgb
        check_picture(rgb)
        look, searched = self._look(rgb)
        score = float(look.score.mean())
        self._scores.append(score)
        believed = score >= self._network.card.believed
        if searched and believed:
            self._recognise(look.box)
        person = self._network.person(look, rgb, track=max(self._count - 1, 0))
        self._box = look.box
        if believed:
            self._people = (person,)
            if following.search:
                self._box = next_box(person, (rgb.shape[1], rgb.shape[0]))
        if following.labels:
            self._act(look, frame.time_s)
        if following.smooth:
            person = self._smooth(person, frame.time_s)
        person = replace(person, action=self._action)
        return Result(frame.index, frame.time_s, (person,), following.labels)

    def _start(self) -> None:
        """Somebody new: nothing of the person before is kept."""
        model, card = self._network.model, self._network.card
        self._filters = OneEuro(), OneEuro()
        self._window = ActionWindow(model, card.frames, action_set=self._following.action_set)
        self._sampler = Sampler(card.fps)
        self._action: np.ndarray | None = None

    def _recognise(self, box: np.ndarray) -> None:
        """Decide whether whom a search found is the person followed so far."""
        if not self._people:
            self._count = 1
        elif identify(self._people, box[None], new_track=self._count) == [self._count]:
            self._count += 1
            self._start()

    def _look(self, rgb: np.ndarray) -> tuple[Look, bool]:
        """What is seen in the next frame, and whether it had to be searched for."""
        network, search = self._network, self._following.search
        card = network.card
        if self._box is None or (search and lost(self._scores, threshold=card.believed)):
            self._scores.clear()
            return network.first_look(rgb, None, search=search), True
        (look,) = network.look(rgb, self._box[None])
        if search and self._people and look.score.mean() < card.sure:
            # Somebody who gets up outgrows the box, and a pose cannot leave its crop.
            (wide,) = network.look(rgb, square(self._box, margin=WIDER)[None])
            size = rgb.shape[1], rgb.shape[0]
            sides = [
                np.ptp(pose_box(s.xy, s.score, size).reshape(2, 2), 0).max() for s in (look, wide)
            ]
            if wide.score.mean() > look.score.mean() and sides[1] > OUTGROWN * sides[0]:
                look = wide
        return look, not self._people

    def _act(self, look: Look, time_s: float) -> None:
        for _ in range(self._sampler.due(time_s, at_most=self._network.card.frames)):
            self._action = self._window.push(look.clues)

    def _smooth(self, person: Person, time_s: float) -> Person:
        side = float(np.diff(square(person.box)[[0, 2]])[0])
        plane, space = self._filters
        xy = plane(person.xy, time_s, scale=side)
        xyz = None if person.xyz is None else space(person.xyz, time_s, scale=DEPTH_RANGE_MM)
        return replace(person, xy=xy, xyz=xyz)
