"""MoveNet MultiPose: equal to the published graph, and its decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.models.multipose import MultiPose
from poseact.models.people_maps import CELL, Found, decode
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


def decoded(people: list[tuple[int, int, float, float]]) -> Found:
    """Of maps 16 x 24 with people (row, column, height, width) in cells, of joints in their
    middle."""
    centre = np.full((1, 16, 24), -9.0, np.float32)
    size, offset = np.zeros((2, 2, 16, 24), np.float32)
    heat = np.full((17, 16, 24), -9.0, np.float32)
    for likely, (row, column, height, width) in zip((4.0, 3.0, 2.0), people):
        centre[0, row, column] = likely
        size[:, row, column] = height, width
        heat[:, row, column] = 9.0
    return decode(centre, size, offset, np.zeros((34, 16, 24), np.float32), heat)


def test_every_peak_is_a_person_with_a_box() -> None:
    found = decoded([(8, 4, 6.0, 4.0), (8, 15, 40.0, 6.0)])
    expected = np.array([[2.0, 5, 6, 11], [12, 0, 18, 16]]) * CELL  # the tall one is cut
    np.testing.assert_allclose(found.box, expected, rtol=1e-6)
    np.testing.assert_allclose(found.centre, 1 / (1 + np.exp([-4.0, -3.0])), rtol=1e-5)
    np.testing.assert_allclose(found.score, found.centre, atol=1e-3)


def test_of_neighbours_the_higher_peak_counts_and_nobody_is_nobody() -> None:
    assert len(decoded([(8, 8, 4.0, 4.0), (8, 10, 4.0, 4.0)]).box) == 1
    nobody = decoded([])
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
