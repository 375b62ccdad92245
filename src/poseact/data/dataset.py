"""Records to samples to batches: crop, augment, convert the layout, mask, mix.

A batch is a pure function of the seed and the step, so the number of workers does not matter and a
training run that stopped goes on exactly as it would have. Of several processes that train together
each takes its share of that very batch.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from poseact.core.geometry import square, transform, union, warp
from poseact.core.layouts import Layout, convert
from poseact.core.types import NO_ACTION, Record, Sample
from poseact.data.augment import NONE, Augment, AugmentParams

DEPTH_RANGE_MM = 2000.0
"""Depth d in [0, 1] spans this, with the root at 0.5."""


def make_sample(
    record: Record,
    layout: Layout,
    *,
    size: tuple[int, int],
    frames: Sequence[int],
    params: AugmentParams | None = None,
    margin: float = 1.0,
) -> Sample:
    """One clip: frames `frames` of the record in a crop of `size` (height, width) px.

    The crop is the square around all boxes of the chosen frames, its side times `margin`, the same
    in every frame; without a known box it is the whole picture. params: None is no augmentation.
    The pose is in `layout`, by joint name; d counts from that layout's root along the camera's axis
    (a rotation or mirroring of the picture leaves it). Unknown is NaN. `valid` is True where a
    number is known and lies in [0, 1], for d only where u and v do too; `inside` where u and v are
    known and lie in [0, 1], so an unannotated joint is not inside: mask it by `pose`'s NaN.
    """
    if record.frame is None:
        raise ValueError(f"a record of {record.source or 'unnamed source'} has no pictures")
    if not len(frames):
        raise ValueError("a sample needs at least one frame index, got none")
    params = params or AugmentParams()
    # A stretched clip repeats frames; a video is decoded forwards.
    pictures = {t: record.frame(t) for t in sorted(set(frames))}
    box = clip_square(record, frames, pictures[frames[0]].shape[:2], margin)
    matrix = params.matrix(box)
    crops = {t: warp(picture, matrix, size) for t, picture in pictures.items()}
    pixels = params.effects(np.stack([crops[t] for t in frames]))  # T H W 3
    pose = pose_uvd(record, layout, frames, matrix)
    if params.flip:
        pose = pose[:, list(layout.flip)]
    inside = ((pose[..., :2] >= 0) & (pose[..., :2] <= 1)).all(-1)  # False where NaN
    deep = inside & (pose[..., 2] >= 0) & (pose[..., 2] <= 1)
    to_image = np.repeat(np.linalg.inv(matrix)[None], len(frames), 0)
    sample = Sample(
        frames=torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous() / 127.5 - 1.0,
        pose=torch.from_numpy(pose.astype(np.float32)),
        valid=torch.from_numpy(np.stack([inside, inside, deep], -1)),
        inside=torch.from_numpy(inside),
        action=torch.tensor(NO_ACTION if record.action is None else record.action),
        to_image=torch.from_numpy(to_image.astype(np.float32)),
    )
    if record.weight is not None:
        weight = label_weight(record, layout, frames, flip=params.flip)
        sample["weight"] = torch.from_numpy(weight)
    return sample


def label_weight(
    record: Record, layout: Layout, frames: Sequence[int], *, flip: bool
) -> np.ndarray:
    """(T, J, 3) float32 weights of a record's labels in a layout; of a derived joint the mean."""
    assert record.weight is not None
    weight = convert(record.weight[list(frames)].astype(np.float32), record.layout, layout)
    weight = np.nan_to_num(weight)
    return weight[:, list(layout.flip)] if flip else weight


def clip_square(
    record: Record, frames: Sequence[int], shape: tuple[int, int], margin: float
) -> np.ndarray:
    """The square (4,) px that a clip is cut from; pictures of `shape` (height, width) px."""
    boxes = np.empty((0, 4)) if record.box is None else record.box[list(frames)]
    boxes = boxes[np.isfinite(boxes).all(-1)]
    if not len(boxes):
        return square(np.array([0.0, 0.0, shape[1], shape[0]]))
    return square(union(boxes), margin=margin)


