"""Augmentation on the device against the workers' OpenCV: same points, nearly the same pixels."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from poseact.core.layouts import PA17
from poseact.core.types import Record
from poseact.data.augment import MILD, NONE, PAPER, STRONG, Augment
from poseact.data.dataset import Batches, Part, make_sample, stack
from poseact.data.device_augment import check_augment, cut, finish

COLOURS = replace(PAPER, gamma=0.3, brightness=0.15, contrast=0.3, saturation=0.5)
SIZE = (64, 64)


def smooth(number: int) -> Record:
    """Waves of colour in a picture that is much larger or a little smaller than the crop."""
    rng = np.random.default_rng(number)
    shape = (90, 70) if number % 2 else (300, 420)
    y, x = np.mgrid[: shape[0], : shape[1]] / max(shape)
    waves = [
        0.5 + 0.45 * np.sin(2 * np.pi * (a * x + b * y + c))
        for a, b, c in rng.uniform(0.3, 1.5, (3, 3))
    ]
    picture = np.rint(np.stack(waves, -1) * 255).astype(np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 2)
    xy = rng.uniform(0.2, 0.8, (5, 17, 2)) * np.array(shape[::-1])
    xy[0, 3] = np.nan
    xyz = np.concatenate([xy, rng.uniform(-900, 900, (5, 17, 1))], -1)
    box = np.tile(np.array([0.25, 0.2, 0.75, 0.8]) * np.tile(shape[::-1], 2), (5, 1))
    return Record(lambda _: picture, xy, PA17, xyz=xyz, box=box, action=number % 3)


RECORDS = [smooth(i) for i in range(6)]


@pytest.mark.parametrize("augment", [NONE, MILD, PAPER, COLOURS])
def test_the_device_does_what_workers_do(augment: Augment) -> None:
    part = Part("a", RECORDS, 12, frames=2, augment=augment, margin=1.25)
    batches = Batches([part], PA17, size=SIZE, seed=5)
    for step in range(2):
        expected = batches[step]["a"]
        cuts = Batches([part], PA17, size=SIZE, seed=5, make=cut)[step]["a"]
        found = finish(cuts, PA17, size=SIZE)  # type: ignore[arg-type]
        assert cuts["frames"].dtype == torch.uint8 and found["frames"].dtype == torch.float32
        assert torch.allclose(found["pose"], expected["pose"], atol=1e-5, equal_nan=True)
        for key in ("valid", "inside", "action", "to_image"):
            assert torch.equal(found[key], expected[key]), key  # type: ignore[literal-required]
        levels = (found["frames"] - expected["frames"]).abs() * 127.5
        of = [batches.record_index(0, step * 12 + i) for i in range(12)]
        clear = torch.stack([within(RECORDS[r], m) for r, m in zip(of, found["to_image"][:, 0])])
        assert clear.float().mean() > 0.4
        seen = levels.permute(0, 3, 4, 1, 2)[clear]
        assert float(seen.mean()) < 0.7 and float(seen.quantile(0.999)) <= 5


def within(record: Record, to_image: torch.Tensor) -> torch.Tensor:
    """(64, 64) which pixels of a crop are well inside the picture: its black border differs."""
    assert record.frame is not None
    height, width = record.frame(0).shape[:2]
    centres = (torch.arange(64) + 0.5) / 64
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    x, y = (torch.stack([u, v, torch.ones_like(u)], -1) @ to_image[:2].T).unbind(-1)
    rim = 4 * float(torch.linalg.det(to_image[:2, :2]).abs()) ** 0.5 / 64
    return (x > rim) & (x < width - rim) & (y > rim) & (y < height - rim)


def test_a_red_wrist_stays_red() -> None:
    """Paint l_wrist red: after any augmentation the pixel at l_wrist is red, mirrored or not."""
    wrist, rng = PA17.index("l_wrist"), np.random.default_rng(0)
    picture = np.zeros((200, 200, 3), np.uint8)
    xy = np.full((1, 17, 2), 100.0)
    xy[0, wrist] = 120.5, 80.5
    cv2.circle(picture, (120, 80), 9, (255, 0, 0), -1)
    box = np.array([[50.0, 50, 150, 150]])
    record = Record(lambda _: picture, xy, PA17, box=box)
    chosen = [PAPER.sample(rng) for _ in range(16)]
    assert {params.flip for params in chosen} == {True, False}
    cuts = [cut(record, PA17, size=SIZE, frames=[0], params=params) for params in chosen]
    sample = finish(stack(cuts), PA17, size=SIZE)
    shown = 0
    for params, frames, pose in zip(chosen, sample["frames"], sample["pose"]):
        joint = PA17.flip[wrist] if params.flip else wrist
        u, v = pose[0, joint, :2].tolist()
        if 0 < u < 1 and 0 < v < 1:
            colour = frames[0, :, int(v * 64), int(u * 64)]
            assert colour[0] > 0.9 and float(colour[1:].max()) < -0.9
            shown += 1
    assert shown >= 12


def test_half_precision_changes_nothing() -> None:
    chosen = [COLOURS.sample(np.random.default_rng(i)) for i in range(4)]
    cuts = stack(
        [cut(RECORDS[0], PA17, size=SIZE, frames=[0, 1], params=params) for params in chosen]
    )
    plain = finish(cuts, PA17, size=SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        half = finish(cuts, PA17, size=SIZE)
    assert torch.equal(half["frames"], plain["frames"]) and half["frames"].dtype == torch.float32
    assert torch.equal(half["pose"].nan_to_num(), plain["pose"].nan_to_num())


def test_what_only_workers_do_is_refused() -> None:
    check_augment("a", COLOURS)
    with pytest.raises(ValueError, match="part a: blur, noise, jpeg, cutout are done by workers"):
        check_augment("a", STRONG)
    nothing = Record(None, np.zeros((1, 17, 2)), PA17)
    for make in (cut, make_sample):
        with pytest.raises(ValueError, match="no pictures"):
            make(nothing, PA17, size=SIZE, frames=[0])
