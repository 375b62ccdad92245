"""MoveNet MultiPose: equal to the published graph, and its decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.models.multipose import CELL, MultiPose, PeopleMaps, decode
from poseact.models.weights import Card, load, load_multipose, save


def test_maps_equal_the_published_graphs(shared_data: Path) -> None:
    folder = shared_data / "pretrained"
    if not folder.is_dir():
        pytest.skip(f"no pretrained features in {folder}")
    with np.load(folder / "movenet_multipose_parity.npz") as archive:
        expected = {name: torch.from_numpy(archive[name]) for name in archive.files}
    model = MultiPose().eval()
    model.load_movenet(folder / "movenet_multipose.npz")
    shipped = load_multipose("people").model
    frames = expected["x"].permute(0, 3, 1, 2).float() * 0.0078430 - 1
    with torch.inference_mode():
        maps, from_shipped = model(frames), shipped(frames)
    for name, ours in maps._asdict().items():
        torch.testing.assert_close(ours, expected[name], atol=1e-3, rtol=0)
        torch.testing.assert_close(from_shipped._asdict()[name], ours, atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="not MoveNet MultiPose"):
        model.load_movenet(folder / "movenet_thunder.npz")


def painted_maps(people: list[tuple[int, int, float, float]]) -> PeopleMaps:
    """Maps 16 x 24 of people (row, column, height, width) in cells, of joints in their middle."""
    centre = torch.full((1, 1, 16, 24), -9.0)
    size, offset = torch.zeros(1, 2, 16, 24), torch.zeros(1, 2, 16, 24)
    heat = torch.full((1, 17, 16, 24), -9.0)
    for likely, (row, column, height, width) in zip((4.0, 3.0, 2.0), people):
        centre[0, 0, row, column] = likely
        size[0, :, row, column] = torch.tensor([height, width])
        heat[0, :, row, column] = 9.0
    return PeopleMaps(centre, size, offset, torch.zeros(1, 34, 16, 24), heat)


def test_every_peak_is_a_person_with_a_box() -> None:
    (found,) = decode(painted_maps([(8, 4, 6.0, 4.0), (8, 15, 40.0, 6.0)]))
    expected = torch.tensor([[2.0, 5, 6, 11], [12, 0, 18, 16]]) * CELL  # the tall one is cut
    torch.testing.assert_close(found.box, expected)
    torch.testing.assert_close(found.centre, torch.tensor([4.0, 3.0]).sigmoid())
    torch.testing.assert_close(found.score, found.centre, atol=1e-3, rtol=0)


def test_of_neighbours_the_higher_peak_counts_and_nobody_is_nobody() -> None:
    (found,) = decode(painted_maps([(8, 8, 4.0, 4.0), (8, 10, 4.0, 4.0)]))
    assert len(found.box) == 1
    (nobody,) = decode(painted_maps([]))
    assert nobody.box.shape == (0, 4) and nobody.score.shape == (0,)


def test_a_detector_is_no_network_of_poses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="detector"):
        load("people")
    with pytest.raises(ValueError, match="no detector of people"):
        load_multipose("spnet-s")
    with pytest.raises(ValueError, match="divide by 32"):
        MultiPose()(torch.zeros(1, 3, 64, 60))
    card = Card({"width": 1.5, "colour": 1}, "COCO17", (), (0, 0), architecture="multipose")
    path = save(tmp_path / "odd.safetensors", MultiPose(), card)
    with pytest.raises(ValueError, match="unknown settings"):
        load_multipose(path)
