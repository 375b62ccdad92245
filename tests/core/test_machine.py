"""How many cores we may use: affinity, containers, the user's wish."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseact.core import machine
from poseact.core.machine import default_threads, usable_cores


def test_a_container_s_share_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine._container_share(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine._container_share(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert machine._container_share(tmp_path) == 1.5
    older = tmp_path / "v1"
    (older / "cpu").mkdir(parents=True)
    (older / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (older / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert machine._container_share(older) is None
    (older / "cpu/cpu.cfs_quota_us").write_text("50000\n")
    assert machine._container_share(older) == 0.5
    monkeypatch.setattr(machine, "_container_share", lambda: 0.5)
    assert usable_cores() == 1


def test_threads_are_those_that_were_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert 1 <= default_threads() <= usable_cores()
