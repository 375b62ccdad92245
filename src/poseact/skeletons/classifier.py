"""Actions in skeleton sequences: what a classifier sees of them, its training, its score.

The data of Pham et al. 2019, section 4: every sequence is an Enhanced-SPMF picture, or its joints
for a plain baseline. The pictures are augmented once, many times over, as theirs were; the test
sequences are not, and each counts once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poseact import data
from poseact.core.layouts import Layout
from poseact.core.types import Record
from poseact.data.sets import msr3d, sbu, skeletons
from poseact.evaluate.metrics import top1
from poseact.models.enas import ENASNet
from poseact.models.layers import channels_last
from poseact.skeletons.spmf import (
    Augment,
    SPMFConfig,
    augmented,
    complete,
    spmf,
    torso_length,
    with_bones,
)

Split = Literal["train", "test"]
Folds = Literal["official", "random"]

_NOBODY = "person 1-person 2"  # what the reader of a file without names makes of a pair


# ----------------------------------------------------------------------------------- the sequences


@dataclass(frozen=True)
class Take:
    """One recorded action. poses: (T, P, J, 3) of P persons, any unit, NaN unknown. subject: who
    acts; a pair has a name of its own, "s01-s02", since data sets of pairs are split by pairs."""

    poses: np.ndarray
    layout: Layout
    action: int
    subject: str
    source: str


def takes(records: Sequence[Record]) -> list[Take]:
    """Takes of skeleton records; those with one source are the persons of one take.

    ValueError that names the source, for a record without 3D joints, action or subject.
    """
    groups: dict[str, list[Record]] = {}
    for number, record in enumerate(records):
        groups.setdefault(record.source or str(number), []).append(record)
    return [_take(source, group) for source, group in groups.items()]


def _take(source: str, group: list[Record]) -> Take:
    poses = [record.xyz for record in group if record.xyz is not None]
    action = group[0].action
    if len(poses) < len(group) or action is None or not all(r.subject for r in group):
        raise ValueError(f"{source}: recognition needs 3D joints, an action and a subject")
    subject = "-".join(record.subject for record in group if record.subject)
    return Take(np.stack(poses, 1), group[0].layout, action, subject, source)


def open_takes(
    kind: str,
    root: str | Path,
    split: Split,
    *,
    subset: str = "all",
    fold: int = 1,
    folds: Folds = "official",
) -> list[Take]:
    """The takes of a split of a skeleton data set (`data.READERS`), e.g. "msr3d".

    A file of MSR Action3D as .npz is read by "skeletons", whichever of the two is named. fold: the
    one that is tested, where the data set has folds (SBU). folds: the field's, or random ones
    (Pham et al. 2019), in which the same people may learn and test. Skeletons in two axes get
    z = 0. The pairs of random folds, or of a file that names nobody, are called by their folds
    ("fold 2"). What the reader raises; ValueError for a kind without subsets or random folds where
    they are asked for.
    """
    if kind == "msr3d" and Path(root).suffix == ".npz":
        kind = "skeletons"
    if kind not in data.READERS:
        raise ValueError(f"unknown data set {kind!r}; skeletons are in msr3d, skeletons and sbu")
    load, options = data.READERS[kind].load, data.OPTIONS.get(kind, ())
    if "subset" not in options and subset != "all":
        raise ValueError(f"{kind} has no subsets, got {subset!r}")
    if "protocol" not in options and folds == "random":
        raise ValueError(f"{kind} has no random folds; sbu has")
    asked: dict[str, Any] = {"subset": subset} if "subset" in options else {}
    drawn = {"protocol": "random"} if folds == "random" else {}
    one = {"fold": fold} if "fold" in options else {}
    found = takes(load(root, split, **asked, **one, **drawn))
    if drawn or any(take.subject == _NOBODY for take in found):
        every = range(1, skeletons.FOLDS + 1)
        of = {r.source: k for k in every for r in load(root, "test", fold=k, **drawn)}
        found = [dataclasses.replace(t, subject=f"fold {of[t.source]}") for t in found]
    return [dataclasses.replace(t, poses=_with_depth(t.poses)) for t in found]


def _with_depth(poses: np.ndarray) -> np.ndarray:
    """z = 0 if it is unknown everywhere and x and y are not."""
    if np.isfinite(poses[..., 2]).any() or not np.isfinite(poses[..., :2]).any():
        return poses
    return np.concatenate([poses[..., :2], np.zeros_like(poses[..., :1])], -1)


def flat(takes: Sequence[Take]) -> bool:
    """Whether these skeletons lie in a plane: 2D poses with z = 0."""
    return not any(take.poses[..., 2].any() for take in takes)


def hold_out(training: Sequence[Take], subjects: Sequence[str]) -> tuple[list[Take], list[Take]]:
    """The takes of training without those of some subjects, and those takes.

    ValueError for a subject who is not there, and if nobody else or nothing else remains.
    """
    there = {take.subject for take in training}
    if not subjects or not set(subjects) < there:
        raise ValueError(
            f"validation holds out some of the training subjects {', '.join(sorted(there))}, "
            f"not all; got {', '.join(subjects) or 'none'}"
        )
    held = [take for take in training if take.subject in subjects]
    rest = [take for take in training if take.subject not in subjects]
    if not rest:
        raise ValueError(f"without the subjects {', '.join(subjects)} nothing is left to learn")
    return rest, held


def label_names(kind: str, root: str | Path, subset: str) -> tuple[str, ...]:
    """Names of the classes of `open_takes`, in the order of `Take.action`."""
    if kind == "sbu":
        return sbu.ACTIONS
    if kind == "msr3d" and Path(root).suffix != ".npz":
        return msr3d.label_names(subset=subset)
    return skeletons.label_names(root, subset=subset)


def class_count(training: Sequence[Take]) -> int:
    """How many classes there are. ValueError if one has no take to learn from."""
    seen = {take.action for take in training}
    if not seen or seen != set(range(max(seen) + 1)):
        raise ValueError(f"no take of training for some of the classes; there are {sorted(seen)}")
    return len(seen)


# ------------------------------------------------------------------------- what a classifier sees


class Encoding(Protocol):
    """How a take becomes an array: as it is, and as one randomly augmented version."""

    def plain(self, take: Take) -> np.ndarray: ...
    def drawn(self, take: Take, rng: np.random.Generator) -> np.ndarray: ...


@dataclass(frozen=True)
class Pictures:
    """Enhanced-SPMF pictures, (3, size, size) uint8."""

    spmf: SPMFConfig = field(default_factory=SPMFConfig)
    augment: Augment = field(default_factory=Augment)

    def plain(self, take: Take) -> np.ndarray:
        return spmf(take.poses, take.layout, config=self.spmf).transpose(2, 0, 1)

    def drawn(self, take: Take, rng: np.random.Generator) -> np.ndarray:
        picture = augmented(
            *(take.poses, take.layout, rng),
            config=self.spmf,
            augment=self.augment,
            action=take.action,
        )
        return picture.transpose(2, 0, 1)


@dataclass(frozen=True)
class Joints:
    """The joints themselves, (P J 3, frames) float32: about the middle of the hips of each frame,
    in torsos, resampled in time. bones: as in `SPMFConfig`."""

    frames: int = 32
    augment: Augment = field(default_factory=Augment)
    bones: tuple[float, ...] | None = None

    def plain(self, take: Take) -> np.ndarray:
        return self._encoded(self._same(take), take.layout)

    def drawn(self, take: Take, rng: np.random.Generator) -> np.ndarray:
        poses = self.augment.poses(self._same(take), take.layout, rng)
        return self._encoded(poses, take.layout)

    def _same(self, take: Take) -> np.ndarray:
        poses = complete(take.poses, take.layout)  # T P J 3
        return poses if self.bones is None else with_bones(poses, take.layout, self.bones)

    def _encoded(self, poses: np.ndarray, layout: Layout) -> np.ndarray:
        hips = [layout.index("l_hip"), layout.index("r_hip")]
        poses = poses - poses[:, :, hips].mean((1, 2), keepdims=True)
        paths = (poses / torso_length(poses, layout)).reshape(len(poses), -1)
        time = np.linspace(0, len(paths) - 1, self.frames)
        now = np.arange(len(paths))
        return np.stack([np.interp(time, now, path) for path in paths.T]).astype(np.float32)


class Bank:
    """Takes as tensors, `plain` (N, ...) and `copies` augmented versions of each (N, copies, ...).

    A version hangs on (seed, number of the take, number of the copy) alone. ValueError names the
    take that cannot be encoded.
    """

    def __init__(
        self, takes: Sequence[Take], encoding: Encoding, *, copies: int = 0, seed: int = 0
    ) -> None:
        plain, drawn = [], []
        for n, take in enumerate(takes):
            try:
                plain.append(encoding.plain(take))
                drawn += [
                    encoding.drawn(take, np.random.default_rng([seed, n, copy]))
                    for copy in range(copies)
                ]
            except ValueError as error:
                raise ValueError(f"{take.source}: {error}") from error
        self.plain = torch.from_numpy(np.stack(plain))
        self.drawn: Tensor | None = None
        if copies:
            self.drawn = torch.from_numpy(np.stack(drawn)).unflatten(0, (len(takes), -1))
        self.action = torch.tensor([take.action for take in takes])

    def __len__(self) -> int:
        return len(self.action)

    def epoch(self, batch: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Each take once, in one of its augmented versions: inputs and classes, in as few batches
        of at most `batch` as there can be, of like size."""
        order = rng.permutation(len(self))
        for rows in np.array_split(order, math.ceil(len(order) / batch)):
            if self.drawn is None:
                chosen = self.plain[rows]
            else:
                chosen = self.drawn[rows, rng.integers(self.drawn.shape[1], size=len(rows))]
            yield as_input(chosen), self.action[rows]


