"""Keras files of several layouts, whole and broken. That the numbers mean the same as in the
original is tested in test_parity.py."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import SHARED
from poseact.cli.app import main
from poseact.models import weights
from poseact.models.multitask import Multitask, MultitaskConfig, keras_groups
from poseact.models.original import zoo
from poseact.models.original.blueprints import from_constructor
from poseact.models.original.convert import import_file
from poseact.models.spnet import SPNet, SPNetConfig

h5py = pytest.importorskip("h5py", reason="no h5py: pip install poseact[keras]")

PUBLIC = Path(os.environ.get("POSEACT_PARITY", SHARED / "parity" / "public"))

ARGS = {
    "input_shape": [4, 64, 96, 3],
    "poselayout": "pa16j2d",
    "num_actions": [15, 3],
    "num_pyramids": 3,
    "action_pyramids": [2, 3],
    "num_levels": 3,
    "kernel_size": [3, 3],
    "growth": 8,
    "image_div": 4,
    "downsampling_type": "conv",
    "num_pose_features": 16,
    "num_visual_features": 24,
}
CONFIG = SPNetConfig(
    actions=(15, 3),
    pyramids=3,
    action_pyramids=(2, 3),
    levels=3,
    kernel=(3, 3),
    growth=8,
    image_div=4,
    sampling="conv",
    pose_features=16,
    visual_features=24,
)
ROLES = {
    ("conv", "weight"): "kernel",
    ("separable", "depthwise.weight"): "depthwise_kernel",
    ("separable", "pointwise.weight"): "pointwise_kernel",
    ("bn", "bias"): "beta",
    ("bn", "running_mean"): "moving_mean",
    ("bn", "running_var"): "moving_variance",
}
File = dict[str, dict[str, np.ndarray]]
"""Group -> weight name -> numbers, as they stand in a Keras file."""


# ------------------------------------------------------------------------------- writing files


def keras_file(model: SPNet, size: tuple[int, int], *, first_act: int = 1) -> File:
    """The numbers of a network under the original's names, and its constant layers."""
    roles = {"bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    file: File = {}
    for key, value in model.state_dict().items():
        module, _, name = key.removeprefix("entry.").rpartition(".")
        if name == "num_batches_tracked":
            continue
        role, numbers = roles.get(name, "gamma"), value.numpy()
        if value.ndim == 4:
            kind = module.rpartition(".")[2]
            separable = kind in ("depthwise", "pointwise")
            role = f"{kind}_kernel" if separable else "kernel"
            module = module.removesuffix(f".{kind}") if separable else module
            axes = (2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0)
            numbers = numbers.transpose(axes)
        layer = module.replace(".", "_")
        if layer.startswith("act"):
            number, _, rest = layer.removeprefix("act").partition("_")
            layer = f"act{int(number) + first_act - 1}_{rest}"
        file.setdefault(layer, {})[f"{layer}/{role}:0"] = numbers
    for n, i in model.config.blocks:
        for axis in "xy":
            name = f"{'dp' if n % 2 else 'up'}{n}_pb{i}_xy_{axis}"
            cells = [side // model.config.image_div // 2**i for side in size]
            file[name] = grid(name, axis, cells, model.config.joints)
    return file


def grid(name: str, axis: str, cells: list[int], joints: int) -> dict[str, np.ndarray]:
    """A frozen separable convolution that sums up a coordinate."""
    height, width = cells
    ramps = {"x": np.linspace(0, 1, width)[None], "y": np.linspace(0, 1, height)[:, None]}
    depthwise = np.broadcast_to(ramps[axis][..., None, None], (height, width, joints, 1))
    return {
        f"{name}/depthwise_kernel:0": depthwise,
        f"{name}/pointwise_kernel:0": np.eye(joints)[None, None],
    }


def write(path: Path, file: File, *, encode: bool = True, split: bool = False) -> Path:
    """encode: names as bytes, else str. split: the list of layers in numbered parts."""

    def names(listed: list[str]) -> Any:
        return np.char.encode(listed) if encode else np.array(listed, h5py.string_dtype())

    with h5py.File(path, "w") as h5:
        listed = ["input_1", *file]
        if split:
            h5.attrs["layer_names0"] = names(listed[:7])
            h5.attrs["layer_names1"] = names(listed[7:])
        else:
            h5.attrs["layer_names"] = names(listed)
        h5.create_group("input_1").attrs["weight_names"] = np.zeros(0)
        for layer, tensors in file.items():
            group = h5.create_group(layer)
            group.attrs["weight_names"] = names(list(tensors))
            for name, numbers in tensors.items():
                group.create_dataset(name, data=numbers.astype(np.float32))
    return path


def read(path: Path) -> File:
    """A whole Keras file, names as str."""
    with h5py.File(path) as h5:
        groups = {layer: h5[layer] for layer in h5.attrs["layer_names"]}
        return {
            layer: {name: group[name][()] for name in group.attrs["weight_names"]}
            for layer, group in groups.items()
            if len(group)
        }


@pytest.fixture(scope="module")
def net() -> SPNet:
    torch.manual_seed(0)
    model = SPNet(CONFIG).eval()
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value))
    return model


