"""Pictures without people: no joint is inside any crop, and none has a place to learn."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from poseact.core.layouts import PA16, PA17
from poseact.data import nobody
from poseact.data.check import check
from poseact.data.dataset import make_sample, stack
from poseact.models.spnet import SPNet
from poseact.train.config import AUGMENTS, Mix, Stage
from poseact.train.objective import Objective


def places(root: Path, count: int = 40, views: int = 3) -> Path:
    root.mkdir()
    for place in range(count):
        for view in range(views):
            level = np.full((48, 64, 3), 5 * place + view, np.uint8)
            cv2.imwrite(
                str(root / f"place{chr(97 + place % 26)}{place // 26}_x_{view:02d}.png"), level
            )
    return root


def test_splits_share_no_place_and_leave_none_out(tmp_path: Path) -> None:
    root = places(tmp_path / "views")
    found = {split: {r.source for r in nobody.load(root, split)} for split in nobody.SPLITS}
    together = set().union(*found.values())
    assert together == {r.source for r in nobody.load(root, "all")} and len(together) == 120
    of = {split: {name.rsplit("_", 1)[0] for name in names} for split, names in found.items()}
    assert not of["train"] & of["val"] and not of["train"] & of["test"]
    assert len(of["train"]) > 20


def test_no_crop_holds_a_joint(tmp_path: Path) -> None:
    record = nobody.load(places(tmp_path / "views", 2, 1), "all")[0]
    rng = np.random.default_rng(0)
    for _ in range(10):
        params = AUGMENTS["parts"].sample(rng)
        sample = make_sample(record, PA16, size=(32, 32), frames=[0], params=params)
        assert not sample["inside"].any() and not sample["valid"].any()
        assert not sample["pose"][..., :2].isnan().any()  # they are known to be elsewhere


def test_only_confidence_learns_from_them(tmp_path: Path, tiny: SPNet) -> None:
    records = nobody.load(places(tmp_path / "views", 2, 1), "all")
    sample = make_sample(records[0], PA17, size=(64, 64), frames=[0])
    batch = {"nobody": stack([sample])}
    stage = Stage("s", 1, (Mix("nobody", "nobody", 1),), confidence_weight=1.0, action_weight=0.0)
    objective = Objective(tiny.train())
    losses = objective(batch, stage, 0.0)
    assert losses["pose"].item() == 0
    before = losses["confidence"].item()
    optimizer = torch.optim.SGD(tiny.parameters(), lr=0.05)
    for _ in range(10):
        optimizer.zero_grad()
        objective(batch, stage, 0.0)["total"].backward()
        optimizer.step()
    assert objective(batch, stage, 0.0)["confidence"].item() < before


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nobody.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="0 pictures"):
        nobody.load(tmp_path)
    with pytest.raises(ValueError, match="splits are"):
        nobody.load(tmp_path, "other")


def test_the_check_judges_their_pictures_alone(tmp_path: Path) -> None:
    root = places(tmp_path / "views")
    records = {split: nobody.load(root, split) for split in nobody.SPLITS}
    assert check(records).faults == ()
    first = next(iter(records["train"]))
    (root / str(first.source)).write_bytes(b"no picture")
    (fault,) = check(records).faults
    assert (fault.kind, fault.count) == ("picture unreadable", 1)