def as_input(x: Tensor) -> Tensor:
    """uint8 pictures (N, 3, H, W) over 255, in the memory order that convolutions are fastest in;
    joints as they are."""
    if x.dtype != torch.uint8:
        return x
    return x.float().div(255).contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------ training and score


@dataclass(frozen=True)
class Training:
    """SGD with Nesterov's momentum, or Adam; the rate on half a cosine wave from lr to lr_min,
    after rising evenly over the first `warmup` epochs. smoothing: share of the target spread over
    all classes.
    """

    epochs: int = 200
    batch: int = 64
    lr: float = 0.05
    lr_min: float = 1e-4
    momentum: float = 0.9
    weight_decay: float = 4e-4
    warmup: int = 0
    smoothing: float = 0.0
    optimizer: Literal["sgd", "adam"] = "sgd"

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1:
            raise ValueError(f"epochs and batch are 1 or more, got {self.epochs} and {self.batch}")
        if self.warmup < 0 or not 0 <= self.smoothing < 1:
            raise ValueError(
                "warmup is 0 or more and smoothing a share under 1, "
                f"got {self.warmup} and {self.smoothing}"
            )

    def rate(self, epoch: int) -> float:
        rise = min(1.0, (epoch + 1) / (self.warmup + 1))
        return rise * cosine(epoch / self.epochs, self.lr, self.lr_min)


