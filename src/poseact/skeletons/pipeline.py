"""The unified framework of Pham et al. 2019 on pictures and video.

    2D joints -> gaps filled -> two-stream lifter -> Enhanced-SPMF of a sliding window -> class

The 2D joints come from one of `detectors`. A video is answered `GAP_FRAMES` + 1 frames late, so
that a joint that is not seen can be interpolated; a causal pipeline answers at once and holds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import tee
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float

from poseact.core.camera import FOCAL
from poseact.core.geometry import box_around
from poseact.core.layouts import DERIVED, H36M17, Layout, convert, layout_named
from poseact.core.types import Person, Result
from poseact.inference.window import Sampler
from poseact.media.pictures import Frame
from poseact.media.video import VideoReader
from poseact.models.lifter import Lifter
from poseact.skeletons.classifier import as_input
from poseact.skeletons.classifier_file import LoadedClassifier
from poseact.skeletons.gaps import fill_missing
from poseact.skeletons.lift import (
    GAP_FRAMES,
    STANDS_IN,
    fill_in_time,
    followed,
    seen_enough,
    to_h36m17,
)
from poseact.skeletons.spmf import spmf

LEAST_SHARE = 0.25
"""Of a window: with fewer frames there is no answer yet."""

_ENDS = {"hand": "wrist", "hand_tip": "wrist", "thumb": "wrist", "foot": "ankle"}
_NEARBY = {f"{s}_{end}": f"{s}_{joint}" for end, joint in _ENDS.items() for s in "lr"}


class Poses2D(Protocol):
    """Where 2D joints come from (`Predictor` is one, see `detectors`): people in px, frame by
    frame; in a video everyone has a track, or `NO_TRACK`."""

    layout: Layout

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result: ...
    def video(
        self, source: VideoReader, *, box: np.ndarray | None = None
    ) -> Iterator[tuple[Frame, Result]]: ...


class Unified:
    """The whole pipeline, with the methods of `Predictor` that `poseact predict` needs.

    classifier: None for poses alone. causal: nothing waits for later frames; a live source never
    waits. ValueError if the classifier reads joints that a lifted pose does not have.
    """

    def __init__(
        self,
        poses: Poses2D,
        lifter: Lifter,
        classifier: LoadedClassifier | None = None,
        *,
        causal: bool = False,
    ) -> None:
        self.poses, self.lifter, self.classifier, self.causal = poses, lifter, classifier, causal
        self.layout = H36M17
        self.labels: tuple[str, ...] = ()
        if classifier is not None:
            (self.labels,) = classifier.card.labels
            check_layout(layout_named(classifier.card.layout))

    def scale(self, size: tuple[int, int]) -> tuple[None, None]:
        """The lifter assumes neither a focal length nor a stature."""
        return None, None

    def notes(self) -> list[str]:
        """What a user should know, a line each."""
        have, lines = self.poses.layout, []
        if missing := [j for j in H36M17.joints if j not in have.joints and j in STANDS_IN]:
            lines.append(f"{have.name} has no {', '.join(missing)}: others stand in")
        if self.classifier is None:
            return [*lines, "no action set is loaded (--classifier FILE): poses alone"]
        reads = layout_named(self.classifier.card.layout)
        if ends := [j for j in reads.joints if j in _NEARBY and j not in H36M17.joints]:
            lines.append(f"the lifter gives no {', '.join(ends)}: wrists and ankles stand in")
        return lines

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        """Everyone in a picture (H, W, 3) uint8 RGB, in 3D; one picture shows no action."""
        session = _Session(self, ahead=0)
        (result,) = followed([_enough(self.poses.image(rgb, box=box))])
        ((_, answer),) = session.push(Frame(0, 0.0, rgb), result)
        return answer

    def video(
        self, source: VideoReader, *, box: np.ndarray | None = None
    ) -> Iterator[tuple[Frame, Result]]:
        """Each frame of a video with everyone in 3D and what they do, in the frames' order."""
        session = _Session(self, ahead=0 if self.causal or source.live else GAP_FRAMES + 1)
        frames, found = tee(self.poses.video(source, box=box))
        for (frame, _), result in zip(frames, followed(_enough(r) for _, r in found)):
            yield from session.push(frame, result)
        yield from session.flush()

    @torch.no_grad()
    def lift(
        self, xy: Float[np.ndarray, "p 17 2"], size: tuple[int, int]
    ) -> Float[np.ndarray, "p 17 3"]:
        """Root-relative mm of whole 2D poses in a picture of (width, height) px."""
        points = torch.tensor(xy, dtype=torch.float32)
        sizes = torch.tensor([size], dtype=torch.float32).repeat(len(xy), 1)
        return self.lifter(points, sizes).numpy().astype(np.float64)


