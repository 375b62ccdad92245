"""A video, live or recorded: everyone in it through its frames, smoothed, with what they do.

Every frame, the network sees one crop for each person, all in one batch. The detector sees whole
frames now and then, when somebody was lost, and so finds who comes in. Who is who follows from
boxes, poses and the colours of clothes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from poseact.core.camera import DEPTH_RANGE_MM
from poseact.core.geometry import check_box, overlaps, square
from poseact.core.types import Person, Result
from poseact.inference.detector import Detections, Detects
from poseact.inference.look import CropNetwork, Look, check_picture
from poseact.inference.smoothing import OneEuro
from poseact.inference.tracking import (
    assign,
    clothing,
    colour_distance,
    likeness,
    next_box,
    pose_box,
)
from poseact.inference.window import ActionWindow, Sampler
from poseact.media.pictures import Frame

EVERY_S = 0.25
"""From one pass of the detector to the next; sooner, by `SOON_S`, while somebody is lost."""
SOON_S = 0.08
NEW_SCORE = 0.2
"""Least score of a box in which somebody new is looked for; a lower one only finds the old."""
LINGER_S = 0.5
"""So long somebody who is not seen is looked for where they should be."""
KEEP_S = 4.0
"""So long somebody who is not seen keeps the number, should they come back."""
SAME = 0.45
"""Poses that are more alike than this are of one person."""
BOX_IOU = 0.3
"""Least overlap of a detected box and that of somebody followed."""
STRAY = 3
"""So often in a row the detector may see nobody where somebody unsure is followed."""
COLOUR = 25.0
"""Distance of clothes' colours (`clothing`) at which somebody is no longer recognised."""
BLEND = 0.1
"""Weight of a new frame in the mean colours of somebody."""
CUT = 0.3
"""Mean difference of two small grey frames, of 1, at which another scene has begun."""


@dataclass(frozen=True)
class Following:
    """How people are followed.

    detector: finds them; None: one person, whose box, the given one or the whole frame, serves for
    every frame. people: at most so many, the largest; None is everyone. smooth: One Euro filter on
    the poses. labels: of the actions, empty for poses alone. action_set: which of the model's sets.
    """

    detector: Detects | None
    people: int | None = None
    smooth: bool = True
    labels: tuple[str, ...] = ()
    action_set: int = 0


@dataclass(eq=False)
class Track:
    """Somebody who is followed. seen_s: when last; velocity: (2,) px a second of the box."""

    number: int
    person: Person
    seen_s: float
    box: np.ndarray
    colours: np.ndarray
    window: ActionWindow
    sampler: Sampler
    filters: tuple[OneEuro, OneEuro] = field(default_factory=lambda: (OneEuro(), OneEuro()))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    stray: int = 0
    action: np.ndarray | None = None

    @property
    def score(self) -> float:
        return float(self.person.score.mean())

    def expected(self, box: np.ndarray, time_s: float) -> np.ndarray:
        """A box (4,) px of the time when this person was last seen, moved on to `time_s`."""
        ahead = min(max(time_s - self.seen_s, 0.0), LINGER_S)
        return box + np.tile(self.velocity * ahead, 2)


