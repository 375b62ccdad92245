"""A video, live or recorded: everyone in it through its frames, smoothed, with what they do.

Every frame, the network sees one crop for each person, all in one batch. The detector sees whole
frames now and then, when somebody was lost, and so finds who comes in. Who is who follows from
boxes, poses and the colours of clothes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cv2
import numpy as np

from poseact.core.camera import DEPTH_RANGE_MM
from poseact.core.geometry import check_box, iou, overlaps, square
from poseact.core.types import Person, Result
from poseact.inference.box_file import BoxFile
from poseact.inference.detector import Detections, Detects
from poseact.inference.look import CropNetwork, Look, check_picture
from poseact.inference.sides import Sides
from poseact.inference.smoothing import OneEuro
from poseact.inference.tracking import (
    assign,
    clothing,
    colour_distance,
    likeness,
    pose_box,
    steady,
    without_flesh,
)
from poseact.inference.window import ActionWindow, Sampler
from poseact.media.pictures import Frame

EVERY_S = 0.25
"""From one pass of the detector to the next; sooner, by `SOON_S`, while somebody is lost."""
SOON_S = 0.08
NEW_SCORE = 0.2
"""Least score of a box in which somebody new is looked for; a lower one only finds the old."""
NEW_HIDDEN = 0.3
"""The same for somebody before or behind others, of whom a part might be taken for one more."""
LINGER_S = 0.5
"""So long somebody who is not seen is looked for where they should be."""
KEEP_S = 4.0
"""So long somebody who is not seen keeps the number, should they come back."""
SAME = 0.45
"""Poses that are more alike than this are of one person."""
BOX_IOU = 0.2
"""Least overlap of a detected box and that of somebody followed."""
POSE_IOU = 0.7
"""A pose's box that overlaps less with the detected one is not the person's."""
LIMIT = 1.1
"""Largest cost at which somebody seen is somebody followed: what their boxes do not share, and half
of what differs in poses and colours."""
POSE_WEIGHT, COLOUR_WEIGHT, WAY_WEIGHT = 0.5, 0.5, 0.5
"""Of poses and colours beside boxes; of the way from where somebody was lost, beside colours."""
CLOSE = 1.25
"""People are in each other's way while squares on their boxes, so much larger, overlap."""
STRAY = 3
"""So often in a row the detector may see nobody where somebody unsure is followed."""
COLOUR = 25.0
"""Distance of clothes' colours (`clothing`) at which somebody is no longer recognised."""
BLEND = 0.1
"""Weight of a new frame in the mean colours of somebody."""
MEET = 0.05
"""From this overlap of two people's boxes on, their colours are not learnt."""
TALL_MM = 1600.0
"""Longer side of the box around an upright adult's joints."""
CUT = 0.3
"""Mean difference of two small grey frames, of 1, at which another scene has begun."""


@dataclass(frozen=True)
class Following:
    """How people are followed.

    detector: finds them, or a file that has their boxes; None: one person, whose box, the given one
    or the whole frame, serves for every frame. people: at most so many, the largest; None is
    everyone. smooth: One Euro filter on the poses, and limbs keep their sides. labels: of the
    actions, empty for poses alone. action_set: which of the model's sets.
    """

    detector: Detects | BoxFile | None
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
    sides: Sides
    filters: tuple[OneEuro, ...] = field(default_factory=lambda: tuple(OneEuro() for _ in range(3)))
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


class Proposal(NamedTuple):
    """Where somebody may be. box: (4,) px to look into. detected: the joints' box (4,) px, None
    unless the detector says so, with `score`. owner: whose box it is likely to be."""

    box: np.ndarray
    detected: np.ndarray | None
    score: float = 1.0
    owner: Track | None = None


class Seen(NamedTuple):
    """Somebody in a frame. body: (4,) px, just around the joints; detected: by the detector, in
    this frame; alone: nobody else is before or behind them."""

    look: Look
    body: np.ndarray
    colours: np.ndarray
    owner: Track | None
    score: float
    detected: bool
    alone: bool = True

    @property
    def certainty(self) -> float:
        return float(self.look.score.mean())