@pytest.fixture
def file(net: SPNet) -> File:
    return keras_file(net, (64, 96))


def say(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps({"constructor": {"kind": "spnet", "args": {**ARGS, **changes}}}))
    return path


@pytest.fixture(scope="module")
def public() -> Path:
    if not PUBLIC.is_dir():
        pytest.skip(f"no parity data in {PUBLIC} (set POSEACT_PARITY)")
    return PUBLIC


def same(one: torch.nn.Module, other: torch.nn.Module) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


# ------------------------------------------------------------------------------- whole files


@pytest.mark.parametrize("encode", [True, False])
@pytest.mark.parametrize("split", [True, False])
def test_every_number_arrives(
    net: SPNet, file: File, tmp_path: Path, encode: bool, split: bool
) -> None:
    model, card = import_file(write(tmp_path / "net.h5", file, encode=encode, split=split))
    same(model, net)
    assert model.config == CONFIG and not model.training
    assert (card.layout, card.size, card.architecture) == ("PA16", (64, 96), "spnet")
    assert card.labels == (zoo.PENN, ("action 1", "action 2", "action 3"))


def test_action_blocks_are_renumbered(net: SPNet, tmp_path: Path) -> None:
    later = keras_file(net, (64, 96), first_act=8)  # act8 .. act11: 10 comes after 9
    assert "act11_action_v_conv0" in later and "act1_action_v_conv0" not in later
    same(import_file(write(tmp_path / "net.h5", later)).model, net)


def test_a_whole_saved_model_is_read_too(net: SPNet, file: File, tmp_path: Path) -> None:
    flat = write(tmp_path / "flat.h5", file)
    with h5py.File(flat) as source, h5py.File(tmp_path / "model.h5", "w") as target:
        source.copy(source, target, "model_weights")
        target["optimizer_weights/step"] = 3
    same(import_file(tmp_path / "model.h5").model, net)


def test_the_configuration_that_is_given_counts(file: File, tmp_path: Path) -> None:
    path = write(tmp_path / "net.h5", file)
    config = say(tmp_path / "config.json", sam_alpha=2)
    model, card = import_file(path, config=config)
    assert model.config.alpha == 2.0  # shapes do not tell
    assert card.frames == 4


def interleaved(file: File) -> File:
    """As later versions of Keras write it: every layer's weights side by side."""
    return {
        group: {
            name: tensors[name]
            for layer in dict.fromkeys(name.rpartition("/")[0] for name in tensors)
            for name in tensors
            if name.rpartition("/")[0] == layer
        }
        for group, tensors in file.items()
    }


@pytest.mark.parametrize("case", ["reception2d_k2_cvpr18", "merge3d_k2_cvpr18"])
def test_moments_beside_their_layer(public: Path, tmp_path: Path, case: str) -> None:
    source = public / case / "weights.h5"
    if not source.is_file():
        pytest.skip(f"no {source}")
    before = read(source)
    after = interleaved(before)
    assert any(list(before[group]) != list(after[group]) for group in before)
    same(import_file(write(tmp_path / "net.h5", after)).model, import_file(source).model)


def test_depths_come_from_the_file(public: Path, tmp_path: Path) -> None:
    source = public / "reception3d_k2_cvpr18" / "weights.h5"
    if not source.is_file():
        pytest.skip(f"no {source}")
    file = read(source)
    depths = (np.arange(16) + 0.5) / 16
    file["zSAM"] = {name: depths[:, None, None] * np.eye(17) for name in file["zSAM"]}
    model = import_file(write(tmp_path / "net.h5", file)).model
    assert isinstance(model, Multitask)
    np.testing.assert_allclose(model.depth_grid, depths, atol=1e-7)
    file["zSAM"] = {name: depths[::-1, None, None] * np.eye(17) for name in file["zSAM"]}
    with pytest.raises(ValueError, match="rising depths"):
        import_file(write(tmp_path / "net.h5", file))


# ------------------------------------------------------------------------------- recognition


def test_action_pyramids_that_shapes_do_not_tell(tmp_path: Path) -> None:
    args = {**ARGS, "num_levels": 2, "num_pyramids": 2, "action_pyramids": [1, 2]}
    blueprint = from_constructor({"kind": "spnet", "args": args})
    assert isinstance(blueprint.config, SPNetConfig)
    model = SPNet(blueprint.config).eval()
    path = write(tmp_path / "net.h5", keras_file(model, (64, 96)))
    with pytest.raises(ValueError, match="--config"):
        import_file(path)
    config = say(tmp_path / "c.json", num_levels=2, num_pyramids=2, action_pyramids=[1, 2])
    same(import_file(path, config=config).model, model)


