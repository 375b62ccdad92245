"""One's own action classes: new heads, learnt on a folder of clips, for a pose network that stays.

The papers' last stage on little data: the pose part is frozen, so the features of a
clip are computed once for a few mirrored and jittered crops, and only the heads learn. Clips are
cut at the frame rate of the base model's card, whatever the rate of the video.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poseact import __version__
from poseact.core.console import SILENT, Console
from poseact.core.files import whole_file, write_text
from poseact.core.geometry import square, union, warp
from poseact.core.reading import read_json, understood
from poseact.data.augment import MILD, AugmentParams
from poseact.data.sets import folder
from poseact.evaluate import metrics
from poseact.inference.predictor import Predictor
from poseact.media.pictures import write_image
from poseact.models import weights
from poseact.models.layers import channels_last
from poseact.models.weights import Card, Network, network
from poseact.results.panels import confusion_matrix
from poseact.train.loop import Features
from poseact.train.losses import action_cross_entropy
from poseact.train.own.clips import Clip, divide, find_boxes, load_clips

AT_MOST = 4
"""A long video gives up to so many times the clips of a short one."""
ASKED = 32
"""Most clips of one video that are asked for its class."""
BATCH = 32
HEAD = "act"
"""What the names of all layers of the action heads have in front."""


@dataclass(frozen=True)
class Settings:
    """How to learn the classes of `root`, a folder as `data.folder` reads it.

    weights: the base model. boxes: a boxes file of that reader; clips it does not name are searched
    for the person. fps: of folders of pictures, which cannot say. passes: clips taken from each
    video, at other times and with other crops. steps, lr: of the heads. mirror: also learn from
    mirror images; never if the names of the classes speak of left and right.
    """

    root: str
    weights: str = "spnet-s"
    boxes: str | None = None
    fps: float = 25.0
    passes: int = 8
    steps: int = 250
    lr: float = 1e-3
    mirror: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.fps > 0 or not self.lr > 0 or min(self.passes, self.steps) < 1:
            raise ValueError(
                "fps and lr are more than 0, passes and steps 1 or more; got "
                f"{self.fps}, {self.lr}, {self.passes} and {self.steps}"
            )


def train_actions(
    settings: Settings,
    out: str | Path,
    *,
    device: str | None = None,
    console: Console = SILENT,
) -> Report:
    """Find the person in every clip, learn the heads, and measure them once on held-out clips.

    Writes into `out`: weights.safetensors, boxes.csv, report.json, confusion.png, confusion.csv,
    answers.csv, config.json. The same call again takes the boxes that are in `out`, corrected by
    hand perhaps, and learns anew. Held out are the clips of test/ (without it val/); without such
    folders, those that the reader puts into test or val by their names. Nothing is chosen on them.

    console: gets lines and bars. Raises ValueError or FileNotFoundError for a folder, a video, a
    boxes file or weights that cannot be used, and for an `out` that holds another run.
    """
    started_s = time.monotonic()
    out = Path(out)
    base = Predictor(settings.weights, device=device, smooth=False, people="one")
    if not base.labels:
        raise ValueError(f"{settings.weights} has no action heads; start from weights that have")
    clips = load_clips(settings.root, fps=settings.fps, boxes=settings.boxes, console=console)
    labels = folder.classes(settings.root)
    train, held_out = divide(settings.root, clips, labels, console=console)
    _claim(out, settings)
    unseen = find_boxes(base, train + held_out, out / "boxes.csv", console=console)
    found = load_clips(settings.root, fps=settings.fps, boxes=out / "boxes.csv")
    boxed = {c.name: c for c in found}
    train, held_out = ([boxed[c.name] for c in part] for part in (train, held_out))

    mirror = settings.mirror and not sided(labels)
    if settings.mirror and not mirror:
        console.say("the classes speak of left and right, so clips are not mirrored")
    features = features_of(base, train, replace(settings, mirror=mirror), console=console)
    heads = with_new_heads(base.model, len(labels), seed=settings.seed)
    model = learn(heads, features, settings, console=console)
    card = replace(
        base.card,
        config=dataclasses.asdict(model.config),
        labels=(labels,),
        provenance={
            **base.card.provenance,
            "actions": f"{len(train)} own clips, poseact {__version__}, base {settings.weights}",
        },
    )
    path = weights.save(out / "weights.safetensors", model, card)
    answers = ask(Predictor(path, device=device), held_out, console=console)
    report = Report(
        labels=labels,
        trained=tuple(Counter(c.action for c in train)[k] for k in range(len(labels))),
        names=tuple(c.name for c in held_out),
        truth=np.array([c.action for c in held_out], np.int64),
        answers=answers,
        unseen=tuple(unseen),
        seconds=time.monotonic() - started_s,
    )
    report.write(out)
    return report


def sided(labels: Sequence[str]) -> bool:
    """Whether a class speaks of left or right, so that its mirror image is another class.

    >>> sided(["wave_left", "clap"]), sided(["bright"])
    (True, False)
    """
    words = {w.lower() for name in labels for w in re.findall("[A-Z]?[a-z]+|[A-Z]+", name)}
    return bool(words & {"left", "right"})


def _claim(out: Path, settings: Settings) -> None:
    """Write config.json; ValueError if the folder holds a run on other clips or weights."""
    note = out / "config.json"
    if note.is_file():
        with understood(note):
            found = read_json(note)
            mine = (found.get("root"), found.get("weights")) == (settings.root, settings.weights)
        if not mine:
            raise ValueError(f"{out} holds another run; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(dataclasses.asdict(settings), indent=1))


# ------------------------------------------------------------------------------- what is seen


def crops(
    clip: Clip, windows: Sequence[Sequence[int]], card: Card, params: Sequence[AugmentParams]
) -> Tensor:
    """Windows of frames as (W, T, 3, H, W) in [-1, 1], each with its own square and augmentation.

    The same pixels as `data.dataset.make_sample` gives; the video is read once, forwards.
    """
    matrices = [p.matrix(_square(clip, w, card)) for w, p in zip(windows, params, strict=True)]
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for n, window in enumerate(windows):
        for i, t in enumerate(window):
            places[t].append((n, i))
    pixels = np.empty((len(windows), card.frames, *card.size, 3), np.uint8)
    for t in sorted(places):
        picture = clip.picture(t)
        for n, i in places[t]:
            pixels[n, i] = warp(picture, matrices[n], card.size)
    pixels = np.stack([p.effects(part) for p, part in zip(params, pixels)])
    return torch.from_numpy(pixels).permute(0, 1, 4, 2, 3) / 127.5 - 1.0


def _square(clip: Clip, window: Sequence[int], card: Card) -> np.ndarray:
    """The crop of a window: of a frame without a box, the box of the nearest frame counts."""
    if clip.record.box is None:
        height, width = clip.picture(window[0]).shape[:2]
        return square(np.array([0.0, 0.0, width, height]))
    known = np.flatnonzero(np.isfinite(clip.record.box).all(-1))
    nearest = np.abs(known[None] - np.array(window)[:, None]).argmin(-1)
    return square(union(clip.record.box[known[nearest]]), margin=card.margin)


@torch.inference_mode()
def _features(model: Network, frames: Tensor) -> tuple[Tensor, ...]:
    """What the pose part says of clips (W, T, 3, H, W), for the heads."""
    device = next(model.parameters()).device
    parts = []
    for few in frames.split(8):
        flat = few.flatten(0, 1).to(device).contiguous(memory_format=torch.channels_last)
        features = model.frames(flat).features
        parts.append(tuple(feature.unflatten(0, few.shape[:2]).half() for feature in features))
    return tuple(torch.cat(column) for column in zip(*parts))


def features_of(
    base: Predictor, clips: Sequence[Clip], settings: Settings, *, console: Console = SILENT
) -> Features:
    """Features of augmented windows of all clips: `passes` of each, more of long ones, evenly.

    The windows of the n-th clip hang on the seed and n alone.
    """
    card = base.card
    augment = MILD if settings.mirror else replace(MILD, flip=0.0)
    found, action = [], []
    total = len(clips) * settings.passes * card.frames
    with console.bar("computing features", total) as advance:
        for n, clip in enumerate(clips):
            rng = np.random.default_rng(np.random.SeedSequence([settings.seed, n]))
            room_s = clip.room_s(card)
            lasting = int(room_s * card.fps / card.frames) + 1  # windows side by side
            count = min(max(lasting, settings.passes), AT_MOST * settings.passes)
            starts_s = (np.arange(count) + rng.random(count)) / count * room_s
            windows = [clip.frames(card, s if room_s > 0 else room_s) for s in starts_s]
            params = [augment.sample(rng) for _ in windows]
            found.append(_features(base.model, crops(clip, windows, card, params)))
            action += [clip.action] * count
            advance(settings.passes * card.frames)
    table = tuple(torch.cat(column).clone() for column in zip(*found))
    return Features(table, torch.tensor(action, device=table[0].device))


# ------------------------------------------------------------------------------- the heads


def with_new_heads(model: Network, classes: int, *, seed: int = 0) -> Network:
    """The network with heads for `classes` classes: only the class layers are new."""
    torch.manual_seed(seed)
    device = next(model.parameters()).device
    changed = network(replace(model.config, actions=(classes,))).to(device)
    state = changed.state_dict()
    old = model.state_dict()
    kept = {k: v for k, v in old.items() if k in state and state[k].shape == v.shape}
    changed.load_state_dict({**state, **kept})
    return channels_last(changed).eval()


def learn(
    model: Network, features: Features, settings: Settings, *, console: Console = SILENT
) -> Network:
    """Train the heads on features, all classes equally often.

    Batch normalisation keeps the statistics of the base model: a few clips would give poor ones.
    """
    heads = [p for name, p in model.named_parameters() if f".{HEAD}" in f".{name}"]
    kernels, vectors = [p for p in heads if p.ndim > 1], [p for p in heads if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr)
    steps = max(settings.steps, 3)  # up, down and the last one
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        settings.lr,
        total_steps=steps,
        pct_start=max(0.1, 2 / steps),
        cycle_momentum=False,
    )
    rng = np.random.default_rng(settings.seed)
    target = features.action.cpu().numpy()
    share = 1 / np.bincount(target)[target]
    share /= share.sum()
    with console.bar("learning", settings.steps, unit="steps") as advance:
        for _ in range(settings.steps):
            rows = torch.from_numpy(rng.choice(len(target), BATCH, p=share)).to(
                features.action.device
            )
            blocks = model.actions(tuple(feature[rows].float() for feature in features.features))
            parts = [action_cross_entropy(sets[0], features.action[rows]) for sets in blocks]
            optimizer.zero_grad(set_to_none=True)
            torch.stack(parts).mean().backward()
            torch.nn.utils.clip_grad_norm_(heads, 1.0)
            optimizer.step()
            schedule.step()
            advance(1)
    return model


@torch.inference_mode()
def ask(predictor: Predictor, clips: Sequence[Clip], *, console: Console = SILENT) -> np.ndarray:
    """Probabilities (N, A) of clips: the mean over windows that overlap by half, 32 at most."""
    card = predictor.card
    answers = np.empty((len(clips), len(predictor.labels)))
    with console.bar("held-out clips", len(clips), unit="clips") as advance:
        for n, clip in enumerate(clips):
            room_s = clip.room_s(card)
            count = int(max(room_s, 0.0) * card.fps / (card.frames / 2)) + 1
            starts_s = np.linspace(0, room_s, min(count, ASKED)) if count > 1 else [room_s / 2]
            windows = [clip.frames(card, s if room_s > 0 else room_s) for s in starts_s]
            seen = crops(clip, windows, card, [AugmentParams()] * len(windows))
            features = tuple(feature.float() for feature in _features(predictor.model, seen))
            logits = predictor.model.actions(features)[-1][0]
            answers[n] = logits.softmax(-1).mean(0).cpu().numpy()
            advance(1)
    return answers


# ------------------------------------------------------------------------------- the report


@dataclass(frozen=True)
class Report:
    """What was learnt from, and the answers (N, A) to the N held-out clips with classes `truth`.

    trained: clips of each class. unseen: clips in which nobody was found.
    """

    labels: tuple[str, ...]
    trained: tuple[int, ...]
    names: tuple[str, ...]
    truth: np.ndarray
    answers: np.ndarray
    unseen: tuple[str, ...]
    seconds: float

    @property
    def confusion(self) -> np.ndarray:
        """Counts (A, A), rows the true class."""
        return metrics.confusion(self.answers.argmax(-1), self.truth, len(self.labels))

    @property
    def accuracy(self) -> float:
        """Share of held-out clips that are right; NaN without any."""
        return metrics.top1(self.answers, self.truth).mean

    def lines(self) -> list[str]:
        """A small table for the terminal."""
        counts, wide = self.confusion, max(5, *(len(name) for name in self.labels))
        lines = [f"{'class':{wide}}  learnt from  held out  right"]
        for k, name in enumerate(self.labels):
            asked, right = int(counts[k].sum()), int(counts[k, k])
            share = f"{right} ({right / asked:.0%})" if asked else "-"
            lines.append(f"{name:{wide}}  {self.trained[k]:11}  {asked:8}  {share}")
        total = f"{self.accuracy:.1%} of {len(self.truth)}" if len(self.truth) else "not measured"
        return [*lines, f"held-out accuracy: {total}"]

    def write(self, out: Path) -> None:
        """report.json, confusion.csv, confusion.png and answers.csv, a line a held-out clip."""
        counts = self.confusion
        asked, right = counts.sum(1).tolist(), counts.diagonal().tolist()
        classes = {
            name: {
                "trained": self.trained[k],
                "held_out": asked[k],
                "right": right[k],
                "accuracy": right[k] / asked[k] if asked[k] else None,
            }
            for k, name in enumerate(self.labels)
        }
        content = {
            "accuracy": self.accuracy if len(self.truth) else None,
            "held_out": len(self.truth),
            "classes": classes,
            "labels": self.labels,
            "confusion": counts.tolist(),
            "nobody_seen_in": self.unseen,
            "seconds": round(self.seconds, 1),
        }
        write_text(out / "report.json", json.dumps(content, indent=1))
        confused = [
            ["true \\ answer", *self.labels],
            *([name, *row] for name, row in zip(self.labels, counts.tolist())),
        ]
        _write_table(out / "confusion.csv", confused)
        best = self.answers.argmax(-1)
        rows = [
            [name, self.labels[t], self.labels[b], *row.round(4).tolist()]
            for name, t, b, row in zip(self.names, self.truth, best, self.answers)
        ]
        _write_table(out / "answers.csv", [["clip", "true", "answer", *self.labels], *rows])
        write_image(out / "confusion.png", confusion_matrix(counts, self.labels))


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with whole_file(path) as part, part.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