class Session:
    """The people of one video, whose frames come from anywhere; made by `Predictor.session`.

    box: (4,) px, where the one person to follow is at the start.

    >>> session = poseact.Predictor().session()                     # doctest: +SKIP
    >>> result = session.push(rgb, time_s=0.04)                     # doctest: +SKIP
    """

    def __init__(
        self, network: CropNetwork, following: Following, *, box: np.ndarray | None = None
    ) -> None:
        self._network, self._following = network, following
        self._start = None if box is None else check_box(box)
        self._chosen = box is not None
        self._at_most = 1 if self._chosen else following.people
        self._tracks: list[Track] = []
        self._numbers = self._frames = 0
        self._detected_s: float | None = None
        self._before_s = -np.inf  # time of the frame before
        self._last: np.ndarray | None = None  # the last frame, small and grey

    def push(self, rgb: np.ndarray, time_s: float, *, index: int | None = None) -> Result:
        """Everyone in the next frame who is believed, in the order of their tracks.

        rgb: (H, W, 3) uint8. time_s: when it was taken, on any clock; frames come in its order.
        index: `Result.index`, by default one more than before. Without a detector it is the one
        person in the box, believed or not. ValueError for a picture that is none, a time that is
        no number, or a first box outside the picture.
        """
        frame = Frame(self._frames if index is None else index, float(time_s), rgb)
        check_picture(rgb)
        if not np.isfinite(frame.time_s):
            raise ValueError(f"frame {frame.index} has the time {frame.time_s}")
        if self._start is not None:
            check_box(self._start, picture=(rgb.shape[1], rgb.shape[0]))
        self._frames = frame.index + 1
        if self._following.detector is None:
            seen = [self._fixed(frame)]
        else:
            seen = self._followed(frame, self._following.detector)
        people = tuple(self._finished(track, frame.time_s) for track in seen)
        return Result(frame.index, frame.time_s, people, self._following.labels)

    # ------------------------------------------------------------------------- one fixed box

    def _fixed(self, frame: Frame) -> Track:
        box = self._network.whole_box(frame.rgb) if self._start is None else self._start
        (look,) = self._network.look(frame.rgb, box[None])
        somebody = self._seen(Proposal(look.box, None), look, frame)
        if not self._tracks:
            self._tracks = [self._new(somebody, frame)]
        (track,) = self._tracks
        self._update(track, somebody, frame)
        return track

    # ------------------------------------------------------------------------- everyone

    def _followed(self, frame: Frame, detector: Detects | BoxFile) -> list[Track]:
        """The tracks that are seen in a frame."""
        if self._cut(frame.rgb):
            self._tracks, self._detected_s = [], None
        now = frame.time_s
        self._tracks = [t for t in self._tracks if 0 <= now - t.seen_s <= KEEP_S]
        watched = [t for t in self._tracks if now - t.seen_s <= LINGER_S]
        if self._start is not None:
            proposals = [*self._own(watched, now), Proposal(self._start, self._start)]
            self._start = None
        elif isinstance(detector, BoxFile):
            found = detector.at(frame.index) if frame.index in detector else None
            proposals = self._detected(found, watched, now) if found else self._own(watched, now)
        elif self._due(watched, now):
            self._detected_s = now
            proposals = self._detected(detector(frame.rgb), watched, now)
        else:
            proposals = self._own(watched, now)
        self._before_s = now
        if not proposals:
            return []
        looks = self._network.look(frame.rgb, np.stack([p.box for p in proposals]))
        people = self._one_each(
            [self._seen(p, s, frame) for p, s in zip(proposals, looks)], watched
        )
        pairs = dict(assign(self._costs(people, watched, now), limit=LIMIT))
        seen: list[Track] = []
        for n, k in pairs.items():
            self._update(watched[k], people[n], frame)
            seen.append(watched[k])
        others = [p for n, p in enumerate(people) if n not in pairs and p.detected]
        free = self._room(others, now)
        seen += self._recognised(free, [t for t in self._tracks if t not in seen], frame)
        return sorted(seen, key=lambda track: track.number)

    def _cut(self, rgb: np.ndarray) -> bool:
        """Whether another scene begins with this frame."""
        small = cv2.resize(rgb[::4, ::4], (32, 18), interpolation=cv2.INTER_AREA)
        grey = small.mean(-1) / 255
        before, self._last = self._last, grey
        return before is not None and float(np.abs(grey - before).mean()) > CUT

    def _due(self, watched: Sequence[Track], now: float) -> bool:
        """Whether the detector sees this frame: now and then, and while somebody is lost or in
        somebody's way."""
        if self._detected_s is None or not 0 <= now - self._detected_s < EVERY_S:
            return True
        crops = np.array([square(t.person.box, margin=CLOSE) for t in watched]).reshape(-1, 4)
        if (np.triu(overlaps(crops, crops), 1) > 0).any():
            return True
        lost = not all(map(self._held, watched))
        return lost and now - self._detected_s >= SOON_S

    def _held(self, track: Track) -> bool:
        """Whether somebody was seen in the frame before, and well."""
        card = self._network.card
        return track.seen_s >= self._before_s and track.score >= (card.believed + card.sure) / 2

    def _own(self, watched: Sequence[Track], now: float) -> list[Proposal]:
        """Where those who are followed should be."""
        return [
            Proposal(t.box if self._held(t) else t.expected(t.box, now), None, owner=t)
            for t in watched
        ]

    def _detected(self, found: Detections, watched: Sequence[Track], now: float) -> list[Proposal]:
        """Detected boxes, and those of people whom the detector does not see."""
        boxes = without_flesh(found.boxes)
        own = self._own(watched, now)
        bodies = np.array([t.expected(t.person.box, now) for t in watched]).reshape(-1, 4)
        pairs = dict(assign(1 - overlaps(bodies, boxes), limit=1 - BOX_IOU))
        proposals = []
        for k, track in enumerate(watched):
            track.stray = 0 if k in pairs else track.stray + 1
            if k not in pairs:
                proposals.append(own[k])
        owners = {n: watched[k] for k, n in pairs.items()}
        for n, box in enumerate(boxes):
            crop = steady(owners[n].box, box) if n in owners else box
            proposals.append(Proposal(crop, box, score=float(found.scores[n]), owner=owners.get(n)))
        return proposals

    def _seen(self, proposal: Proposal, look: Look, frame: Frame) -> Seen:
        """What a look into a proposed box shows."""
        body = pose_box(look.xy, look.score, _size(frame))
        detected = proposal.detected is not None
        if proposal.detected is not None and iou(body, proposal.detected) < POSE_IOU:
            body = proposal.detected
        colours = clothing(frame.rgb, look.xy, self._network.layout)
        return Seen(look, body, colours, proposal.owner, proposal.score, detected)

    def _costs(self, people: Sequence[Seen], watched: Sequence[Track], now: float) -> np.ndarray:
        """(n, k): how little somebody seen is like somebody followed; inf where that is too far."""
        cost = np.full((len(people), len(watched)), np.inf)
        bodies = np.array([t.expected(t.person.box, now) for t in watched]).reshape(-1, 4)
        overlap = overlaps(np.array([p.body for p in people]).reshape(-1, 4), bodies)
        for n, somebody in enumerate(people):
            for k, track in enumerate(watched):
                if overlap[n, k] < BOX_IOU and somebody.owner is not track:
                    continue
                if not somebody.detected and somebody.owner is not track:
                    continue  # a box without a detection is for its owner alone
                colour = np.nan_to_num(colour_distance(somebody.colours, track.colours)) / COLOUR
                alike = likeness(somebody.look.xy, track.person.xy, _side(track.person.box))
                cost[n, k] = 1 - overlap[n, k] + POSE_WEIGHT * (1 - alike) + COLOUR_WEIGHT * colour
        return cost

    def _one_each(self, people: Sequence[Seen], watched: Sequence[Track]) -> list[Seen]:
        """Those to believe, one of each person: who is detected comes before who is not."""
        card = self._network.card

        def rank(somebody: Seen) -> float:
            return somebody.detected + somebody.certainty

        kept: list[Seen] = []
        for somebody in sorted(people, key=rank, reverse=True):
            asked = self._chosen and not self._tracks  # whoever gave this box knows better
            ghost = not somebody.detected and somebody.owner and somebody.owner.stray >= STRAY
            least = card.sure if ghost else card.believed
            if somebody.certainty < least and not asked:
                continue
            side = _side(somebody.body)
            if all(likeness(somebody.look.xy, k.look.xy, side) < SAME for k in kept):
                kept.append(somebody)
        bodies = np.array([k.body for k in kept]).reshape(-1, 4)
        crowd = (overlaps(bodies, bodies) > MEET).sum(1) > 1
        return [k._replace(alone=not crowded) for k, crowded in zip(kept, crowd)]

    def _room(self, people: Sequence[Seen], now: float) -> list[Seen]:
        """Those who may be somebody new, or back: the largest, if not everyone is followed."""
        if self._at_most is None:
            return list(people)
        room = self._at_most - sum(now - t.seen_s <= KEEP_S / 2 for t in self._tracks)
        if room <= 0 and any(now - t.seen_s > LINGER_S for t in self._tracks):
            return list(people)  # one of them may be who was lost
        largest = sorted(people, key=lambda p: -float(np.prod(p.body[2:] - p.body[:2])))
        return largest[: max(room, 0)]

    def _recognised(
        self, people: Sequence[Seen], lost: Sequence[Track], frame: Frame
    ) -> list[Track]:
        """Tracks for people in new boxes: of those who were lost, or new ones."""
        cost = np.full((len(people), len(lost)), np.inf)
        for n, somebody in enumerate(people):
            for k, track in enumerate(lost):
                gone = frame.time_s - track.seen_s
                colour = colour_distance(somebody.colours, track.colours) / COLOUR
                way = _centre(somebody.body) - _centre(
                    track.expected(track.person.box, frame.time_s)
                )
                reach = _side(track.person.box) * (0.5 + 1.5 * gone)
                cost[n, k] = colour + WAY_WEIGHT * min(float(np.linalg.norm(way)) / reach, 2.0)
        pairs = dict(assign(cost, limit=1.0))
        found = []
        for n, somebody in enumerate(people):
            full = self._at_most is not None and len(self._tracks) >= self._at_most
            if n in pairs:
                track = lost[pairs[n]]
            elif full or somebody.score < (NEW_SCORE if somebody.alone else NEW_HIDDEN):
                continue
            else:
                track = self._new(somebody, frame)
                self._tracks.append(track)
            self._update(track, somebody, frame)
            found.append(track)
        return found

    # ------------------------------------------------------------------------- one track

    def _new(self, somebody: Seen, frame: Frame) -> Track:
        model, card = self._network.model, self._network.card
        person = self._network.person(somebody.look, frame.rgb, track=self._numbers)
        self._numbers += 1
        return Track(
            number=person.track,
            person=replace(person, box=somebody.body),
            seen_s=frame.time_s,
            box=somebody.look.box,
            colours=somebody.colours,
            window=ActionWindow(model, card.frames, action_set=self._following.action_set),
            sampler=Sampler(card.fps),
            sides=Sides(self._network.layout),
        )

    def _update(self, track: Track, somebody: Seen, frame: Frame) -> None:
        """What was seen of somebody: where to look next, how they move, what they do."""
        look, body = somebody.look, somebody.body
        if self._following.smooth:
            look = _on_its_sides(look, track.sides, frame.time_s, size=_side(body))
        person = self._network.person(look, frame.rgb, track=track.number)
        step_s = frame.time_s - track.seen_s
        if step_s > KEEP_S / 2 or step_s < 0:
            track.window.clear()
        if step_s > 0:
            speed = (_centre(body) - _centre(track.person.box)) / step_s
            track.velocity = track.velocity + min(step_s / 0.2, 1.0) * (speed - track.velocity)
        if somebody.alone:
            track.colours = _blended(track.colours, somebody.colours, BLEND)
        track.seen_s = frame.time_s
        if self._following.detector is not None:
            track.box = steady(look.box, body)
        track.person = replace(person, box=body)
        if self._following.labels:
            for _ in range(track.sampler.due(frame.time_s, at_most=self._network.card.frames)):
                track.action = track.window.push(look.features)

    def _finished(self, track: Track, time_s: float) -> Person:
        """The person of a track as a result has it."""
        person = replace(track.person, action=track.action)
        if not self._following.smooth:
            return person
        side = _side(person.box)
        plane, space, place = track.filters
        xy = plane(person.xy, time_s, scale=side)
        xyz = None if person.xyz is None else space(person.xyz, time_s, scale=DEPTH_RANGE_MM)
        root = None
        if person.root is not None:
            root = place(person.root[None], time_s, scale=DEPTH_RANGE_MM)[0]
        return replace(person, xy=xy, xyz=xyz, root=root)


def _size(frame: Frame) -> tuple[int, int]:
    return frame.rgb.shape[1], frame.rgb.shape[0]


def _on_its_sides(look: Look, sides: Sides, time_s: float, *, size: float) -> Look:
    """The look with left and right as they were before."""
    points = look.xy
    if look.uvd.shape[-1] == 3:  # depth on the scale of the picture
        depth = (look.uvd[:, 2:] - 0.5) * DEPTH_RANGE_MM * size / TALL_MM
        points = np.concatenate([points, depth], 1)
    order = sides.order(points, time_s, size=size)
    return replace(look, uvd=look.uvd[order], xy=look.xy[order], score=look.score[order])


def _side(box: np.ndarray) -> float:
    return float((box[2:] - box[:2]).max())


def _centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def _blended(old: np.ndarray, new: np.ndarray, weight: float) -> np.ndarray:
    """The mean of colours, moved on; what is unknown on one side is the other's."""
    mixed = old + weight * (new - old)
    return np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(old), old, new))
