"""Sequences that no network recognises, from answers counted by hand and from a small search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments import msr_missed
from poseact.core.layouts import MSR20
from poseact.skeletons.classifier import Take
from poseact.skeletons.learn.search import search
from poseact.skeletons.learn.search_table import compare
from small_search import reads, tiny

__all__ = ["reads"]  # the fixture


def test_nobody_gets_it_right_only_where_nobody_does() -> None:
    takes = [Take(np.zeros((1, 1, 20, 3)), MSR20, n % 2, "2", f"a{n}") for n in range(3)]
    answers = np.array([[0, 0, 1], [0, 2, 0], [1, 0, 1]])  # of three networks
    found = msr_missed.missed(takes, answers)
    assert found.networks == 3
    assert found.right == pytest.approx([2 / 3, 0, 1 / 3])
    ((take, wrong),) = found.takes
    assert take.source == "a1" and wrong == [(0, 2), (2, 1)]


def test_networks_can_be_trained_for_it(
    reads: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(msr_missed, "small", lambda *where: tiny(subset=where[2]))
    msr_missed.main(["--root", "nowhere.npz", "--temporal", "1", "--random", "1"])
    lines = capsys.readouterr().out.splitlines()
    starts = [line for line in lines if " networks, " in line]
    assert [line.split(",")[0] for line in starts] == [f"AS{n}: 3 networks" for n in (1, 2, 3)]


def test_the_table_of_a_run(
    reads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search(tiny(), tmp_path / "run")
    compare(tiny(), tmp_path / "run", seeds=2, random=1, controls=(), control_seeds=1)
    msr_missed.main([str(tmp_path / "run"), "--root", "nowhere.npz"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("all: 3 networks, ") and " of 8 sequences nobody" in lines[0]
    assert lines[-1].startswith("mean: ")
    shares = [float(word) for word in lines[-1].replace("%", "").split() if word[0].isdigit()]
    assert 0 <= shares[0] <= shares[1] <= 100