def pose_uvd(
    record: Record, layout: Layout, frames: Sequence[int], matrix: np.ndarray
) -> np.ndarray:
    """(T, J, 3) u v d under a matrix from px to uv, NaN unknown."""
    rows = list(frames)
    uv = transform(matrix, record.xy[rows].astype(np.float64))
    uv = convert(uv, record.layout, layout)
    depth = np.full((*uv.shape[:2], 1), np.nan)
    if record.xyz is not None:
        z = convert(record.xyz[rows].astype(np.float64), record.layout, layout)[..., 2:]  # T J 1
        depth = 0.5 + (z - z[:, [layout.root]]) / DEPTH_RANGE_MM
    return np.concatenate([uv, depth], -1)


def clip_indices(
    length: int, frames: int, *, step: int = 1, rng: np.random.Generator | None = None
) -> list[int]:
    """`frames` indices into a record of `length` frames, `step` apart as far as the record allows.

    The start is random with `rng` and centred without. A record shorter than the clip is
    virtually stretched by powers of 1.5 until it is long enough, so frames repeat (the rule of the
    original project's `get_clip_frame_index`).

    >>> clip_indices(10, 4, step=2)
    [1, 3, 5, 7]
    >>> clip_indices(2, 4)
    [0, 0, 0, 1]
    """
    if length < 1 or frames < 1 or step < 1:
        raise ValueError(
            f"length, frames and step are at least 1, got {length}, {frames} and {step}"
        )
    stretch = 1.0
    while int(length * stretch) < frames:
        stretch *= 1.5
    virtual = int(length * stretch)
    step = max(1, min(step, virtual // frames))
    slack = virtual - ((frames - 1) * step + 1)
    start = slack // 2 if rng is None else int(rng.integers(slack + 1))
    return [min(int((start + i * step) / stretch), length - 1) for i in range(frames)]


@dataclass(frozen=True)
class Part:
    """One source in the mix: `count` samples of it in every batch, clips of `frames` frames.

    steps: distances of a clip's frames, of which each clip draws one, in place of `step`.
    """

    name: str
    records: Sequence[Record]
    count: int
    frames: int = 1
    step: int = 1
    augment: Augment = NONE
    margin: float = 1.0
    steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.records) or self.count < 1:
            raise ValueError(
                f"part {self.name!r} needs records and a count of at least 1, "
                f"got {len(self.records)} and {self.count}"
            )


class Batches(Dataset):
    """Batches by step: `batches[step]` gives one `Sample` batch per part, under the part's name.

    Each part walks through its records in a fresh order every epoch, so each record comes once
    before any comes twice. Everything random hangs on (seed, part, position) alone.

    make: who cuts the samples, with the arguments of `make_sample`; its answers are what `stack`
    stacks.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        layout: Layout,
        *,
        size: tuple[int, int],
        seed: int = 0,
        make: Callable[..., Any] = make_sample,
    ) -> None:
        names = [part.name for part in parts]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"parts need names of their own, and one at least; got {names}")
        self.parts, self.layout, self.size, self.seed = tuple(parts), layout, size, seed
        self.make = make

    def __getitem__(self, step: int) -> dict[str, Sample]:
        return self.share(step, 0, 1)

    def share(self, step: int, rank: int, world: int) -> dict[str, Sample]:
        """What process `rank` of `world` takes of a batch: samples rank, rank + world, ... of each
        part. A part that has no sample for it is left out.
        """
        return {
            part.name: stack(
                [self._sample(p, step * part.count + i) for i in range(rank, part.count, world)]
            )
            for p, part in enumerate(self.parts)
            if rank < part.count
        }

    def names(self, step: int) -> dict[str, list[str]]:
        """The records of a batch, to find a bad one."""
        return {
            part.name: [
                self.record_name(p, self.record_index(p, step * part.count + i))
                for i in range(part.count)
            ]
            for p, part in enumerate(self.parts)
        }

    def record_name(self, part: int, index: int) -> str:
        """Number of a record in its part, what it says of itself and its first picture's file."""
        record = self.parts[part].records[index]
        file = getattr(record.frame, "path", None)  # of stills, videos and rendered clips
        if callable(file):  # of numbered pictures
            file = file(0)
        file = next(iter(getattr(record.frame, "paths", ())), file)
        said = [record.source, record.subject, record.view, file if isinstance(file, Path) else ""]
        return " ".join([f"record {index}:", *(str(word) for word in said if word)])

    def record_index(self, part: int, position: int) -> int:
        """Which record the part's `position`-th sample shows, counted from the first step."""
        number = len(self.parts[part].records)
        epoch, place = divmod(position, number)
        return int(_permutation(self.seed, part, epoch, number)[place])

    def _sample(self, p: int, position: int) -> Sample:
        part = self.parts[p]
        record = part.records[self.record_index(p, position)]
        # The fourth word keeps these streams apart from the permutations'.
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, p, position, 1]))
        step = int(rng.choice(part.steps)) if part.steps else part.step
        frames = clip_indices(len(record), part.frames, step=step, rng=rng)
        return self.make(
            record,
            self.layout,
            size=self.size,
            frames=frames,
            params=part.augment.sample(rng),
            margin=part.margin,
        )


