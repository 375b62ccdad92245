"""Recorded sequences seen by a camera and lifted again; the classifier that learns from both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments import lifted_actions
from experiments.lifted_actions import DETECTOR, lifted
from poseact.core.layouts import MSR20
from poseact.evaluate.metrics import p_mpjpe
from poseact.models.weights import load_lifter
from poseact.skeletons.classifier import Take, open_takes
from poseact.skeletons.classifier_file import load_classifier
from small_search import reads, tiny

__all__ = ["reads"]  # the fixture


@pytest.fixture()
def wave(shared_data: Path) -> Take:
    path = shared_data / "skeletons" / "msr_action3d.npz"
    with pytest.warns(UserWarning, match="published list"):
        return open_takes("msr3d", path, "train", subset="AS2")[0]


def test_a_lifted_take_is_the_recorded_one_as_its_joints_show_it(wave: Take) -> None:
    lifter = load_lifter("lifter").model
    exact, seen = (lifted(wave, lifter, detector=d) for d in (None, DETECTOR))
    assert exact.layout is MSR20 and exact.poses.shape == wave.poses.shape
    assert (exact.action, exact.subject, exact.source) == (wave.action, wave.subject, wave.source)
    limbs = [j for j, name in enumerate(MSR20.joints) if name[2:] not in ("hand", "foot")]
    errors = [
        p_mpjpe(take.poses[:, 0, limbs], wave.poses[:, 0, limbs].astype(float)).mean
        for take in (exact, seen)
    ]
    assert errors[0] < 90 and errors[0] < errors[1] < 150  # mm
    wrist, hand = MSR20.index("l_wrist"), MSR20.index("l_hand")
    np.testing.assert_array_equal(exact.poses[..., hand, :], exact.poses[..., wrist, :])


def test_what_learned_from_both_is_left(
    reads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lifted_actions, "small", lambda *_: tiny(same_bones=True))
    lifted_actions.main(["--root", "nowhere", "--epochs", "1", "-o", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[3:6]] == [
        "| recorded",
        "| lifted, simulated detector",
        "| both",
    ]
    left = load_classifier(tmp_path / "out" / "classifier.safetensors")
    assert left.card.provenance["lifted"] and left.pictures.bones is not None
    assert str(tmp_path) in lines[6]
