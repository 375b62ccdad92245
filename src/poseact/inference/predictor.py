"""From pixels to people: a picture or a video in, one `Result` per frame out.

Crop -> network -> uv to px, depth to mm. Where the person is comes from the network itself, the
papers' single-person way with more windows (`finder`); in a video the box then follows the last
pose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poseact.core.camera import DEPTH_RANGE_MM, FOCAL
from poseact.core.geometry import check_box, crop_matrix, square, transform, union, warp
from poseact.core.layouts import Layout, layout_named
from poseact.core.types import Person, Result
from poseact.inference.finder import find
from poseact.inference.tracking import (
    LOST_FRAMES,
    OneEuro,
    identify,
    lost,
    next_box,
    pose_box,
)
from poseact.inference.window import ActionWindow, Sampler
from poseact.media.inputs import list_inputs
from poseact.media.live import is_stream, newest
from poseact.media.pictures import Frame, read_image
from poseact.media.video import VideoReader
from poseact.models.weights import Card, load

WIDER = 2.0
"""So many times as large is the box that a follower tries when a pose is not sure."""
OUTGROWN = 1.15
"""The wide look is believed if it is surer and its pose so many times larger."""
SMALLEST_PX = 16
"""Pictures with a shorter side hold no person a network could see."""

# Limb lengths as shares of the stature: Drillis and Contini 1966, after Winter, "Biomechanics and
# Motor Control of Human Movement", figure 4.1. Shoulder to hip is 0.818 - 0.530.
LIMBS = {
    ("shoulder", "elbow"): 0.186,
    ("elbow", "wrist"): 0.146,
    ("hip", "knee"): 0.245,
    ("knee", "ankle"): 0.246,
    ("shoulder", "hip"): 0.288,
}


def lift_to_mm(
    uvd: np.ndarray,
    to_image: np.ndarray,
    layout: Layout,
    *,
    focal_px: float,
    centre: tuple[float, float],
    stature_mm: float = 1700.0,
) -> np.ndarray:
    """Root-relative camera points (J, 3) mm from crop points and depths (J, 3).

    Depth is what the network says: z = (d - 0.5) * 2000 mm from the root. One picture cannot tell
    how far away somebody is, so x and y get their scale from an ASSUMED person: the root is put at
    the distance at which the squared limb lengths add up to those of a standard adult of
    `stature_mm`. Directions and ratios are measured, the size in x and y is not: for a child, or
    with a wrong `focal_px`, it is off by that factor.

    to_image: (3, 3) crop uv -> px. focal_px, centre: of the assumed pinhole camera, px. Unknown
    (NaN) joints stay NaN; without a known limb or root all are.
    """
    ray = (transform(to_image, uvd[:, :2]) - np.asarray(centre)) / focal_px
    ray = np.concatenate([ray, np.ones_like(ray[:, :1])], 1)  # J 3, z = 1
    depth = (uvd[:, 2:] - 0.5) * DEPTH_RANGE_MM  # J 1, mm from the root
    start, end, share = _limbs(layout)
    # A limb is ray_a (Z + depth_a) - ray_b (Z + depth_b) = Z * across + along: the sum of squared
    # lengths is a quadratic in Z, the root's distance.
    across = ray[start] - ray[end]
    along = (ray * depth)[start] - (ray * depth)[end]
    known = ~np.isnan(across + along).any(1)
    across, along = across[known], along[known]
    if not known.any():
        return np.full(uvd.shape, np.nan)
    a = max(float((across**2).sum()), 1e-12)
    b = float((across * along).sum())
    c = float((along**2).sum()) - float(((share[known] * stature_mm) ** 2).sum())
    root_mm = (-b + np.sqrt(max(b * b - a * c, 0.0))) / a
    nearest = max(500.0, 300.0 - float(np.nanmin(depth)))  # every joint in front of the camera
    xyz = ray * (np.clip(root_mm, nearest, 1e5) + depth)
    return xyz - xyz[layout.root]


def _limbs(layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joint indices of both ends (N,), (N,) of a layout's limbs and their shares of the stature."""
    rows = [
        (layout.index(f"{side}_{a}"), layout.index(f"{side}_{b}"), share)
        for (a, b), share in LIMBS.items()
        for side in "lr"
        if f"{side}_{a}" in layout.joints and f"{side}_{b}" in layout.joints
    ]
    start, end, share = (np.array(column) for column in zip(*rows))
    return start, end, share


