"""Weights -> ONNX: written, compared with PyTorch on a rendered clip, refused if different."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from poseact.core.console import SILENT, Console
from poseact.core.files import whole_file
from poseact.core.machine import default_threads
from poseact.models.exported import CARD, SUFFIX, heads_path, open_onnx
from poseact.models.simplified import simplified
from poseact.models.weights import Card, Network, load
from poseact.people.config import PeopleConfig
from poseact.people.scene import render_clip

TOLERANCE = 1e-4
"""Largest difference from PyTorch: of crop coordinates, depths, scores and probabilities."""
OPSET = 18
MOST = 4096
"""Crops, or windows, in a batch."""


class Written(NamedTuple):
    """Files that were written, and the largest differences from PyTorch."""

    files: tuple[Path, ...]
    pose: float
    score: float
    action: float


def export_onnx(
    weights: str | Path,
    out: str | Path,
    *,
    exit: tuple[int, int] | None = None,
    console: Console = SILENT,
) -> Written:
    """Write the network of frames to `out` (NAME.onnx), its heads to NAME.actions.onnx.

    weights: name of shipped weights or path of a file. exit: (pyramid, level) to stop at. The batch
    may be of any size; a window has as many frames as the card says. ValueError, and nothing
    written, if ONNX Runtime's numbers differ by more than `TOLERANCE` from PyTorch's on a rendered
    clip; ImportError, with the mend, without the extra.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise ValueError(f"an ONNX file is called NAME{SUFFIX}, got {out}")
    check_installed()
    model, card = load(weights, exit=exit)
    if not model.config.actions:
        card = dataclasses.replace(card, labels=())
    card = dataclasses.replace(card, config=dataclasses.asdict(model.config))
    crops = _rendered(card)  # T 3 H W
    with torch.inference_mode():
        seen = model.frames(crops)
        logits = model.actions(tuple(f[None] for f in seen.features))[-1] if card.labels else ()
    small = simplified(model)
    names = [f"features{k}" for k in range(len(seen.features))]
    parts = [_Part(out, FrameGraph(small), (crops,), ["crops"], ["pose", "score", *names])]
    if card.labels:
        windows = tuple(torch.stack([f, f]) for f in seen.features)  # 2 T J ...
        sets = [f"actions{k}" for k in range(len(logits))]
        parts.append(_Part(heads_path(out), HeadGraph(small), windows, names, sets))
    with ExitStack() as unfinished:
        runs = []
        for part in parts:
            console.say(f"writing {part.path}")
            temporary = unfinished.enter_context(whole_file(part.path))
            _write(temporary, part, card)
            runs.append(open_onnx(temporary, default_threads()).run)
        pose_again, score_again, *features = map(torch.from_numpy, runs[0]([crops.numpy()]))
        pose = _largest(pose_again, seen.poses[-1])
        score = _largest(score_again, seen.scores[-1])
        answers = runs[1]([f[None].numpy() for f in features]) if card.labels else []
        pairs = zip(map(torch.from_numpy, answers), logits, strict=True)
        action = max((_largest(a.softmax(-1), b.softmax(-1)) for a, b in pairs), default=0.0)
        if not max(pose, score, action) <= TOLERANCE:
            raise ValueError(
                f"{out} is not kept: it differs from PyTorch by {max(pose, score, action):.1e} "
                f"(at most {TOLERANCE:.0e}) on a rendered clip"
            )
    return Written(tuple(part.path for part in parts), pose, score, action)


class FrameGraph(nn.Module):
    """Crops (N, 3, H, W) -> pose, score and features of the last block."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        out = self.model.frames(crops)
        return (out.poses[-1], out.scores[-1], *out.features)


class HeadGraph(nn.Module):
    """Features (B, T, J, ...) -> logits (B, A) of every action set, the last block's."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return self.model.actions(features)[-1]


class _Part(NamedTuple):
    """A file to write, what it computes, an example of its inputs, and the names of both ends."""

    path: Path
    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: list[str]
    outputs: list[str]


def _write(path: Path, part: _Part, card: Card) -> None:
    several = {0: torch.export.Dim("several", min=1, max=MOST)}
    heads = isinstance(part.module, HeadGraph)
    shapes: Any = ((several,) * len(part.inputs),) if heads else (several,)
    with quiet():
        program: Any = torch.onnx.export(
            part.module.eval(),
            part.example,
            input_names=part.inputs,
            output_names=part.outputs,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
        program.model.metadata_props[CARD] = json.dumps(dataclasses.asdict(card))
        program.save(str(path), external_data=False)


def _rendered(card: Card) -> Tensor:
    """A rendered person as the network sees it: (T, 3, H, W)."""
    height, width = card.size
    people = PeopleConfig(frames=max(card.frames, 2), fps=card.fps, height=height, width=width)
    frames = torch.from_numpy(render_clip(people, 0).frames)
    return frames.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _largest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def check_installed() -> None:
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise ImportError(f"{error.name} is missing: pip install 'poseact[onnx]'") from error
    del onnx, onnxruntime, onnxscript


@contextmanager
def quiet() -> Iterator[None]:
    """The exporter warns of its own inner workings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
