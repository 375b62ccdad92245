"""The original's random networks give the original's numbers: weights in, outputs compared.

Every folder of $POSEACT_PARITY that holds config.json, weights.h5 and io.npz is a case; by default
those of `shared/parity/public` beside the repository.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import SHARED
from poseact.models.layers import global_max_min, spatial_softmax
from poseact.models.multitask import Multitask
from poseact.models.multitask_actions import PoseActions
from poseact.models.original.blueprints import read_constructor
from poseact.models.original.convert import fill, import_file
from poseact.models.original.hdf5 import opened
from poseact.models.spnet import SPNet

pytest.importorskip("h5py", reason="no h5py: pip install poseact[keras]")

FOLDER = Path(os.environ.get("POSEACT_PARITY", SHARED / "parity" / "public"))
CASES = sorted(path.parent for path in FOLDER.glob("*/weights.h5"))

POSE, ACTION = 1e-4, 1e-3
"""Largest error of poses and confidences, and of action probabilities."""

Named = list[tuple[str, Tensor]]
"""Outputs in the original's order with what they are: pose, action, or unbounded numbers."""


def last(maps: Tensor) -> Tensor:
    """(..., J, h, w) as the original has it, (..., h, w, J)."""
    return maps.movedim(-3, -1)


def spnet_outputs(model: SPNet, args: dict[str, Any], x: Tensor) -> Named:
    clip = x.ndim == 5
    x = (x if clip else x[:, None]).movedim(-1, 2)
    out, frames = model(x), model.frames(x.flatten(0, 1))
    poses = [torch.cat([p, s[..., None]], -1) for p, s in zip(out.poses, out.scores)]
    named = [("pose", p if clip else p[:, 0]) for p in poses]
    named += [("action", logits.softmax(-1)) for block in out.actions for logits in block]
    if args.get("dbg_decoupled_pose"):
        back = x.shape[:2]
        for pose, score, _ in frames.decoupled:
            both = torch.cat([pose[..., :2], score[..., None]], -1)
            named.append(("pose", both.unflatten(0, back)))
        for _, _, maps in frames.decoupled:
            prob = spatial_softmax(maps, model.config.alpha)
            named.append(("pose", last(prob).unflatten(0, back)))
    return named


def reception_outputs(model: Multitask, args: dict[str, Any], x: Tensor) -> Named:
    raw = model.config.dim == 2 and model.config.confidence == "window_sum_raw"
    out = model.frames(x.movedim(-1, 1))
    named: Named = []
    for pose, score, maps in zip(out.poses, out.scores, out.heatmaps):
        if args.get("concat_pose_confidence", True):
            kind = "pose, unbounded confidence" if raw else "pose"
            named.append((kind, torch.cat([pose, score[..., None]], -1)))
        else:
            named += [("pose", pose), ("unbounded" if raw else "pose", score[..., None])]
        if args.get("export_heatmaps"):
            named.append(("unbounded", last(maps)))
    return named


def merge_outputs(model: Multitask, args: dict[str, Any], x: Tensor) -> Named:
    raw = model.config.dim == 2 and model.config.confidence == "window_sum_raw"
    out = model(x.movedim(-1, 2))
    named: Named = []
    if args.get("output_poses"):
        named.append(("pose", out.poses[-1]))
        named.append(("unbounded" if raw else "pose", out.scores[-1][..., None]))
    return named + [("action", logits.softmax(-1)) for (logits,) in out.actions]


def outputs(folder: Path) -> tuple[Named, list[Tensor]]:
    """What our network says of the stored inputs, and what the original said."""
    constructor = read_constructor(folder / "config.json")
    kind, args = constructor["kind"], constructor.get("args", {})
    with np.load(folder / "io.npz") as io:
        stored = {name: torch.from_numpy(io[name]) for name in io.files if name != "output_names"}
    inputs = [stored[name] for name in sorted(stored) if name.startswith("input_")]
    wanted = [stored[name] for name in sorted(stored) if name.startswith("output_")]
    if kind == "pose_ar":
        version = args.get("network_version", "v1")
        head = PoseActions(args["pose_dim"], args["num_actions"], version=version).eval()
        with opened(folder / "weights.h5") as groups:
            fill(head, groups)
        maps = head(inputs[0] * inputs[1])
        return [("action", global_max_min(m).softmax(-1)) for m in maps], wanted
    model = import_file(folder / "weights.h5", config=folder / "config.json").model
    if kind == "spnet":
        assert isinstance(model, SPNet)
        return spnet_outputs(model, args, inputs[0]), wanted
    assert isinstance(model, Multitask)
    if kind == "reception":
        return reception_outputs(model, args, inputs[0]), wanted
    return merge_outputs(model, constructor["merge_args"], inputs[0]), wanted


def allowed(kind: str, wanted: Tensor) -> Tensor:
    """The largest error of every number; those that have no bounds may be off in proportion."""
    tolerance = torch.full_like(wanted, ACTION if kind == "action" else POSE)
    if kind == "unbounded":
        return tolerance * (1 + wanted.abs())
    if kind == "pose, unbounded confidence":
        tolerance[..., -1] *= 1 + wanted[..., -1].abs()
    return tolerance


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
@torch.no_grad()
def test_numbers_of_the_original(folder: Path) -> None:
    ours, wanted = outputs(folder)
    assert len(ours) == len(wanted)
    for i, ((kind, mine), theirs) in enumerate(zip(ours, wanted)):
        assert mine.shape == theirs.shape, f"output {i}"
        assert mine.isfinite().all(), f"output {i}"
        share = ((mine - theirs).abs() / allowed(kind, theirs)).max()
        assert share <= 1, f"output {i} ({kind}) is off by {share:.2f} times what is allowed"


def test_there_is_something_to_compare() -> None:
    if not CASES:
        pytest.skip(f"no parity data in {FOLDER} (set POSEACT_PARITY)")
    for folder in CASES:
        assert (folder / "config.json").is_file() and (folder / "io.npz").is_file(), folder
