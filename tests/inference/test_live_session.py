from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import small_spnet
from poseact.inference.eager import Eager
from poseact.inference.live_session import AnyExit, ExitChooser, Latency, follow_live, watch_live
from poseact.inference.live_session import Progress as Counts
from poseact.inference.predictor import Predictor
from poseact.media.capture import Capture
from poseact.media.video import VideoReader
from poseact.models.spnet import SPNet
from poseact.models.weights import Card, save
from poseact.results.jsonl import read_jsonl
from small_media import Camera, clip

CONFIG = small_spnet(3, cell_centres=True)


def network() -> SPNet:
    torch.manual_seed(0)
    net = SPNet(CONFIG).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.15)
    return net


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    card = Card(
        dataclasses.asdict(CONFIG), "PA17", (("a", "b", "c"),), (32, 32), frames=4, fps=10.0
    )
    path = save(tmp_path_factory.mktemp("weights") / "tiny.safetensors", network(), card)
    return Predictor(path, detector="none", device="cpu")


# ----------------------------------------------------------------------------------- which exit


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_a_network_that_stops_at_an_exit_is_the_one_cut_there() -> None:
    model, x = network(), crops(2)
    exits = AnyExit(model)
    assert exits.exit == model.exits[-1]
    for now, exit in enumerate(model.exits):
        exits.now = now
        cut = Eager(model.cut(*exit))
        np.testing.assert_allclose(exits.frames(x).pose, cut.frames(x).pose, atol=1e-6)


def test_a_window_of_several_exits_is_answered_by_the_shallowest() -> None:
    model, x = network(), crops(4)
    exits = AnyExit(model)
    features = []
    for t, exits.now in enumerate((2, 0, 1, 2)):
        features.append(exits.frames(x[t : t + 1]).features)
    window = tuple(np.stack(feature, 1) for feature in zip(*features))
    cut = Eager(model.cut(*exits.exits[0]))
    alone = tuple(feature[None] for feature in cut.frames(x).features)
    np.testing.assert_allclose(
        exits.actions(window)[0], cut.actions(alone)[0], rtol=1e-4, atol=1e-4
    )
    assert len(exits.cost_s((32, 32))) == len(exits.exits)


class Machine:
    """Takes 5 ms a frame, and for everybody in it what the exit costs; it may be slower."""

    costs = (0.005, 0.010, 0.020, 0.040)

    def __init__(self, fps: float) -> None:
        self.chooser, self.time_s, self.changes = ExitChooser(self.costs, 1 / fps), 0.0, 0

    def run(self, people: int, seconds: float, slower: float = 1.0) -> int:
        """The exit after so many seconds."""
        end = self.time_s + seconds
        while self.time_s < end:
            before = self.chooser.now
            spent = slower * (0.005 + people * self.costs[before])
            self.time_s += max(spent, 1 / 30)
            self.changes += self.chooser.choose(spent, people, self.time_s) != before
        return self.chooser.now


def test_the_exit_follows_the_number_of_people_and_the_machine() -> None:
    machine = Machine(fps=30)
    assert machine.run(1, 5) == 2  # 25 ms of 33
    assert machine.run(4, 5) == 0  # 25 ms; with the next one 45
    assert machine.run(1, 5) == 2
    assert machine.run(1, 5, slower=2.0) == 1  # 30 ms
    assert machine.run(1, 5) == 2
    assert machine.changes <= 8


def test_an_exit_that_was_too_slow_is_tried_less_and_less() -> None:
    machine = Machine(fps=30)
    machine.costs = (0.005, 0.045)  # it was measured too low
    machine.chooser = ExitChooser((0.005, 0.015), 1 / 30)
    machine.run(1, 120)
    assert machine.changes <= 20 and machine.chooser.now == 0


# ------------------------------------------------------------------------------------- the loop


def test_percentiles_of_latency() -> None:
    latency = Latency()
    assert np.isnan(latency.percentile_ms(50))
    for ms in range(1, 101):
        latency.add(ms / 1000)
    latency.add(1e9)
    assert latency.percentile_ms(50) == pytest.approx(50, abs=1)
    assert latency.percentile_ms(95) == pytest.approx(95, abs=2)


def test_a_file_as_a_camera_is_followed_and_recorded(predictor: Predictor, tmp_path: Path) -> None:
    video = clip(tmp_path / "a.mp4", frames=12)
    with Capture(video, as_camera=True) as capture:
        counts = watch_live(predictor, capture, record=tmp_path / "b.mp4", model="tiny")
    header, results = read_jsonl(tmp_path / "b.jsonl")
    assert (header.model, header.source, header.size) == ("tiny", str(video), (64, 48))
    assert counts.frames == len(results) and counts.frames + counts.dropped == 12
    with VideoReader(tmp_path / "b.mp4") as drawn:
        assert len(list(drawn)) == counts.frames
    assert "dropped" in counts.line() and counts.people == 1
    assert not counts.exits  # there was only one


def test_a_rate_picks_exits_and_the_window_ends_it(predictor: Predictor, tmp_path: Path) -> None:
    class Glance:
        shown = 0

        def show(self, rgb: np.ndarray, /) -> bool:
            self.shown += 1
            return self.shown < 7

    window, model = Glance(), predictor.network.model
    with Capture(clip(tmp_path / "a.mp4", frames=12), as_camera=True) as capture:
        counts = watch_live(predictor, capture, fps=500, window=window)
    assert window.shown == counts.frames <= 7
    assert predictor.network.model is model
    with Capture(tmp_path / "a.mp4", as_camera=True) as capture:
        assert watch_live(predictor, capture, limit=3).frames == 3


def test_another_size_after_a_break_is_fitted_to_the_first(predictor: Predictor) -> None:
    cameras = [Camera(2), Camera(2, size=(160, 90))]
    with Capture(0, reopen=lambda _: cameras.pop(0)) as capture:  # type: ignore[arg-type]
        for frame, result in follow_live(predictor, capture, Counts()):
            assert frame.rgb.shape == (48, 64, 3) and len(result.people) == 1
            if capture.reconnects:
                break
