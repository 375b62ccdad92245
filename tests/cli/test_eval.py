"""`poseact eval` on miniature data sets in their own forms, from files to printed numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from poseact import data
from poseact.cli.app import main
from poseact.core.console import Console
from poseact.core.layouts import COCO17, MPII16, PA17, convert, layout_named
from poseact.core.types import Record
from poseact.data.dataset import make_sample
from poseact.data.sets import folder, h36m, mpii, penn
from poseact.data.write import write_folder, write_mpii, write_ntu, write_penn
from poseact.evaluate import actions, benchmarks, poses, views
from poseact.evaluate.benchmarks import Crops, Scores
from poseact.inference.procedures import Actions, ClipProtocol, single_clip
from poseact.media.pictures import write_image
from poseact.models import weights
from poseact.models.spnet import SPNet
from poseact.people.scene import PeopleConfig

NAMES = ("bowl", "golf_swing", "squat", "situp")  # what the four rendered actions are called here
PEOPLE = PeopleConfig(
    frames=4, height=64, width=64, supersample=1, actions=("idle", "walk", "run", "jump")
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEACT_CACHE", str(tmp_path_factory.mktemp("pool")))
        return data.load("people", split="test", people=PEOPLE, clips=4)


@pytest.fixture()
def file(tiny: SPNet, tiny_card: weights.Card, tmp_path: Path) -> Path:
    """A network that knows the classes in another order and spelling than any data set."""
    labels = (("Squat", "sit-up", "bowl", "golf swing"),)
    card = replace(tiny_card, labels=labels, frames=4)
    return weights.save(tmp_path / "tiny.safetensors", tiny, card)


@pytest.fixture(scope="module")
def roots(people: list[Record], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("data")
    write_mpii({"val": people}, base / "mpii")
    each = [replace(record, action=i) for i, record in enumerate(people)]
    write_penn({"test": each}, base / "penn", labels=NAMES)
    write_folder({"train": each, "test": each}, base / "folder", labels=NAMES)
    return {kind: base / kind for kind in ("mpii", "penn", "folder")}


@pytest.fixture()
def score(
    file: Path, roots: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict]:
    """The JSON that `poseact eval --data KIND ...` prints."""

    def run(kind: str, *options: str) -> dict:
        root = ["--root", str(roots[kind])] if kind in roots else []
        command = ["eval", "--weights", str(file), "--data", kind, *root, *options, "--json"]
        status, said = main(command), capsys.readouterr()
        assert status == 0, said.err
        return json.loads(said.out)

    return run


@pytest.fixture()
def complaint(
    file: Path, roots: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """The one line on stderr of a command that fails."""

    def run(kind: str, *options: str) -> str:
        root = ["--root", str(roots[kind])] if kind in roots else []
        status = main(["eval", "--weights", str(file), "--data", kind, *root, *options])
        said = capsys.readouterr()
        assert status == 2 and said.out == "" and said.err.count("\n") == 1
        return said.err

    return run


def test_pckh_of_files_is_that_of_the_common_protocol(
    score: Callable[..., dict], file: Path, roots: dict[str, Path]
) -> None:
    """Same crops, same joints: the older code path in `evaluate` must agree."""
    found = score("mpii")
    records = mpii.load(roots["mpii"], "val")
    model, card = weights.load(file)
    older = views.evaluate(model, card, records).blocks[-1].scores["pckh_0.5"]
    assert found["pckh_0.5"] == pytest.approx(older, abs=1e-3)
    assert (found["data"], found["protocol"], found["split"]) == ("mpii", "pckh", "val")
    assert found["block"] == [2, 0] and found["counts"]["frames"] == len(records) == 16
    assert 0 <= found["pckh_0.2"] < found["pckh_0.5"] < 100


def test_a_block_is_chosen_by_whoever_asks(
    score: Callable[..., dict], complaint: Callable[..., str], file: Path, roots: dict[str, Path]
) -> None:
    last, first = score("mpii"), score("mpii", "--block", "1", "1")
    model, card = weights.load(file)
    records = mpii.load(roots["mpii"], "val")
    expected = benchmarks.mpii_pckh(model.cut(1, 1), card, records).overall
    assert first["block"] == [1, 1]
    assert first["auc_0.5"] == pytest.approx(expected["auc_0.5"], abs=1e-4)
    assert first["auc_0.5"] != last["auc_0.5"]
    assert "no block (9, 9)" in complaint("mpii", "--block", "9", "9")


def test_crops_and_limits(score: Callable[..., dict]) -> None:
    single = score("mpii", "--limit", "5")
    assert single["counts"]["frames"] == 5
    flipped = score("mpii", "--limit", "5", "--views", "flip")
    original = score("mpii", "--limit", "5", "--crop", "original")
    assert len({found["auc_0.5"] for found in (single, flipped, original)}) == 3
    assert original["auc_0.5"] == pytest.approx(single["auc_0.5"], abs=10)
    inside = score("mpii", "--protocol", "pckh-in-crop", "--limit", "5")
    assert inside["protocol"] == "pckh-in-crop"
    assert inside["official_pckh_0.5"] == single["pckh_0.5"]


def by_hand(file: Path, record: Record) -> np.ndarray:
    """Probabilities (A,) of the four frames of a record."""
    model, card = weights.load(file)
    sample = make_sample(record, PA17, size=(64, 64), frames=[0, 1, 2, 3], margin=card.margin)
    with torch.inference_mode():
        return model(sample["frames"][None]).actions[-1][0][0].softmax(-1).numpy()


@pytest.mark.parametrize(
    ("kind", "labels"), [("penn", penn.ACTIONS), ("folder", tuple(sorted(NAMES)))]
)
def test_actions_of_files_meet_the_network_by_name(
    score: Callable[..., dict],
    file: Path,
    roots: dict[str, Path],
    kind: str,
    labels: tuple[str, ...],
) -> None:
    spelt = {"squat": 0, "situp": 1, "bowl": 2, "golf_swing": 3}  # places in the network's set
    reader = penn if kind == "penn" else folder
    records = reader.load(roots[kind], "test")
    right = []
    for record in records:
        answer = int(by_hand(file, record).argmax())
        right.append(answer == spelt[labels[record.action or 0]])
    own = ["--true-box"] if kind == "penn" else []
    found = score(kind, "--protocol", "single-clip", "--step", "1", *own)
    assert found["top1"] == pytest.approx(100 * np.mean(right))
    assert set(found["by_action"]) == set(NAMES)
    assert found["counts"] == {"videos": 4, "short": 0, "videos_left_out": 0}


def test_the_test_people_of_mpii_become_a_file_of_predictions(
    score: Callable[..., dict], complaint: Callable[..., str], roots: dict[str, Path], file: Path
) -> None:
    """In their order, in MATLAB's pixels: as HRNet's array and as the annotation's structs."""
    annotations = roots["mpii"] / "annot"
    people = json.loads((annotations / "valid.json").read_text())[:3]
    bare = [{key: p[key] for key in ("image", "center", "scale")} for p in people]
    (annotations / "test.json").write_text(json.dumps(bare))
    out = file.with_name("pred.mat")
    found = score("mpii", "--split", "test", "--out", str(out))
    assert (found["protocol"], found["split"], found["counts"]) == (
        "predictions",
        "test",
        {"people": 3},
    )
    table = loadmat(out)
    model, card = weights.load(file)
    records = mpii.load(roots["mpii"], "test")
    own = poses.predict_frames(model, card, records, Crops()).xy
    xy = convert(own, layout_named(card.layout), MPII16) + 0.5
    np.testing.assert_allclose(table["preds"], xy, atol=1e-4)
    for row, person, joints in zip(table["pred"].ravel(), bare, xy, strict=True):
        assert row["image"][0, 0]["name"][0, 0].item() == person["image"]
        points = row["annorect"][0, 0]["annopoints"][0, 0]["point"][0, 0].ravel()
        assert [int(p["id"].item()) for p in points] == list(range(16))
        np.testing.assert_allclose([p["y"].item() for p in points], joints[:, 1], atol=1e-4)
    assert "PCKh needs head sizes" in complaint("mpii", "--split", "test", "--protocol", "pckh")


