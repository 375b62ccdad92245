"""Networks of the original project, known by their arguments or by the shapes of their tensors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import SHARED
from poseact.cli.app import main
from poseact.core.layouts import DEEPHAR_INDEX, NTU25, PA16, PA20
from poseact.models.bounds import check_size
from poseact.models.multitask import MultitaskConfig
from poseact.models.original import zoo
from poseact.models.original.blueprints import (
    from_constructor,
    read_constructor,
    recognise,
)
from poseact.models.original.hdf5 import Groups, Weight, opened
from poseact.models.spnet import SPNetConfig

LAYOUTS = sorted((SHARED / "parity" / "full_layouts").glob("*.json"))

# ------------------------------------------------------------------------------- arguments


def test_defaults_of_the_original() -> None:
    args = {"input_shape": [256, 256, 3], "action_pyramids": []}
    blueprint = from_constructor({"kind": "spnet", "args": args})
    assert blueprint.config == SPNetConfig()
    assert (blueprint.layout, blueprint.size, blueprint.frames) == ("PA16", (256, 256), 1)


def test_pyramids_that_are_not_there_predict_no_actions() -> None:
    args = {"input_shape": [8, 64, 64, 3], "num_actions": [5], "num_pyramids": 1}
    config = from_constructor({"kind": "spnet", "args": args}).config
    assert isinstance(config, SPNetConfig) and config.action_pyramids == (1,)
    args["action_pyramids"] = [2]
    config = from_constructor({"kind": "spnet", "args": args}).config
    assert config.actions == ()


@pytest.mark.parametrize("branch", ["cvpr18", "master"])
def test_code_lines_differ_in_confidence_and_depths(branch: str) -> None:
    args = {"input_shape": [256, 256, 3], "num_joints": 17, "dim": 3}
    config = from_constructor({"kind": "reception", "branch": branch, "args": args}).config
    assert isinstance(config, MultitaskConfig)
    assert config.depth_centres == (branch == "master")
    assert config.confidence == {"cvpr18": "sigmoid_max", "master": "window_sum_raw"}[branch]
    assert (config.blocks, config.kernel, config.depth_maps) == (4, (3, 3), 16)


@pytest.mark.parametrize(
    ("layout", "name"), [("pa20j3d", "PA20"), ([17, 3], "JOINTS17"), ("pa5j2d", "JOINTS5")]
)
def test_layouts(layout: object, name: str) -> None:
    args = {"input_shape": [64, 64, 3], "poselayout": layout, "action_pyramids": []}
    assert from_constructor({"kind": "spnet", "args": args}).layout == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "does not say what to build"),
        ('{"kind": "lstm"}', "'lstm' is no whole network"),
        ('{"kind": "spnet"}', "cannot be read"),
        ('{"kind": "spnet", "args": {}}', "missing arguments input_shape"),
        ('{"kind": "spnet", "args": {"input_shape": [8, 8, 3], "x": 1}}', "unknown arguments x"),
        ('{"kind": "spnet", "args": {"input_shape": [8, 8, 3], "poselayout": "coco"}}', "coco"),
        ('{"kind": "spnet", "args": {"input_shape": [8, 8, 3], "poselayout": [9, 4]}}', "2 or 3"),
    ],
)
def test_configurations_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        from_constructor(read_constructor(tmp_path / "config.json"))


@pytest.mark.parametrize("changes", [{"pyramids": 65}, {"levels": 9}, {"image_div": 128}])
def test_bounds(changes: dict[str, Any]) -> None:
    check_size(SPNetConfig())
    check_size(MultitaskConfig())
    with pytest.raises(ValueError, match=f"{next(iter(changes))} are more than any"):
        check_size(replace(SPNetConfig(), **changes))


# ------------------------------------------------------------------------------- shapes


def shapes(layout: dict[str, Any]) -> Groups:
    """What `opened` gives for a file of these names and shapes, without numbers."""
    groups: Groups = {}
    for group in layout["h5_layers"]:
        for weight in group["weights"]:
            layer, role = weight["name"].removesuffix(":0").rsplit("/", 1)
            found = groups.setdefault(group["name"], {}).setdefault(layer, {})
            found[role] = Weight(layer, role, tuple(weight["shape"]), None)
    return groups


@pytest.mark.parametrize("path", LAYOUTS, ids=lambda path: path.stem)
def test_full_size_networks_are_recognised(path: Path) -> None:
    found = recognise(shapes(json.loads(path.read_text())))
    built = from_constructor(read_constructor(path))
    assert found.config == built.config
    assert (found.layout, found.size) == (built.layout, built.size)


@pytest.mark.parametrize("name", ["full_reception_h36m_k8", "full_merge_ntu_k4"])
def test_files_of_full_size_are_recognised(name: str, tmp_path: Path) -> None:
    path = SHARED / "parity" / "full_layouts" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path} (set POSEACT_SHARED)")
    h5py = pytest.importorskip("h5py", reason="no h5py: pip install poseact[keras]")
    layout = json.loads(path.read_text())
    with h5py.File(tmp_path / "net.h5", "w") as h5:  # HDF5 does not store the zeros
        h5.attrs["layer_names"] = [layer["name"] for layer in layout["h5_layers"]]
        for layer in layout["h5_layers"]:
            group = h5.create_group(layer["name"])
            group.attrs["weight_names"] = [weight["name"] for weight in layer["weights"]]
            for weight in layer["weights"]:
                group.create_dataset(weight["name"], weight["shape"], "f4", chunks=True)
    assert (tmp_path / "net.h5").stat().st_size < 2**22
    with opened(tmp_path / "net.h5") as groups:
        assert recognise(groups).config == from_constructor(read_constructor(path)).config


def test_other_names_are_not_recognised() -> None:
    with pytest.raises(ValueError, match="no network of the original"):
        recognise({"conv1": {"conv1": {"kernel": Weight("conv1", "kernel", (3, 3, 3, 8), None)}}})


# ------------------------------------------------------------------------------- published


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("full_reception_mpii_k8", "weights_PE_MPII_cvpr18_19-09-2017.h5"),
        ("full_reception_h36m_k8", "weights_3DPE_H36M_cvpr18_Nov-2017.h5"),
        ("full_merge_penn_k4", "weights_AR_merge_ep074_26-10-17.h5"),
        ("full_merge_ntu_k4", "weights_AR_merge_NTU_v2.h5"),
        ("full_spnet_penn_eval_p6_act56_replica", "weights_mpii+penn_ar_028.hdf5"),
        ("full_spnet_ntu_p2", "weights_3dp+ntu_ar_062.hdf5"),
    ],
)
def test_published_files_have_the_networks_of_the_table(name: str, file: str) -> None:
    path = SHARED / "parity" / "full_layouts" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path} (set POSEACT_SHARED)")
    (entry,) = [entry for entry in zoo.PUBLISHED if entry.file == file]
    built = from_constructor(read_constructor(path))
    assert (entry.config, entry.layout, entry.size) == (built.config, built.layout, built.size)
    assert entry.frames == built.frames
    assert zoo.published("another", entry.config) == entry
    assert entry.md5 is None or zoo.published(entry.md5, SPNetConfig(joints=3)) == entry


def test_class_names() -> None:
    assert (len(zoo.PENN), len(set(zoo.PENN)), len(set(zoo.NTU60))) == (15, 15, 60)
    assert zoo.labels((60, 2)) == (zoo.NTU60, ("action 1", "action 2"))
    assert zoo.NTU60[42] == "fall down"  # A43


def test_files_of_ntu_say_where_left_is() -> None:
    """In the tables a joint's side is the other one of the Kinect's name for it."""
    for entry in zoo.PUBLISHED:
        assert ("as seen in the picture" in entry.note) == ("NTU" in entry.trained_on)
    for name, layout in (("pa16_from_ntu", PA16), ("pa20_from_ntu", PA20)):
        for j, source in enumerate(DEEPHAR_INDEX[name]):
            twin = {"l": "r", "r": "l", "m": "m"}[NTU25.side(source)]
            assert layout.side(j) == twin


def test_models_lists_the_published_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    assert len(zoo.PUBLISHED) == 6
    for entry in zoo.PUBLISHED:
        assert f"poseact import-keras {entry.file} -o" in text
        assert entry.origin in text and (entry.md5 or "not published") in text
        if entry.config.actions:
            assert len(zoo.labels(entry.config.actions)[0]) == entry.config.actions[0]
    assert "licence" in text.lower()