def test_the_earlier_stem_is_recognised(tmp_path: Path) -> None:
    config = MultitaskConfig(
        joints=3, blocks=1, kernel=(3, 3), stem="inception_old", actions=(), contexts=1
    )
    torch.manual_seed(0)
    model = Multitask(config).eval()
    groups = keras_groups(model)
    file: File = {}
    for group, layers in groups.items():
        for kind, module in layers:
            n = len(file.setdefault(group, {}))
            for role, value in module.state_dict().items():
                if role == "num_batches_tracked":
                    continue
                depthwise = role.startswith("depthwise")
                axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
                numbers = value.numpy().transpose(axes) if value.ndim == 4 else value.numpy()
                file[group][f"layer{n}/{ROLES[kind, role]}:0"] = numbers
    joined = {f"{a}/{b}": v for a, x in zip("xy", "xy") for b, v in grid(a, x, [8, 12], 3).items()}
    file["sSAM"] = {name.partition("/")[2]: numbers for name, numbers in joined.items()}
    file["cSAM"] = dict(file["sSAM"])
    file["Agg"] = {"dense_1/kernel:0": np.eye(3)}
    imported, card = import_file(write(tmp_path / "net.h5", file))
    same(imported, model)
    assert imported.config == config and card.size == (64, 96)


# ------------------------------------------------------------------------------- broken files


def renamed(file: File) -> None:
    file["dp1_pb2_konv1"] = file.pop("dp1_pb2_conv1")


def extra(file: File) -> None:
    file["res0_bn1"]["res0_bn1/momentum:0"] = np.zeros(8)


def twice(file: File) -> None:
    file["conv1"]["conv1/kernel:1"] = file["conv1"]["conv1/kernel:0"]


def odd(file: File) -> None:
    file["res1_conv2"] = {name: value[:, :2] for name, value in file["res1_conv2"].items()}


def unknown(file: File) -> None:
    file["dp9_bn7"] = {"dp9_bn7/gamma:0": np.ones(3)}


def infinite(file: File) -> None:
    file["res1_conv2"] = {name: value * np.nan for name, value in file["res1_conv2"].items()}


def shifted(file: File) -> None:
    name = "dp1_pb1_xy_x"
    file[name][f"{name}/depthwise_kernel:0"] = file[name][f"{name}/depthwise_kernel:0"] * 0.9


def tall(file: File) -> None:
    name = "dp900_pb1_heatmaps_conv1"
    file[name] = {f"{name}/kernel:0": np.zeros((1, 1, 24, 16))}


def wide(file: File) -> None:
    name = "res0_conv2"  # its width is taken for the growth of the network
    file[name] = {f"{name}/kernel:0": np.zeros((1, 1, 1, 2**16))}


def exchanged(file: File) -> None:
    x, y = (file[f"dp1_pb1_xy_{axis}"] for axis in "xy")
    for a, b in zip(list(x), list(y)):
        x[a], y[b] = y[b], x[a]


DAMAGES = [
    (renamed, "dp1_pb2_conv1"),
    (extra, "res0_bn1 holds gamma, beta"),
    (twice, "lists conv1/kernel twice"),
    (odd, "res1_conv2/kernel has shape (3, 2, "),
    (unknown, "dp9_bn7"),
    (infinite, "res1_conv2/kernel holds NaN"),
    (shifted, "dp1_pb1_xy_x"),
    (exchanged, "dp1_pb1_xy_x"),
    (tall, "900 pyramids are more"),
    (wide, "larger than any"),
]


def refused(capsys: pytest.CaptureFixture[str], path: Path, words: str, *options: object) -> None:
    """One clear line that names the file, status 2, nothing written."""
    out = path.parent / "out"
    line = ["import-keras", path, "-o", out / "net.safetensors", *options]
    assert main([str(word) for word in line]) == 2
    error = capsys.readouterr().err
    assert error.startswith("poseact: ") and error.count("\n") == 1, error
    assert words in error and path.name in error, error
    assert not out.exists()


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[d.__name__ for d, _ in DAMAGES])
def test_what_does_not_fit_is_named(
    file: File, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, words: str
) -> None:
    damage(file)
    refused(capsys, write(tmp_path / "net.h5", file), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"growth": 16}, "res0_shortcut_conv/kernel has shape"),
        ({"num_pyramids": 4}, "there is no layer dp3_pb2_heatmaps_fw_maps"),
        ({"num_pyramids": 2, "action_pyramids": [2]}, "up2_pb0_heatmaps_fw_maps"),
        ({"poselayout": "pa17j3d"}, "heatmaps_conv1/kernel has shape"),
        ({"num_actions": [15, 4]}, "act1_action_pred_conv2h1/kernel has shape"),
        ({"pose_replica": True}, "heatmaps_conv1_replica"),
    ],
)
def test_another_configuration_fails_with_the_first_mismatch(
    file: File,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, object],
    words: str,
) -> None:
    config = say(tmp_path / "other.json", **changes)
    refused(capsys, write(tmp_path / "net.h5", file), words, "--config", config)