# ----------------------------------------------------------------------------------------- frames


def _enough(result: Result) -> Result:
    return replace(result, people=tuple(filter(seen_enough, result.people)))


AWAY_FRAMES = 3000
"""Somebody who was not seen in so many frames begins anew."""


class _Session:
    """One video on its way through the pipeline, `ahead` frames of it waiting."""

    def __init__(self, pipeline: Unified, *, ahead: int) -> None:
        self._pipeline, self._ahead = pipeline, ahead
        self._waiting: deque[tuple[Frame, list[tuple[int, np.ndarray]]]] = deque()
        self._gaps: dict[int, Gaps] = {}
        self._pair: tuple[int, ...] = ()
        self._windows: dict[tuple[int, ...], Window] = {}

    def push(self, frame: Frame, result: Result) -> Iterator[tuple[Frame, Result]]:
        scores = []
        for person in result.people:
            xy, score = to_h36m17(person.xy[None], person.score[None], person.layout)
            self._gaps.setdefault(person.track, Gaps()).see(frame.index, xy[0])
            scores.append((person.track, score[0]))
        self._forget(frame.index)
        self._waiting.append((frame, scores))
        if len(self._waiting) > self._ahead:
            yield self._answer()

    def _forget(self, now: int) -> None:
        """Nothing is kept of people who have been away for long."""
        away = {track for track, gaps in self._gaps.items() if now - gaps.last > AWAY_FRAMES}
        if away:
            self._gaps = {t: gaps for t, gaps in self._gaps.items() if t not in away}
            windows = self._windows.items()
            self._windows = {group: w for group, w in windows if away.isdisjoint(group)}

    def flush(self) -> Iterator[tuple[Frame, Result]]:
        while self._waiting:
            yield self._answer()

    def _answer(self) -> tuple[Frame, Result]:
        frame, scores = self._waiting.popleft()
        size = frame.rgb.shape[1], frame.rgb.shape[0]
        people: dict[int, Person] = {}
        if scores:
            xy = fill_missing(np.stack([self._gaps[track].at(frame.index) for track, _ in scores]))
            xyz = self._pipeline.lift(xy, size)
            for n, (track, score) in enumerate(scores):
                people[track] = Person(xy[n], xyz[n], score, box_around(xy[n]), H36M17, track)
        if self._pipeline.classifier is not None:
            people = self._act(people, size, frame.time_s, self._pipeline.classifier)
        everyone = tuple(people.values())
        return frame, Result(frame.index, frame.time_s, everyone, self._pipeline.labels)

    def _act(
        self,
        people: dict[int, Person],
        size: tuple[int, int],
        time_s: float,
        classifier: LoadedClassifier,
    ) -> dict[int, Person]:
        """The people with the action of the window that ends here."""
        if classifier.persons == 1:
            groups = [(track,) for track in people]
        else:
            groups = self._paired(people, classifier.persons)
        acting = dict(people)
        for group in groups:
            window = self._windows.setdefault(group, Window(classifier))
            action = window.push(bodies([people.get(t) for t in group], size, classifier), time_s)
            for track in set(group) & set(people):
                acting[track] = replace(people[track], action=action)
        return acting

    def _paired(self, people: dict[int, Person], persons: int) -> list[tuple[int, ...]]:
        """Who acts together: the surest when first so many are there, from left to right; the same
        until one of them is gone and others are there."""
        if len(people) >= persons and not (self._pair and set(self._pair) <= set(people)):
            surest = sorted(people.values(), key=lambda p: -p.score.mean())[:persons]
            left_first = sorted(surest, key=lambda p: p.xy[H36M17.root, 0])
            self._pair = tuple(p.track for p in left_first)
        return [self._pair] if self._pair else []


class Gaps:
    """The joints of one person, frame after frame, filled in by the rule of `fill_in_time`.

    It keeps of the past what the rule asks for: the last `GAP_FRAMES` frames, and where each joint
    was last seen before.
    """

    def __init__(self) -> None:
        self._frames: list[int] = []
        self._rows: list[np.ndarray] = []
        self._before = np.full((len(H36M17), 2), np.nan)

    @property
    def last(self) -> int:
        """The frame that was seen last."""
        return self._frames[-1]

    def see(self, frame: int, xy: Float[np.ndarray, "17 2"]) -> None:
        """The joints of a frame, later than all before, in px; NaN is unknown."""
        self._frames.append(frame)
        self._rows.append(xy)

    def at(self, frame: int) -> Float[np.ndarray, "17 2"]:
        """The joints of a frame that was seen, later than all asked for before; NaN for those
        without a sight, earlier or among the frames that have come."""
        long_ago = frame - GAP_FRAMES - 1
        while self._frames[0] <= long_ago:
            row = self._rows.pop(0)
            self._frames.pop(0)
            self._before = np.where(np.isfinite(row), row, self._before)
        frames = np.array([long_ago, *self._frames])
        return fill_in_time(np.stack([self._before, *self._rows]), frames)[
            self._frames.index(frame) + 1
        ]


