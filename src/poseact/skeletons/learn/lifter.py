"""Training of the two-stream lifter (`models/lifter.py`), and its errors beside two baselines.

    poseact train lifter mocap --root DIR -o RUN     the recipe for two cores
    poseact train lifter pham --root DIR -o RUN      the paper's, on Human3.6M

The streams are trained one after the other, with the same settings, on exact 2D joints and on a
detector's. What an epoch sees hangs on (seed, stream, epoch) alone, so a run that goes on from its
checkpoint ends with the weights of one that was never stopped.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from poseact import __version__
from poseact.core.console import SILENT, Console
from poseact.core.layouts import H36M17
from poseact.data.sets import h36m
from poseact.evaluate.metrics import mpjpe, p_mpjpe
from poseact.models import weights
from poseact.models.lifter import (
    Combine,
    Lifter,
    LifterConfig,
    Stream,
    mirror_2d,
    mirror_3d,
    to_box,
)
from poseact.skeletons.gaps import (
    Detector,
    Pairs,
    Split,
    detected,
    mocap_poses,
    pairs_from_records,
    random_views,
    stretched,
)
from poseact.train.run_folder import Log, RunFolder

StreamName = Literal["gt", "det"]
STREAMS: tuple[StreamName, ...] = ("gt", "det")
_EVERY = 10  # of the frames of held-out motion capture, which is at 30 a second


@dataclass(frozen=True)
class Recipe:
    """A whole run; the defaults are those of Pham et al. 2019, section 4.2.

    data: "mocap", poses of the motion capture, `views` of them an epoch by random cameras on
    stretched bodies; or "h36m" (see `data.h36m`), one frame in `step`. detections: those of
    `data.h36m.load`; None simulates a `detector`. flip: mirror half of the poses. test_step: one
    Human3.6M frame in so many is scored, as the papers do; 1: all.
    """

    name: str
    data: Literal["mocap", "h36m"]
    model: LifterConfig
    detections: str | None = None
    detector: Detector = field(default_factory=Detector)
    views: int = 100_000
    step: int = 1
    epochs: int = 300
    batch: int = 128
    lr: float = 1e-3
    halve_every: int = 50
    flip: bool = False
    seed: int = 0
    test_step: int = 64

    def __post_init__(self) -> None:
        for name in ("views", "step", "epochs", "batch", "halve_every", "test_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is 1 or more, got {getattr(self, name)}")

    def note(self) -> dict[str, Any]:
        """For config.json: all that training depends on."""
        note = dataclasses.asdict(self)
        del note["test_step"]
        return note

    def card(self) -> weights.Card:
        return weights.Card(
            config=dataclasses.asdict(self.model),
            architecture="lifter",
            layout=H36M17.name,
            labels=(),
            size=(0, 0),
            provenance={"recipe": self.name, "poseact": __version__},
        )


RECIPES = {
    "mocap": Recipe(
        "mocap",
        "mocap",
        LifterConfig(normalisation="screen", width=512, dropout=0.1),
        batch=256,
        epochs=30,
        halve_every=5,
        flip=True,
    ),
    "pham": Recipe("pham", "h36m", LifterConfig(normalisation="martinez")),
}


# ---------------------------------------------------------------------------------------- data


class Source:
    """What the streams see in each epoch."""

    def __init__(self, recipe: Recipe, root: Path) -> None:
        self.recipe = recipe
        if recipe.data == "mocap":
            self.poses = mocap_poses(root, "train")
        else:
            self.exact = _h36m(root, "train", recipe.step, None)
            found = recipe.detections
            self.found = _h36m(root, "train", recipe.step, found) if found else None

    def epoch(self, stream: StreamName, epoch: int) -> Pairs:
        """The pairs of an epoch, in the order in which they are learned."""
        rng = np.random.default_rng([self.recipe.seed, STREAMS.index(stream), epoch])
        if self.recipe.data == "mocap":
            world = stretched(
                self.poses[rng.integers(len(self.poses), size=self.recipe.views)], rng
            )
            pairs = random_views(world, rng).see(world)
        else:
            pairs = self.found if self.found and stream == "det" else self.exact
            order = rng.permutation(len(pairs))
            pairs = Pairs(pairs.xy[order], pairs.xyz[order], pairs.size[order])
        if stream == "det" and not self.recipe.detections:
            pairs = detected(pairs, self.recipe.detector, rng)
        return pairs


def _h36m(root: Path, split: Split, step: int, detections: str | None) -> Pairs:
    return pairs_from_records(h36m.load(root, split, step=step, detections=detections))


def held_out(recipe: Recipe, root: Path, split: Split = "test") -> tuple[Pairs, Pairs]:
    """Poses of people no training saw, with exact 2D joints and with a detector's.

    Motion capture is seen by cameras that are the same whatever the recipe's seed.
    """
    if recipe.data == "h36m":
        exact = _h36m(root, split, recipe.test_step, None)
        if recipe.detections:
            return exact, _h36m(root, split, recipe.test_step, recipe.detections)
    else:
        world = mocap_poses(root, split, step=_EVERY)
        exact = random_views(world, np.random.default_rng(1)).see(world)
    return exact, detected(exact, recipe.detector, np.random.default_rng(2))


# ------------------------------------------------------------------------------------ training


def fit(
    recipe: Recipe, root: Path, out: Path, *, resume: bool = False, console: Console = SILENT
) -> Path:
    """Train both streams in the folder `out`; the file with the weights.

    resume goes on from the folder's checkpoint. ValueError if it holds a run and `resume` is off,
    or if it holds another one; what the readers of `root` raise.
    """
    folder = RunFolder(out, console=console)
    folder.claim(json.dumps(recipe.note(), indent=1), resume=resume)
    source = Source(recipe, root)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        lifter = Lifter(recipe.model)
    state = folder.read_checkpoint() or {"epoch": 0, "step": 0}
    if "model" in state:
        lifter.load_state_dict(state["model"])
    log = Log(folder, state["step"], _steps(recipe, source))
    step = state["step"]
    for n in range(state["epoch"], len(STREAMS) * recipe.epochs):
        name, epoch = STREAMS[n // recipe.epochs], n % recipe.epochs
        stream: Stream = getattr(lifter, name)
        pairs = source.epoch(name, epoch)
        if epoch == 0:
            stream.learn_statistics(*_tensors(pairs))
            optimizer = _adam(stream)
        elif n == state["epoch"]:
            optimizer = _adam(stream)
            optimizer.load_state_dict(state["optimizer"])
        lr = recipe.lr * 0.5 ** (epoch // recipe.halve_every)
        step += train_epoch(
            stream, optimizer, pairs, recipe, lr, seed=n, note=lambda loss: log.add({"loss": loss})
        )
        log.write(step, name, lr)
        folder.save_checkpoint(
            {
                "epoch": n + 1,
                "step": step,
                "model": lifter.state_dict(),
                "optimizer": optimizer.state_dict(),
            }
        )
    return weights.save(out / "weights.safetensors", lifter.eval(), recipe.card())


def _adam(stream: Stream) -> torch.optim.Adam:
    return torch.optim.Adam(stream.parameters())


def _steps(recipe: Recipe, source: Source) -> int:
    poses = recipe.views if recipe.data == "mocap" else len(source.exact)
    return len(STREAMS) * recipe.epochs * max(poses // recipe.batch, 1)


def train_epoch(
    stream: Stream,
    optimizer: torch.optim.Optimizer,
    pairs: Pairs,
    recipe: Recipe,
    lr: float,
    *,
    seed: int,
    note: Callable[[Tensor], None],
) -> int:
    """One pass over the pairs in batches, the incomplete last one left out; the number of steps.

    The loss is Huber's (delta 1) on normalised joints. seed: of dropout and mirroring.
    """
    stream.train()
    for group in optimizer.param_groups:
        group["lr"] = lr
    size = min(recipe.batch, len(pairs))
    tensors = _tensors(pairs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed * 100_003 + seed)
        for start in range(0, len(pairs) - size + 1, size):
            xy, wide_high, xyz = (tensor[start : start + size] for tensor in tensors)
            if recipe.flip:
                mirrored = torch.rand(size) < 0.5
                there = mirrored[:, None, None]
                xy = torch.where(there, mirror_2d(xy, wide_high[:, 0]), xy)
                xyz = torch.where(there, mirror_3d(xyz), xyz)
            loss = nn.functional.smooth_l1_loss(stream(xy, wide_high), stream.target(xyz))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            stream.clip_weights()
            note(loss.detach())
    return len(pairs) // size


def _tensors(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """xy, size, xyz."""
    return torch.tensor(pairs.xy), torch.tensor(pairs.size), torch.tensor(pairs.xyz)


# ---------------------------------------------------------------------------------- evaluation


@dataclass(frozen=True)
class Row:
    """A way to lift and its errors in mm over 17 joints, the root's zero included: MPJPE and
    P-MPJPE with exact 2D joints, then with a detector's.
    """

    name: str
    exact: tuple[float, float]
    found: tuple[float, float]


def evaluate(lifter: Lifter, train: Pairs, exact: Pairs, found: Pairs) -> list[Row]:
    """Errors of the streams, of their mean and of two baselines that know the poses of `train`.

    exact, found: the same poses with exact 2D joints and with a detector's. The last row is the
    protocol of the paper's 42.4 mm: even with a detector, the stream `gt` gets the exact joints.
    """
    by_mean = mean_pose(train, len(exact))
    rows = [
        _row("mean pose", by_mean, by_mean, exact),
        _row(
            "nearest neighbour", nearest_pose(train, exact.xy), nearest_pose(train, found.xy), exact
        ),
    ]
    ways: dict[str, Combine] = {"stream gt": "gt", "stream det": "det", "both": "mean"}
    for label, combine in ways.items():
        of_exact = lift(lifter, exact.xy, exact.size, combine=combine)
        of_found = lift(lifter, found.xy, found.size, combine=combine)
        rows.append(_row(label, of_exact, of_found, exact))
    both = lift(lifter, exact.xy, exact.size)
    mixed = lift(lifter, found.xy, found.size, exact=exact.xy)
    return [*rows, _row("both, gt sees exact 2D", both, mixed, exact)]


def _row(name: str, exact: np.ndarray, found: np.ndarray, truth: Pairs) -> Row:
    def errors(pred: np.ndarray) -> tuple[float, float]:
        return mpjpe(pred, truth.xyz).mean, p_mpjpe(pred, truth.xyz).mean

    return Row(name, errors(exact), errors(found))


@torch.no_grad()
def lift(
    lifter: Lifter,
    xy: np.ndarray,
    size: np.ndarray,
    *,
    combine: Combine = "mean",
    exact: np.ndarray | None = None,
) -> np.ndarray:
    """`Lifter.forward` in eval mode for arrays: (N, 17, 2) px to (N, 17, 3) root-relative mm."""
    lifter.eval()
    given = None if exact is None else torch.tensor(exact)
    return lifter(torch.tensor(xy), torch.tensor(size), given, combine).numpy()


def mean_pose(train: Pairs, count: int) -> np.ndarray:
    """The mean pose of the training data, whatever is seen: (count, 17, 3) mm."""
    return np.broadcast_to(train.xyz.mean(0), (count, *train.xyz.shape[1:]))


def nearest_pose(train: Pairs, xy: np.ndarray, *, chunk: int = 256) -> np.ndarray:
    """For each (N, 17, 2) px the 3D pose whose 2D joints, over their box, are nearest to it."""
    known = to_box(torch.tensor(train.xy)).flatten(1)
    asked = to_box(torch.tensor(xy)).flatten(1)
    best = [torch.cdist(part, known).argmin(1) for part in asked.split(chunk)]
    return train.xyz[torch.cat(best).numpy()]


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    head = (
        "| | MPJPE, exact 2D | P-MPJPE, exact 2D | MPJPE, detector | P-MPJPE, detector |\n"
        "|---|---|---|---|---|"
    )
    lines = [
        f"| {row.name} | " + " | ".join(f"{e:.1f}" for e in (*row.exact, *row.found)) + " |"
        for row in rows
    ]
    return "\n".join([head, *lines])


def report(recipe: Recipe, root: Path, lifter: Lifter, split: Split = "test") -> str:
    """The table on the people of a split; the baselines know the poses of the first epoch."""
    exact, found = held_out(recipe, root, split)
    return table(evaluate(lifter, Source(recipe, root).epoch("gt", 0), exact, found))