@lru_cache(maxsize=32)
def _permutation(seed: int, part: int, epoch: int, number: int) -> np.ndarray:
    return np.random.default_rng(np.random.SeedSequence([seed, part, epoch])).permutation(number)


S = TypeVar("S")


def stack(samples: Sequence[S]) -> S:
    """Samples of the same kind and shape as one batch, B in front."""
    rows = cast(Sequence[dict[str, Tensor]], samples)
    return cast(S, {key: torch.stack([row[key] for row in rows]) for key in rows[0]})


class Share(Dataset):
    """What process `rank` of `world` takes of every batch."""

    def __init__(self, batches: Batches, rank: int, world: int) -> None:
        self.batches, self.rank, self.world = batches, rank, world

    def __getitem__(self, step: int) -> dict[str, Sample]:
        return self.batches.share(step, self.rank, self.world)


def loader(
    batches: Dataset[dict[str, Sample]], start: int, stop: int, *, every: int = 1, workers: int = 0
) -> DataLoader:
    """Batches of the steps start, start + every, ... before stop, in order; 0 workers makes them in
    this process.

    With workers, OpenCV is set to one thread in this process: a worker forked beside OpenCV's
    thread pool would hang as soon as it touched that pool.
    """
    if workers:
        cv2.setNumThreads(1)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, stop, every),
        num_workers=workers,
        worker_init_fn=_begin_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def _begin_worker(_: int) -> None:
    """Workers share the cores already; threads inside each would only fight.

    A terminal's Ctrl-C reaches them too: it is for the process that trains, which ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    if cv2.getNumThreads() > 1:  # a spawned worker; a forked one inherits 1, and must not ask
        cv2.setNumThreads(1)


def evaluation_batches(
    records: Sequence[Record],
    layout: Layout,
    *,
    size: tuple[int, int],
    frames: int = 1,
    step: int = 1,
    batch: int = 32,
    margin: float = 1.0,
) -> Iterator[Sample]:
    """The records in order, unaugmented, centred clips; the last batch holds what is left."""
    for first in range(0, len(records), batch):
        yield stack(
            [
                make_sample(
                    record,
                    layout,
                    size=size,
                    frames=clip_indices(len(record), frames, step=step),
                    margin=margin,
                )
                for record in records[first : first + batch]
            ]
        )