# ---------------------------------------------------------------------------------------- actions


class Window:
    """The last frames of one sequence of skeletons, as many as the classifier is used to, and the
    class that they show."""

    def __init__(self, classifier: LoadedClassifier) -> None:
        self._classifier = classifier
        self._layout = layout_named(classifier.card.layout)
        self._sampler = Sampler(classifier.card.fps)
        self._ring: deque[np.ndarray] = deque(maxlen=classifier.card.frames)
        self._action: np.ndarray | None = None

    def push(self, poses: Float[np.ndarray, "p j 3"], time_s: float) -> np.ndarray | None:
        """Probabilities (A,) with the persons at `time_s`, in the classifier's layout, NaN unknown.

        None until `LEAST_SHARE` of a window is there and every joint was seen in it.
        """
        due = self._sampler.due(time_s, at_most=self._classifier.card.frames)
        self._ring.extend([poses] * due)
        if due and len(self._ring) >= LEAST_SHARE * self._classifier.card.frames:
            sequence = np.stack(self._ring)  # T P J 3
            if np.isfinite(sequence).all(-1).any(0).all():
                self._action = probabilities(self._classifier, sequence)
        return self._action


@torch.no_grad()
def probabilities(
    classifier: LoadedClassifier, poses: Float[np.ndarray, "t p j 3"]
) -> Float[np.ndarray, "a"]:
    """Of each class, for one sequence in the classifier's layout. ValueError as in `spmf`."""
    layout = layout_named(classifier.card.layout)
    picture = spmf(poses, layout, config=classifier.pictures).transpose(2, 0, 1)
    return classifier.model(as_input(torch.from_numpy(picture)[None])).softmax(-1)[0].numpy()


def bodies(
    people: list[Person | None], size: tuple[int, int], classifier: LoadedClassifier
) -> Float[np.ndarray, "p j 3"]:
    """Lifted people as the classifier reads them; NaN for one who is not there.

    Several stand in one space: each is put where the camera sees them (`in_camera`). A flat
    classifier gets 2D joints in px and z = 0.
    """
    out = np.full((len(people), len(H36M17), 3), np.nan)
    for n, person in enumerate(people):
        if person is None or person.xyz is None:
            continue
        if classifier.flat:
            out[n] = np.concatenate([person.xy, np.zeros((len(person.xy), 1))], 1)
        else:
            out[n] = person.xyz if len(people) == 1 else in_camera(person.xyz, person.xy, size)
    return in_layout(out, layout_named(classifier.card.layout))


def in_camera(
    xyz: Float[np.ndarray, "j 3"], xy: Float[np.ndarray, "j 2"], size: tuple[int, int]
) -> Float[np.ndarray, "j 3"]:
    """Camera points (mm) of a root-relative pose: moved to where it is seen at xy (px).

    The camera is assumed: its axis through the middle of the picture of (width, height) px, its
    focal length `FOCAL` of the longer side. Least squares over the joints, in which
    (X + a) / (Z + c) = u is linear.
    """
    u = (xy - np.array(size) / 2) / (FOCAL * max(size))  # J 2
    rows = np.zeros((len(xyz), 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = 1
    rows[:, :, 2] = -u
    known = u * xyz[:, 2:] - xyz[:, :2]
    move, *_ = np.linalg.lstsq(rows.reshape(-1, 3), known.ravel(), rcond=None)
    return xyz + move


# ---------------------------------------------------------------------------------------- layouts


def in_layout(poses: Float[np.ndarray, "*b 17 3"], layout: Layout) -> Float[np.ndarray, "*b j 3"]:
    """Poses in H36M17 in another layout, by name. Wrists stand in for hands and their parts, ankles
    for feet; what else is missing is derived as in `layouts.convert`."""
    ends = [H36M17.index(joint) for joint in _NEARBY.values()]
    wider = Layout("H36M17 with ends", (*H36M17.joints, *_NEARBY), (*H36M17.parents, *ends))
    return convert(np.concatenate([poses, poses[..., ends, :]], -2), wider, layout)


def check_layout(layout: Layout) -> None:
    """ValueError if it has joints that `in_layout` cannot give."""
    known = {*H36M17.joints, *_NEARBY, *DERIVED}
    if missing := [joint for joint in layout.joints if joint not in known]:
        raise ValueError(
            f"the classifier reads {', '.join(missing)} of {layout.name}, which a lifted pose "
            f"({H36M17.name}) has not; train one on joints that it has"
        )