@pytest.mark.parametrize("kept", [0.2, 0.7, 0.999])
def test_a_truncated_file(
    file: File, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    path = write(tmp_path / "net.h5", file)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refused(capsys, path, "not a whole HDF5 file")


def test_other_things_than_keras_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "letter.h5").write_text("Dear reader,\n" * 50)
    refused(capsys, tmp_path / "letter.h5", "not a whole HDF5 file")
    refused(capsys, tmp_path / "gone.h5", "no file")
    with h5py.File(tmp_path / "other.h5", "w") as h5:
        h5["a"] = [1.0]
    refused(capsys, tmp_path / "other.h5", "layer_names")


def tampered(path: Path) -> Iterator[tuple[str, Any]]:
    """Files that reach out or hide something: what the message says, and what is done to one."""
    name = "res0_bn1/res0_bn1/beta:0"
    source = h5py.VirtualSource(str(path.with_name("else.h5")), "x", shape=(8,))
    virtual = h5py.VirtualLayout((8,), "f4")
    virtual[:] = source

    def put(link: Any) -> Any:
        def change(h5: Any) -> None:
            del h5[name]
            h5[name] = link

        return change

    def make(**kwargs: Any) -> Any:
        def change(h5: Any) -> None:
            del h5[name]
            h5.create_dataset(name, **kwargs)

        return change

    def virtually(h5: Any) -> None:
        del h5[name]
        h5.create_virtual_dataset(name, virtual)

    raw = [(str(path.with_name("else.bin")), 0, 32)]
    yield "link to another place", put(h5py.ExternalLink("else.h5", "/x"))
    yield "link to another place", put(h5py.SoftLink("/res0_bn1/res0_bn1/gamma:0"))
    yield "not a plain array", virtually
    yield "not a plain array", make(shape=(8,), dtype="f4", external=raw)
    yield "not a plain array", make(data=["text"] * 8, dtype=h5py.string_dtype())
    yield "numbers are more", make(shape=(2**40,), dtype="f4", chunks=(8,))
    yield "numbers are more", make(shape=(8,), maxshape=(None,), dtype="f4", chunks=(2**29,))
    yield "belongs to no layer", lambda h5: h5.create_dataset("res0_bn1/extra", data=np.ones(3))
    yield "listed but not there", lambda h5: h5.__delitem__(name)


def test_files_that_reach_out_hide_or_swell(
    file: File, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.h5"
    for words, change in tampered(path):
        write(path, file)
        with h5py.File(path, "a") as h5:
            change(h5)
        refused(capsys, path, words)


def test_without_h5py(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert main(["import-keras", str(tmp_path / "a.h5"), "-o", str(tmp_path / "b")]) == 2
    error = capsys.readouterr().err
    assert "pip install 'poseact[keras]'" in error and error.count("\n") == 1


# ------------------------------------------------------------------------------- command line


def test_what_is_written_can_be_used(
    net: SPNet, file: File, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "net.h5", file), tmp_path / "out" / "net.safetensors"
    config = say(tmp_path / "config.json")
    assert main(["import-keras", str(path), "-o", str(out), "--config", str(config)]) == 0
    assert "PA16" in capsys.readouterr().out
    model, card = weights.load(out)
    same(model, net)
    assert card.frames == 4 and card.labels[0] == zoo.PENN
    assert card.provenance["file"] == "net.h5" and len(card.provenance["md5"]) == 32


def test_what_is_known_of_a_published_network_is_on_the_card(
    net: SPNet, file: File, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(zoo.PUBLISHED[-1], config=net.config)
    monkeypatch.setattr(zoo, "PUBLISHED", (known,))
    path = write(tmp_path / "net.h5", file)
    card = import_file(path, config=say(tmp_path / "config.json")).card
    assert zoo.SIDES in card.provenance["note"] and "by its shapes" in card.provenance["network"]


def test_joints_without_a_layout(
    file: File, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "net.h5", file), tmp_path / "net.safetensors"
    config = say(tmp_path / "config.json", poselayout=[16, 2])
    assert import_file(path, config=config).card.layout == "JOINTS16"
    refused(capsys, path, "--layout", "--config", config)
    refused(capsys, path, "PA17", "--config", config, "--layout", "PA17")
    line = ["import-keras", path, "-o", out, "--config", config, "--layout", "MPII16"]
    assert main([str(word) for word in line]) == 0
    assert weights.load(out).card.layout == "MPII16"