def cosine(part: float, high: float, low: float) -> float:
    """From high (part 0) to low (part 1)."""
    return low + (high - low) * (1 + math.cos(math.pi * part)) / 2


@contextmanager
def seeded(*numbers: int) -> Iterator[np.random.Generator]:
    """A generator for these numbers, and PyTorch's own (dropout) set by them meanwhile."""
    rng = np.random.default_rng(numbers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        yield rng


def train(
    build: Callable[[], nn.Module], bank: Bank, training: Training, *, seed: int
) -> nn.Module:
    """A classifier that `build` makes, trained from scratch, in eval mode. Same seed, same weights.

    FloatingPointError if the loss is not finite.
    """
    with seeded(seed) as rng:
        model = channels_last(build())
        optimizer = optimizer_of(model, training)
        for epoch in range(training.epochs):
            model.train()
            set_rate(optimizer, training.rate(epoch))
            if isinstance(model, ENASNet):
                model.progress = epoch / training.epochs
            for x, action in bank.epoch(training.batch, rng):
                smoothing = training.smoothing
                loss = F.cross_entropy(model(x), action, label_smoothing=smoothing)
                descend(optimizer, loss)
    return model.eval()


def optimizer_of(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    if training.optimizer == "adam":
        return torch.optim.Adam(
            model.parameters(), lr=training.lr, weight_decay=training.weight_decay
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=training.lr,
        momentum=training.momentum,
        nesterov=True,
        weight_decay=training.weight_decay,
    )


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step. What had no part in the loss keeps a gradient of None, and stays as it is."""
    if not math.isfinite(loss.item()):
        raise FloatingPointError("the loss is not finite; train with a lower learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def logits(model: nn.Module, x: Tensor, *, batch: int = 128) -> np.ndarray:
    """(N, A) of a classifier in the mode it is in."""
    return torch.cat([model(as_input(part)) for part in x.split(batch)]).numpy()


def probabilities(model: nn.Module, x: Tensor) -> np.ndarray:
    """(N, A), of the same."""
    return torch.from_numpy(logits(model, x)).softmax(-1).numpy()


def accuracy(model: nn.Module, bank: Bank) -> float:
    """Share 0..1 of takes that are recognised; each counts once, as it is."""
    return top1(logits(model, bank.plain), bank.action.numpy()).mean


def view_accuracy(model: nn.Module, bank: Bank) -> float:
    """Share of takes that are recognised by the mean of the probabilities of a take as it is and of
    its augmented copies, its "views"."""
    if bank.drawn is None:
        raise ValueError("this bank has no views; make it with copies=8")
    views = torch.cat([bank.plain[:, None], bank.drawn], 1)
    each = probabilities(model, views.flatten(0, 1))
    mean = each.reshape(*views.shape[:2], -1).mean(1)
    return top1(mean, bank.action.numpy()).mean


def copy_accuracy(model: nn.Module, bank: Bank) -> float:
    """Share of augmented copies that are recognised: how the numbers of Pham et al. on MSR Action3D
    seem to be counted (21 copies). Not comparable with `accuracy`."""
    if bank.drawn is None:
        raise ValueError("this bank has no copies; make it with copies=21")
    target = bank.action.repeat_interleave(bank.drawn.shape[1])
    return top1(logits(model, bank.drawn.flatten(0, 1)), target.numpy()).mean