def test_what_was_trained_is_what_is_asked(
    file: Path, roots: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The margin of the kind of data and the step of clips are on the card; the box is found."""
    model, card = weights.load(file)
    card = replace(card, margin=1.25, margins={"penn": 1.5}, step=3)
    trained = weights.save(file.with_name("trained.safetensors"), model, card)
    seen: list[tuple[float, ClipProtocol]] = []

    def predict(
        model: object, card: weights.Card, record: Record, *, protocol: ClipProtocol
    ) -> Actions:
        seen.append((card.margin, protocol))
        return single_clip(model, card, record, protocol=protocol)  # type: ignore[arg-type]

    monkeypatch.setattr(actions, "single_clip", predict)
    for options in ({}, {"step": 1, "predicted_box": False}):
        benchmarks.run(trained, "penn", root=roots["penn"], options=options, limit=1)
    benchmarks.run(file, "penn", root=roots["penn"], limit=1)
    benchmarks.run(trained, "folder", root=roots["folder"], limit=1)
    told = [(margin, how.step, how.predicted_box) for margin, how in seen]
    assert told == [(1.5, 3, True), (1.5, 1, False), (1.25, 6, True), (1.25, 3, False)]


def test_penn_by_clips_by_poses_and_as_released(
    score: Callable[..., dict], complaint: Callable[..., str]
) -> None:
    """Four frames are short of the four times six that a clip spans."""
    single, several = score("penn"), score("penn", "--protocol", "multi-clip")
    assert single["protocol"] == "single-clip" and single["counts"]["short"] == 4
    assert several["top1"] == single["top1"]
    assert score("penn", "--protocol", "released")["top1"] == 100
    given = score("penn", "--protocol", "multi-clip-annotated")
    assert given["counts"] == several["counts"] and len(given["by_action"]) == 4
    assert "in one crop" in complaint(
        "penn", "--protocol", "multi-clip-annotated", "--views", "flip"
    )
    poses = score("penn", "--protocol", "pck-torso", "--step", "3")
    assert poses["counts"]["frames"] == 8 and len(poses["by_joint"]) == 13
    assert 0 < poses["pck_torso_0.2"] < 100


def test_ntu_by_the_kinects_poses(
    file: Path, people: list[Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("throw", "clapping", "hand waving", "kicking something")
    each = [replace(record, action=i) for i, record in enumerate(people)]
    write_ntu({"train": each, "test": each}, tmp_path / "ntu", labels=names)
    model, card = weights.load(file)
    path = weights.save(tmp_path / "net.safetensors", model, replace(card, labels=(names,)))
    command = ["eval", "--weights", str(path), "--data", "ntu", "--root", str(tmp_path / "ntu")]
    assert main([*command, "--protocol", "cross-subject-kinect", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["videos"] == 4 and set(found["by_action"]) == set(names)


def test_own_clips_may_bring_boxes(
    score: Callable[..., dict], complaint: Callable[..., str], tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("clip,x0,y0,x1,y1\n")
    assert score("folder", "--boxes", str(boxes))["counts"]["videos"] == 4
    boxes.write_text("clip,x0,y0,x1,y1\nbowl/other.mp4,1,1,9,9\n")
    assert "bowl/other.mp4" in complaint("folder", "--boxes", str(boxes))
    assert "folder and penn" in complaint("mpii", "--boxes", str(boxes))


def test_what_people_print_is_as_it_was(
    file: Path,
    score: Callable[..., dict],
    capsys: pytest.CaptureFixture[str],
    people: list[Record],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, rendered = {}, people

    def load(
        kind: str, *, split: str, people: PeopleConfig, clips: int, console: Console
    ) -> list[Record]:
        asked.update(kind=kind, split=split, config=people, clips=clips)
        return rendered

    monkeypatch.setattr(data, "load", load)
    found = score("people", "--preset", "hard")
    assert list(found) == [
        *("data", "split", "n", "clips", "left_out"),
        *("pck_torso_0.2", "pckh_0.5", "mpjpe_mm", "p_mpjpe_mm", "pck3d_150", "action_top1"),
        "blocks",
    ]
    assert (found["data"], found["split"], found["n"], found["clips"]) == ("people", "test", 16, 4)
    assert [(b["pyramid"], b["level"]) for b in found["blocks"]] == [(1, 1), (2, 0)]
    assert asked["clips"] == 250 and asked["config"].preset == "hard"
    assert (asked["config"].frames, asked["config"].height) == (4, 64)
    assert main(["eval", "--weights", str(file), "--limit", "3"]) == 0
    title, first, last = capsys.readouterr().out.splitlines()
    assert asked["clips"] == 3 and title == "people test: 12 frames, 3 clips"
    assert first.startswith("block 1 1  pck_torso_0.2 ") and last.startswith("block 2 0  ")
    assert last.endswith(" ms a frame") and " G multiply-adds, " in last


def test_photos_are_scored_as_before_by_default(
    score: Callable[..., dict], shared_data: Path
) -> None:
    root = ["--root", str(shared_data / "lspet"), "--limit", "6"]
    common = score("lspet", *root)
    assert (common["split"], common["n"]) == ("val", 6)
    assert set(common) > {"pck_torso_0.2", "blocks"} and "protocol" not in common
    pck = score("lspet", *root, "--protocol", "pck")
    assert pck["pck_torso_0.2"] == pytest.approx(common["pck_torso_0.2"], abs=1e-3)
    assert len(pck["by_joint"]) == 14


def test_mistakes_are_one_line(complaint: Callable[..., str], tmp_path: Path) -> None:
    assert "unknown data set 'mpi'" in complaint("mpi")
    assert "mpii has the protocols pckh, pckh-in-crop" in complaint("mpii", "--protocol", "p1")
    assert "no option 'step'" in complaint("people", "--step", "2")
    assert "jhmdb needs its folder: --root DIR" in complaint("jhmdb")
    assert "skeletons and no pictures" in complaint("msr3d", "--root", str(tmp_path))
    assert "no COCO keypoints" in complaint("coco", "--root", str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "protocol", "expected"),
    [
        ("ntu", None, {"protocol": "cross_subject", "classes": 60}),
        ("ntu", "cross-view-multi-clip", {"protocol": "cross_view", "classes": 60}),
        ("ntu", "cross-setup-120", {"protocol": "cross_setup", "classes": 120}),
        (
            "ntu",
            "cross-subject-released",
            {"protocol": "cross_subject", "classes": 60, "step": 2},
        ),
        ("h36m", "p2", {"layout": PA17}),
        ("mpi_inf_3dhp", None, {}),
    ],
)
def test_readers_are_asked_for_the_protocols_split(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    protocol: str | None,
    expected: dict,
) -> None:
    asked = []

    def load(root: Path, split: str, **options: object) -> list[Record]:
        asked.append((root, split, options))
        return []

    monkeypatch.setattr(f"poseact.data.sets.{kind}.load", load)
    with pytest.raises(ValueError, match="no record to score|none of the 0 records"):
        benchmarks.run(file, kind, root=tmp_path, protocol=protocol)
    assert asked == [(tmp_path, "test", expected)]


def test_the_originals_form_of_human36m_is_read_in_the_networks_joints(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(h36m, "load", lambda *_, layout: asked.append(layout.name) or [])
    (tmp_path / "annotations.mat").touch()
    with pytest.raises(ValueError, match="no record to score"):
        benchmarks.run(file, "h36m", root=tmp_path)
    assert asked == ["PA17"]


@pytest.mark.usefixtures("without_pycocotools")
def test_coco_from_files_to_a_result_file(complaint: Callable[..., str], tmp_path: Path) -> None:
    names = [joint.replace("l_", "left_").replace("r_", "right_") for joint in COCO17.joints]
    person = {"id": 5, "image_id": 3, "category_id": 1, "bbox": [10, 10, 40, 40]}
    content = {
        "images": [{"id": 3, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
        "annotations": [{**person, "keypoints": [20, 30, 2] * 17}],
    }
    write_image(tmp_path / "coco" / "val2017" / "a.jpg", np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "coco" / "annotations").mkdir()
    path = tmp_path / "coco" / "annotations" / "person_keypoints_val2017.json"
    path.write_text(json.dumps(content))
    out = tmp_path / "found.json"
    said = complaint("coco", "--root", str(tmp_path / "coco"), "--out", str(out))
    assert "pip install 'poseact[coco]'" in said and str(out) in said
    (entry,) = json.loads(out.read_text())
    assert entry["image_id"] == 3 and len(entry["keypoints"]) == 51


# ------------------------------------------------------------------------------- the list


def test_every_kind_of_data_has_a_protocol_or_says_why_not() -> None:
    for kind in data.KINDS:
        if kind in ("msr3d", "sbu", "skeletons"):
            with pytest.raises(ValueError, match=f"{kind} has skeletons and no pictures"):
                benchmarks.find(kind)
        elif kind in ("nobody", "pseudo", "clips"):
            reason = {"nobody": "nothing to score", "pseudo": "to learn from", "clips": "no joints"}
            with pytest.raises(ValueError, match=f"{kind}: .*{reason[kind]}"):
                benchmarks.find(kind)
        else:
            name, benchmark = benchmarks.find(kind)
            assert name == next(iter(benchmarks.PROTOCOLS[kind]))
            assert benchmark.score.__doc__
    defaults = {kind: next(iter(known)) for kind, known in benchmarks.PROTOCOLS.items()}
    assert defaults["people"] == defaults["lspet"] == "common"
    assert (defaults["mpii"], defaults["h36m"], defaults["ntu"]) == ("pckh", "p1", "cross-subject")
    with pytest.raises(
        ValueError, match="mpii has the protocols pckh, pckh-in-crop, predictions; got 'p1'"
    ):
        benchmarks.find("mpii", "p1")
    with pytest.raises(ValueError, match="unknown data set 'lsp'"):
        benchmarks.find("lsp")


def test_options_reach_the_protocol_and_strange_ones_are_refused() -> None:
    _, p1 = benchmarks.find("h36m")
    arguments = p1.arguments({"step": 60, "views": "flip", "root_depth": "stature"})
    assert arguments["root_depth"] == "stature"
    assert (arguments["how"].step, len(arguments["how"].views)) == (60, 2)
    assert p1.arguments({}) == {"how": Crops(step=64)}
    _, clips = benchmarks.find("penn", "multi-clip")
    assert clips.arguments({})["how"] == ClipProtocol(step=6, predicted_box=True)
    assert clips.arguments({"predicted_box": False})["how"] == ClipProtocol(step=6)
    with pytest.raises(ValueError, match="no option 'root_depth'"):
        clips.arguments({"root_depth": "given"})
    _, common = benchmarks.find("people")
    assert common.arguments({"views": "flip"}) == {"views": "flip"}
    with pytest.raises(ValueError, match="no option 'step'; it has views"):
        common.arguments({"step": 2})


def test_a_table_and_json_hold_the_same_numbers() -> None:
    scores = Scores(
        {"a_mm": 1.25, "b": float("nan")},
        {"action": {"Eating": {"a_mm": 2.0}}},
        {"frames": 3},
        ("assumed",),
        "h36m",
        "p1",
        "test",
        (2, 0),
    )
    assert scores.table().splitlines() == [
        "h36m p1, split test, block 2 0: 3 frames",
        "        a_mm  b",
        "all      1.2  nan",
        "Eating   2.0",
        "note: assumed",
    ]
    report = json.loads(scores.to_json())
    assert report["a_mm"] == 1.25 and report["b"] is None and report["block"] == [2, 0]
    assert report["by_action"] == {"Eating": {"a_mm": 2.0}} and report["notes"] == ["assumed"]
