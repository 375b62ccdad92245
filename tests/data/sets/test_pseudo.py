"""Pseudo-labels: their weights, splits without an overlap, and what is said of missing files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.core.layouts import COCO17, LSP14, PA17
from poseact.data.dataset import make_sample
from poseact.data.sets import pseudo

LIMBS = np.array(LSP14.joints[:12])
COUNT = 40


def pack(root: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """JPEGs of one grey level each, and where they lie."""
    (root / name).mkdir(parents=True)
    (root / "teacher").mkdir(exist_ok=True)
    offset, size = np.zeros(COUNT, np.int64), np.zeros(COUNT, np.int64)
    with (root / name / "images_0.bin").open("wb") as file:
        for i in range(COUNT):
            offset[i] = file.tell()
            data = cv2.imencode(".jpg", np.full((60, 40, 3), 5 * i, np.uint8))[1].tobytes()
            size[i] = file.write(data)
    return offset, size


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    part = np.zeros(COUNT, np.int16)
    depths = {"xyz_mm": rng.normal(size=(COUNT, 17, 3)), "weight": np.full((COUNT, 17), 0.8)}
    offset, size = pack(tmp_path, "lspet")
    visible = np.ones((COUNT, 14), bool)
    visible[3, 13] = False
    np.savez(
        tmp_path / "lspet/lspet.npz",
        part=part,
        offset=offset,
        size=size,
        val=np.arange(COUNT) < 4,
        joints=rng.uniform(5, 35, (COUNT, 14, 2)),
        visible=visible,
    )
    fused = rng.uniform(5, 35, (COUNT, 12, 2))
    fused[5, 2] = np.nan
    np.savez(
        tmp_path / "teacher/lspet_teacher.npz",
        fused=fused,
        weight=np.full((COUNT, 12), 0.7),
        limb_names=LIMBS,
    )
    np.savez(tmp_path / "teacher/lspet_blaze3d.npz", **depths)
    offset, size = pack(tmp_path, "people")
    weight = np.full((COUNT, 17), 0.9)
    weight[7, 6:] = 0  # five joints are too few
    names = np.array([f"exercise{i // 2}/{i % 2}" for i in range(COUNT)])
    np.savez(
        tmp_path / "people/people.npz",
        part=part,
        offset=offset,
        size=size,
        name=names,
        source=np.array(["gym", "street"])[np.arange(COUNT) % 2],
        box=np.tile([1.0, 2, 30, 50], (COUNT, 1)),
        box_known=np.arange(COUNT) % 2 == 0,
    )
    np.savez(
        tmp_path / "people/people_teacher.npz",
        joints=rng.uniform(5, 35, (COUNT, 17, 2)),
        weight=weight,
        source=np.array(["gym", "street"])[np.arange(COUNT) % 2],
    )
    np.savez(tmp_path / "teacher/people_blaze3d.npz", **depths)
    return tmp_path


def test_limbs_are_fused_and_the_head_is_the_crowds(root: Path) -> None:
    records = pseudo.load(root, "all", pack="lspet")
    fused = np.load(root / "teacher/lspet_teacher.npz")["fused"]
    crowd = np.load(root / "lspet/lspet.npz")["joints"]
    assert len(records) == COUNT and all(r.layout is PA17 for r in records)
    wrist, head = PA17.index("l_wrist"), PA17.index("head")
    row = int(np.flatnonzero(LIMBS == "l_wrist")[0])
    np.testing.assert_allclose(records[0].xy[0, wrist], fused[0, row], rtol=1e-6)
    np.testing.assert_allclose(records[0].xy[0, head], crowd[0, 13], rtol=1e-6)
    weight = records[0].weight
    assert weight is not None and weight[0, wrist, 0] == pytest.approx(0.7)
    assert weight[0, head, 0] == pytest.approx(pseudo.CROWD_WEIGHT)
    assert weight[0, wrist, 2] == pytest.approx(0.8 * pseudo.DEPTH_WEIGHT)
    assert weight[0, head, 2] == pytest.approx(0.8 * pseudo.DEPTH_WEIGHT)
    assert weight[0, PA17.index("neck"), 2] == 0  # which the 3D network lacks


def test_what_nobody_knows_weighs_nothing(root: Path) -> None:
    records = pseudo.load(root, "all", pack="lspet")
    hidden = records[3].weight
    assert hidden is not None and hidden[0, PA17.index("head")].sum() == 0
    hip = records[5]
    assert hip.weight is not None and str(LIMBS[2]) == "r_hip"
    assert np.isnan(hip.xy[0, PA17.index("r_hip")]).all()
    assert hip.weight[0, PA17.index("r_hip")].sum() == 0
    sample = make_sample(hip, PA17, size=(32, 32), frames=[0])
    assert bool((sample["weight"][0][sample["pose"][0, :, 0].isnan()] == 0).all())


def test_splits_share_nothing_and_series_stay_together(root: Path) -> None:
    found = {s: pseudo.load(root, s, pack="people") for s in ("train", "val", "all")}
    numbers = {s: {r.frame(0)[0, 0, 0] // 5 for r in rs} for s, rs in found.items()}  # type: ignore[misc]
    assert not numbers["train"] & numbers["val"]
    assert numbers["train"] | numbers["val"] == numbers["all"] and len(numbers["all"]) == COUNT - 1
    assert {n // 2 for n in numbers["train"]}.isdisjoint({n // 2 for n in numbers["val"]})
    assert len(pseudo.load(root, "val", pack="lspet")) == 4


def test_known_boxes_are_taken_and_others_are_about_the_joints(root: Path) -> None:
    first, second = pseudo.load(root, "all", pack="people")[:2]
    assert first.box is not None and first.box[0].tolist() == [1, 2, 30, 50]
    assert second.box is not None
    np.testing.assert_allclose(second.box[0, :2], np.nanmin(second.xy[0], 0), rtol=1e-5)


def test_one_source(root: Path) -> None:
    assert {r.source for r in pseudo.load(root, "all", source="gym")} == {"people gym"}
    with pytest.raises(ValueError, match="nothing of split"):
        pseudo.load(root, "all", source="moon")


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(ValueError, match="splits are"):
        pseudo.load(root, "test")
    (root / "people/people_teacher.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"people_teacher\.npz"):
        pseudo.load(root, "all", pack="people")


def test_the_real_packs(shared_data: Path) -> None:
    if not (shared_data / "teacher").is_dir():
        pytest.skip("no pseudo-labels in the shared data")
    for name, least in (("lspet", 9000), ("people", 4500)):
        records = pseudo.load(shared_data, "all", pack=name)  # type: ignore[arg-type]
        assert len(records) > least
        sample = make_sample(records[0], PA17, size=(64, 64), frames=[0])
        assert float(sample["weight"].max()) <= 1 and bool(sample["inside"].any())
    assert len(COCO17) == 17
