"""NTU RGB+D read once: skeletons in parallel and kept; packed crops in place of the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseact.cli.app import main
from poseact.core.layouts import NTU25
from poseact.core.types import Record
from poseact.data.sets import ntu, ntu_skeletons
from poseact.data.write import write_ntu
from tests.data.sets.test_ntu import sample

NAMES = [f"S001C00{c}P00{p}R001A00{a}" for c in (1, 2) for p in (1, 3) for a in (1, 2, 3)]


@pytest.fixture()
def many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Twelve samples are many, in units of five; the cache."""
    monkeypatch.setattr(ntu, "MANY", 10)
    monkeypatch.setattr(ntu_skeletons, "MANY", 10)
    monkeypatch.setattr(ntu_skeletons, "_UNIT", 5)
    monkeypatch.setenv("POSEACT_CACHE", str(tmp_path / "cache"))
    for seed, name in enumerate(NAMES):
        sample(tmp_path / "data", name, seed)
    return tmp_path / "cache" / "ntu"


def alike(one: list[Record], two: list[Record]) -> bool:
    assert [r.source for r in one] == [r.source for r in two]
    for a, b in zip(one, two, strict=True):
        assert a.xyz is not None and b.xyz is not None
        np.testing.assert_allclose(a.xy, b.xy, atol=1e-3)
        np.testing.assert_allclose(a.xyz, b.xyz, atol=1e-2)
        np.testing.assert_array_equal(a.visible, b.visible)
    return True


def test_many_skeletons_are_read_once(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    with monkeypatch.context() as patch:
        patch.setattr(ntu, "MANY", 100)
        patch.setattr(ntu_skeletons, "MANY", 100)
        plain = {split: ntu.load(root, split) for split in ("train", "test")}
    assert not many.exists()
    first = {split: ntu.load(root, split, workers=2) for split in plain}
    assert len(list(many.glob("*.bodies.npy"))) == 3
    with monkeypatch.context() as patch:  # not one file is opened again
        patch.setattr(ntu_skeletons, "main_body", None)
        again = {split: ntu.load(root, split) for split in plain}
    for split, records in plain.items():
        assert len(records) == 6 and alike(records, first[split]) and alike(records, again[split])


def test_a_changed_file_is_read_again(many: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    before = ntu.load(root, "all")
    sample(root, NAMES[0], 77)
    (root / "nturgb+d_skeletons" / f"{NAMES[0]}.skeleton").touch()
    after = ntu.load(root, "all")
    assert not np.allclose(before[0].xy, after[0].xy) and alike(before[1:], after[1:])
    assert len(list(many.glob("*.bodies.npy"))) == 4
    (root / "nturgb+d_skeletons" / f"{NAMES[3]}.skeleton").write_text("12 torn")
    with pytest.raises(ValueError, match=NAMES[3]):
        ntu.load(root, "all")


def person(number: int) -> Record:
    """Somebody in the middle of a large picture, red on the left wrist."""
    rng = np.random.default_rng(number)
    xy = rng.uniform([500, 200], [700, 500], (6, 25, 2))
    xyz = np.concatenate([xy - 400, np.full((6, 25, 1), 3000.0)], -1)

    def frame(t: int) -> np.ndarray:
        picture = np.full((720, 1280, 3), 110, np.uint8)
        x, y = np.rint(xy[t, NTU25.index("l_wrist")]).astype(int)
        picture[y - 12 : y + 12, x - 12 : x + 12] = (240, 20, 20)
        return picture

    return Record(frame, xy, NTU25, xyz=xyz, action=number % 2)


def test_packed_crops_are_read_in_place_of_the_original(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same samples, splits and steps; the wrist is where the paint is."""
    people = {"train": [person(0), person(1)], "test": [person(2)]}
    write_ntu(people, tmp_path / "ntu", labels=("throw", "clapping"))
    command = ["data", "convert", "ntu", str(tmp_path / "ntu"), "-o", str(tmp_path / "packed")]
    assert main(command) == 0 and main(command) == 0
    assert "3 records" in capsys.readouterr().out
    for protocol in ("cross_subject", "cross_view"):
        for split in ("train", "test", "all"):
            for step in (1, 2):
                options = {"protocol": protocol, "step": step}
                original = ntu.load(tmp_path / "ntu", split, **options)
                packed = ntu.load(tmp_path / "packed", split, **options)
                assert [(r.source, r.action, len(r)) for r in packed] == [
                    (r.source, r.action, len(r)) for r in original
                ]
    one, two = original[0], packed[0]  # of all, every second frame
    assert two.frame is not None and one.xyz is not None and two.xyz is not None
    picture = two.frame(1)
    assert max(picture.shape) <= 341
    x, y = two.xy[1, NTU25.index("l_wrist")].astype(int)
    assert picture[y, x, 0] > 150 > picture[y, x, 1]
    np.testing.assert_allclose(one.xyz, two.xyz, atol=1e-3)
    kinect = ntu.load(tmp_path / "packed", "all", step=2, sides="kinect")[0]
    np.testing.assert_array_equal(kinect.xy, two.xy[:, list(NTU25.flip)])