class Session:
    """The people of one video, given frame by frame with `push`.

    box: (4,) px, where the one person to follow is at the start.
    """

    def __init__(
        self, network: CropNetwork, following: Following, *, box: np.ndarray | None = None
    ) -> None:
        self._network, self._following = network, following
        self._start = None if box is None else check_box(box)
        self._chosen = box is not None
        self._at_most = 1 if self._chosen else following.people
        self._tracks: list[Track] = []
        self._numbers = 0
        self._detected_s: float | None = None
        self._before_s = -np.inf  # time of the frame before
        self._last: np.ndarray | None = None  # the last frame, small and grey

    def push(self, frame: Frame) -> Result:
        """Everyone in the next frame who is believed, in the order of their tracks.

        Without a detector it is the one person in the box, believed or not. ValueError for a
        picture that is none, or a time that is no number.
        """
        check_picture(frame.rgb)
        if not np.isfinite(frame.time_s):
            raise ValueError(f"frame {frame.index} has the time {frame.time_s}")
        if self._following.detector is None:
            seen = [self._fixed(frame)]
        else:
            seen = self._followed(frame, self._following.detector)
        people = tuple(self._finished(track, frame.time_s) for track in seen)
        return Result(frame.index, frame.time_s, people, self._following.labels)

    # ------------------------------------------------------------------------- one fixed box

    def _fixed(self, frame: Frame) -> Track:
        if self._start is None:
            look = self._network.whole(frame.rgb)
        else:
            (look,) = self._network.look(frame.rgb, self._start[None])
        if not self._tracks:
            self._tracks = [self._new(look, frame)]
        (track,) = self._tracks
        self._update(track, look, frame)
        return track

    # ------------------------------------------------------------------------- everyone

    def _followed(self, frame: Frame, detector: Detects) -> list[Track]:
        """The tracks that are seen in a frame."""
        if self._cut(frame.rgb):
            self._tracks, self._detected_s = [], None
        now = frame.time_s
        self._tracks = [t for t in self._tracks if 0 <= now - t.seen_s <= KEEP_S]
        watched = [t for t in self._tracks if now - t.seen_s <= LINGER_S]
        boxes = [t.box if self._held(t) else t.expected(t.box, now) for t in watched]
        fresh: list[np.ndarray] = []
        if self._start is not None:
            fresh, self._start = [self._start], None
        elif self._due(watched, now):
            self._detected_s = now
            fresh = self._matched(detector(frame.rgb), watched, boxes, now)
        self._before_s = now
        if not boxes and not fresh:
            return []
        looks = self._network.look(frame.rgb, np.stack([*boxes, *fresh]))
        believed = [look.score.mean() >= self._network.card.believed for look in looks]
        if fresh and self._chosen and not self._tracks:
            believed[0] = True  # whoever asked for this box knows better
        kept = self._one_each(looks, believed, watched)
        seen: list[Track] = []
        for n in kept:
            if n < len(watched):
                self._update(watched[n], looks[n], frame)
                seen.append(watched[n])
        newcomers = [looks[n] for n in kept if n >= len(watched)]
        seen += self._recognised(newcomers, [t for t in self._tracks if t not in seen], frame)
        return sorted(seen, key=lambda track: track.number)

    def _cut(self, rgb: np.ndarray) -> bool:
        """Whether another scene begins with this frame."""
        small = cv2.resize(rgb[::4, ::4], (32, 18), interpolation=cv2.INTER_AREA)
        grey = small.mean(-1) / 255
        before, self._last = self._last, grey
        return before is not None and float(np.abs(grey - before).mean()) > CUT

    def _due(self, watched: Sequence[Track], now: float) -> bool:
        """Whether the detector sees this frame."""
        if self._detected_s is None or not 0 <= now - self._detected_s < EVERY_S:
            return True
        lost = not all(map(self._held, watched))
        return lost and now - self._detected_s >= SOON_S

    def _held(self, track: Track) -> bool:
        """Whether somebody was seen in the frame before, and well."""
        card = self._network.card
        return track.seen_s >= self._before_s and track.score >= (card.believed + card.sure) / 2

    def _matched(
        self, found: Detections, watched: Sequence[Track], boxes: list[np.ndarray], now: float
    ) -> list[np.ndarray]:
        """Boxes of people who are new. Corrects `boxes` of those who are followed but unsure."""
        bodies = [t.expected(t.person.box, now) for t in watched]
        overlap = overlaps(found.boxes, np.array(bodies).reshape(-1, 4))
        pairs = assign(1 - overlap, limit=1 - BOX_IOU)
        for n, k in pairs:
            track = watched[k]
            track.stray = 0
            apart = overlaps(square(found.boxes[n])[None], square(boxes[k])[None])[0, 0] < 0.7
            if apart and not self._held(track):
                boxes[k] = found.boxes[n]
        for k in set(range(len(watched))) - {k for _, k in pairs}:
            watched[k].stray += 1
        matched = {n for n, _ in pairs}
        free = [n for n in range(len(found.boxes)) if n not in matched]
        new = [found.boxes[n] for n in free if found.scores[n] >= NEW_SCORE]
        if self._at_most is None:
            return new
        area = [float(np.prod(box[2:] - box[:2])) for box in new]
        room = self._at_most - sum(now - t.seen_s <= KEEP_S / 2 for t in self._tracks)
        if room <= 0 and any(now - t.seen_s > LINGER_S for t in self._tracks):
            return new  # one of them may be who was lost
        return [new[n] for n in np.argsort(area)[::-1][: max(room, 0)]]

    def _one_each(
        self, looks: Sequence[Look], believed: Sequence[bool], watched: Sequence[Track]
    ) -> list[int]:
        """Indices of the looks to believe: one of each person.

        Of two that show the same person it is the one whose track fits better; somebody followed
        comes before somebody new.
        """
        sure = self._network.card.sure

        def fit(n: int) -> float:
            if n >= len(watched):
                return -1.0 + float(looks[n].score.mean())
            track = watched[n]
            moved = likeness(looks[n].xy, track.person.xy, _side(track.person.box))
            return moved + float(looks[n].score.mean())

        kept: list[int] = []
        for n in sorted(range(len(looks)), key=lambda n: -fit(n)):
            ghost = n < len(watched) and watched[n].stray >= STRAY
            if not believed[n] or (ghost and looks[n].score.mean() < sure):
                continue
            side = _side(looks[n].box)
            if all(likeness(looks[n].xy, looks[k].xy, side) < SAME for k in kept):
                kept.append(n)
        return sorted(kept)

    def _recognised(
        self, looks: Sequence[Look], lost: Sequence[Track], frame: Frame
    ) -> list[Track]:
        """Tracks for people in new boxes: of those who were lost, or new ones."""
        cost = np.full((len(looks), len(lost)), np.inf)
        for n, look in enumerate(looks):
            colours = clothing(frame.rgb, look.xy, self._network.layout)
            box = pose_box(look.xy, look.score, _size(frame))
            for k, track in enumerate(lost):
                gone = frame.time_s - track.seen_s
                colour = colour_distance(colours, track.colours) / COLOUR
                way = _centre(box) - _centre(track.expected(track.person.box, frame.time_s))
                reach = _side(track.person.box) * (0.5 + 1.5 * gone)
                cost[n, k] = colour + 0.5 * min(float(np.linalg.norm(way)) / reach, 2.0)
        pairs = dict(assign(cost, limit=1.0))
        found = []
        for n, look in enumerate(looks):
            if n in pairs:
                track = lost[pairs[n]]
            elif self._at_most is not None and len(self._tracks) >= self._at_most:
                continue
            else:
                track = self._new(look, frame)
                self._tracks.append(track)
            self._update(track, look, frame)
            found.append(track)
        return found

    # ------------------------------------------------------------------------- one track

    def _new(self, look: Look, frame: Frame) -> Track:
        model, card = self._network.model, self._network.card
        person = self._network.person(look, frame.rgb, track=self._numbers)
        self._numbers += 1
        return Track(
            number=person.track,
            person=person,
            seen_s=frame.time_s,
            box=look.box,
            colours=clothing(frame.rgb, look.xy, self._network.layout),
            window=ActionWindow(model, card.frames, action_set=self._following.action_set),
            sampler=Sampler(card.fps),
        )

    def _update(self, track: Track, look: Look, frame: Frame) -> None:
        """What was seen of somebody: where to look next, how they move, what they do."""
        person = self._network.person(look, frame.rgb, track=track.number)
        step_s = frame.time_s - track.seen_s
        if step_s > KEEP_S / 2 or step_s < 0:
            track.window.clear()
        body = pose_box(look.xy, look.score, _size(frame))
        if step_s > 0:
            speed = (_centre(body) - _centre(track.person.box)) / step_s
            track.velocity = track.velocity + min(step_s / 0.2, 1.0) * (speed - track.velocity)
        track.colours = _blended(
            track.colours, clothing(frame.rgb, look.xy, self._network.layout), BLEND
        )
        track.seen_s = frame.time_s
        if self._following.detector is not None:
            track.box = next_box(person, _size(frame))
        track.person = replace(person, box=body)
        if self._following.labels:
            for _ in range(track.sampler.due(frame.time_s, at_most=self._network.card.frames)):
                track.action = track.window.push(look.clues)

    def _finished(self, track: Track, time_s: float) -> Person:
        """The person of a track as a result has it."""
        person = replace(track.person, action=track.action)
        if not self._following.smooth:
            return person
        side = _side(person.box)
        plane, space = track.filters
        xy = plane(person.xy, time_s, scale=side)
        xyz = None if person.xyz is None else space(person.xyz, time_s, scale=DEPTH_RANGE_MM)
        return replace(person, xy=xy, xyz=xyz)


def _size(frame: Frame) -> tuple[int, int]:
    return frame.rgb.shape[1], frame.rgb.shape[0]


def _side(box: np.ndarray) -> float:
    return float((box[2:] - box[:2]).max())


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _blended(old: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    """The mean of colours, moved on; what is unknown on one side is the other's."""
    mixed = old + weight * (new - old)
    return np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(old), old, new))