@dataclass(frozen=True)
class Look:
    """What the network said of one crop.

    uvd: (J, D) u v [d] in the crop. xy: (J, 2) px. score: (J,). box: (4,) px that was looked into.
    to_image: (3, 3) uv -> px. clues: for the action head, (views, ...) each.
    """

    uvd: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    box: np.ndarray
    to_image: np.ndarray
    clues: tuple[Tensor, ...]


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
        self.device = _device(device)
        loaded = load(weights, device=str(self.device))
        self.card = loaded.card
        self.layout = layout_named(self.card.layout)
        model = loaded.model
        if exit is not None:
            if tuple(exit) not in model.exits:
                raise ValueError(f"no exit {tuple(exit)} in {weights}; it has {list(model.exits)}")
            model = model.cut(*exit)
        model = model.eval().to(self.device)
        self.model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.labels: tuple[str, ...] = ()
        if self.model.config.actions and action_set is not None:
            self.labels = _labels(self.card, action_set)
        self.action_set = action_set or 0
        self.flip, self.smooth, self.finds = flip, smooth, search
        self.focal_px = focal_px

    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result:
        """The person in a picture (H, W, 3) uint8 RGB; in `box` (4,) px if given. No action."""
        look = self.start(rgb, box)
        return Result(0, 0.0, (self.person(look, rgb, track=0),))

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
        if box is None and self.finds and not live:
            clip = _clip(frames, (self.card.frames - 1) / self.card.fps)
            box = self._clip_box(clip)
            frames = chain(clip, frames)
        follower = Follower(self, box=box)
        for frame in frames:
            yield frame, follower.push(frame)

    def look(self, rgb: np.ndarray, boxes: np.ndarray) -> list[Look]:
        """Run the network on boxes (N, 4) px of one frame, in one batch.

        A crop is the square on its box, larger by the margin the network was trained with.
        """
        _check_picture(rgb)
        matrices = [crop_matrix(box, scale=self.card.margin) for box in boxes]
        crops = np.stack([warp(rgb, matrix, self.card.size) for matrix in matrices])
        frames = torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float()
        frames = frames / 127.5 - 1.0  # N 3 H W
        if self.flip:
            frames = torch.cat([frames, frames.flip(-1)])
        with torch.inference_mode():
            out = self.model.frames(frames.contiguous(memory_format=torch.channels_last))
        count = len(boxes)
        uvd = self._mean_of_views(out.poses[-1], count, mirror=True)
        score = self._mean_of_views(out.scores[-1][..., None], count, mirror=False)[..., 0]
        to_image = np.linalg.inv(matrices)
        xy = transform(to_image, uvd[..., :2])
        return [
            Look(uvd[n], xy[n], score[n], boxes[n], to_image[n], _every(out.clues, n, count))
            for n in range(count)
        ]

    def search(self, rgb: np.ndarray) -> Look:
        """Look for the person in the whole frame."""
        size = rgb.shape[1], rgb.shape[0]
        return find(lambda boxes: self.look(rgb, boxes), size, margin=self.card.margin)

    def person(self, look: Look, rgb: np.ndarray, *, track: int) -> Person:
        """The person in a look at the frame `rgb`; xyz is None for a network without depth."""
        xyz = None
        if look.uvd.shape[-1] == 3:
            height, width = rgb.shape[:2]
            xyz = lift_to_mm(
                look.uvd,
                look.to_image,
                self.layout,
                focal_px=self.focal_px or FOCAL * max(height, width),
                centre=(width / 2, height / 2),
            )
        return Person(look.xy, xyz, look.score, look.box, self.layout, track)

    def start(self, rgb: np.ndarray, box: np.ndarray | None) -> Look:
        """The first look at somebody: in the box (4,) px given, else where a search finds them."""
        _check_picture(rgb)
        if box is None and self.finds:
            return self.search(rgb)
        if box is None:
            frame = np.array([0.0, 0.0, rgb.shape[1], rgb.shape[0]])
            box = square(frame, margin=1 / self.card.margin)
        (look,) = self.look(rgb, check_box(box)[None])
        return look

    def _clip_box(self, clip: list[Frame]) -> np.ndarray | None:
        """The box around the poses of a clip's first, middle and last frame; None if empty."""
        picks = sorted({0, len(clip) // 2, len(clip) - 1}) if clip else []
        boxes = []
        for frame in (clip[i] for i in picks):
            look = self.start(frame.rgb, None)
            boxes.append(pose_box(look.xy, look.score, (frame.rgb.shape[1], frame.rgb.shape[0])))
        return union(np.stack(boxes)) if boxes else None

    def _mean_of_views(self, values: Tensor, count: int, *, mirror: bool) -> np.ndarray:
        """(N, J, D) from (views * N, J, D): the mirror image's joints exchange sides (and u)."""
        values = values.float().cpu()
        if self.flip:
            other = values[count:, list(self.layout.flip)]
            if mirror:
                other = torch.cat([1.0 - other[..., :1], other[..., 1:]], -1)
            values = (values[:count] + other) / 2
        return values.numpy().astype(np.float64)


class Follower:
    """One person through the frames of one video: box, identity, smoothing and action window."""

    def __init__(self, predictor: Predictor, *, box: np.ndarray | None = None) -> None:
        self._predictor = predictor
        self._box = None if box is None else check_box(box)
        self._scores: deque[float] = deque(maxlen=LOST_FRAMES)
        self._people: tuple[Person, ...] = ()
        self._count = 0
        self._start()

    def push(self, frame: Frame) -> Result:
        """The result of the next frame."""
        predictor, rgb = self._predictor, frame.rgb
        _check_picture(rgb)
        look, searched = self._look(rgb)
        score = float(look.score.mean())
        self._scores.append(score)
        believed = score >= predictor.card.believed
        if searched and believed:
            self._recognise(look.box)
        person = predictor.person(look, rgb, track=max(self._count - 1, 0))
        self._box = look.box
        if believed:
            self._people = (person,)
            if predictor.finds:
                self._box = next_box(person, (rgb.shape[1], rgb.shape[0]))
        if predictor.labels:
            self._act(look, frame.time_s)
        if predictor.smooth:
            person = self._smooth(person, frame.time_s)
        return Result(
            frame.index, frame.time_s, (replace(person, action=self._action),), predictor.labels
        )

    def _start(self) -> None:
        """Somebody new: nothing of the person before is kept."""
        card = self._predictor.card
        self._filters = OneEuro(), OneEuro()
        self._window = ActionWindow(
            self._predictor.model, card.frames, action_set=self._predictor.action_set
        )
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
        predictor = self._predictor
        if self._box is None or (
            predictor.finds and lost(self._scores, threshold=predictor.card.believed)
        ):
            self._scores.clear()
            return predictor.start(rgb, None), True
        (look,) = predictor.look(rgb, self._box[None])
        if predictor.finds and self._people and look.score.mean() < predictor.card.sure:
            # Somebody who gets up outgrows the box, and a pose cannot leave its crop.
            (wide,) = predictor.look(rgb, square(self._box, margin=WIDER)[None])
            size = rgb.shape[1], rgb.shape[0]
            sides = [
                np.ptp(pose_box(s.xy, s.score, size).reshape(2, 2), 0).max() for s in (look, wide)
            ]
            if wide.score.mean() > look.score.mean() and sides[1] > OUTGROWN * sides[0]:
                look = wide
        return look, not self._people

    def _act(self, look: Look, time_s: float) -> None:
        for _ in range(self._sampler.due(time_s, at_most=self._predictor.card.frames)):
            self._action = self._window.push(look.clues)

    def _smooth(self, person: Person, time_s: float) -> Person:
        side = float(np.diff(square(person.box)[[0, 2]])[0])
        plane, space = self._filters
        xy = plane(person.xy, time_s, scale=side)
        xyz = None if person.xyz is None else space(person.xyz, time_s, scale=DEPTH_RANGE_MM)
        return replace(person, xy=xy, xyz=xyz)


def _check_picture(rgb: np.ndarray) -> None:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"a picture is uint8 RGB (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if min(rgb.shape[:2]) < SMALLEST_PX:
        height, width = rgb.shape[:2]
        raise ValueError(f"the picture is {width} x {height} px, too small to show a person")


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


def _every(clues: tuple[Tensor, ...], n: int, count: int) -> tuple[Tensor, ...]:
    """Clues (views, ...) of crop n of `count`, from (views * count, ...)."""
    return tuple(clue[n::count] for clue in clues)


def _clip(frames: Iterator[Frame], seconds: float) -> list[Frame]:
    """The frames up to `seconds` after the first, one frame at least if there is any."""
    clip: list[Frame] = []
    for frame in frames:
        clip.append(frame)
        if frame.time_s - clip[0].time_s >= seconds:
            break
    return clip


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
