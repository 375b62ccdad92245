"""MoveNet's features and heads as a stem: equal to the published graph, and a start for SPNet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.core.layouts import COCO17, PA17
from poseact.models.layers import share_pool, soft_argmax
from poseact.models.pretrained import read_tensors
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.stems import CentreHeads, MobileNetFPN, load_stem

WIDTHS = {"lightning": 1.0, "thunder": 1.75, "multipose": 1.5}
CONFIG = SPNetConfig(
    joints=17,
    dim=3,
    actions=(3,),
    pyramids=2,
    action_pyramids=(1, 2),
    levels=3,
    growth=8,
    image_div=4,
    pose_features=16,
    visual_features=16,
    entry="mobilenet_fpn",
    entry_heads=True,
    confidence="learnt",
    cell_centres=True,
)


@pytest.fixture
def pretrained(shared_data: Path) -> Path:
    folder = shared_data / "pretrained"
    if not folder.is_dir():
        pytest.skip(f"no pretrained features in {folder}")
    return folder


def parity(folder: Path, name: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    with np.load(folder / f"movenet_{name}_parity.npz") as archive:
        taps = {key: torch.from_numpy(archive[key]) for key in archive.files}
    frames = taps.pop("x").permute(0, 3, 1, 2).float() * 0.0078430 - 1
    return frames, taps


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_features_equal_the_published_graph(pretrained: Path, name: str) -> None:
    frames, taps = parity(pretrained, name)
    stem = MobileNetFPN(WIDTHS[name]).eval()
    theirs = read_tensors(pretrained / f"movenet_{name}.npz")
    stem.load_state_dict({k: theirs[f"features.{k}"] for k in stem.state_dict()})
    with torch.no_grad():
        p4, p8, p16, _ = stem(frames)
    for mine, tap in ((p4, "p4"), (p8, "p8"), (p16, "p16")):
        assert float((mine - taps[tap]).abs().max()) < 1e-3


@pytest.mark.parametrize("name", ["lightning", "thunder"])
def test_heads_find_what_the_published_graph_finds(pretrained: Path, name: str) -> None:
    """The likeliest cell of every joint, plus the graph's own offset there, is its answer."""
    frames, taps = parity(pretrained, name)
    model = SPNet(replace(CONFIG, entry_width=WIDTHS[name])).eval()
    load_stem(model, pretrained / f"movenet_{name}.npz", COCO17)
    with torch.no_grad():
        prob = model.entry.heads(model.entry.features(frames)[0])
    cells = prob.shape[-1]
    best = prob.flatten(2).argmax(2)  # 1 17
    offset = taps["offset"].unflatten(1, (17, 2)).flatten(3)  # 1 17 2 cells
    offset = offset.gather(3, best[..., None, None].expand(-1, -1, 2, 1))[0, ..., 0]  # 17 y x
    found = torch.stack([best[0] // cells, best[0] % cells], -1) + offset
    assert torch.allclose(found / cells, taps["answer"][0, 0, :, :2], atol=1e-3)


def test_joints_that_coco_lacks_begin_between_those_it_has(pretrained: Path) -> None:
    model = SPNet(CONFIG).eval()
    load_stem(model, pretrained / "movenet_lightning.npz", PA17)
    x = torch.rand(1, 24, 8, 8)
    with torch.no_grad():
        y_x = model.entry.heads.regress(x).unflatten(1, (17, 2))[0]
    hips = y_x[[PA17.index("l_hip"), PA17.index("r_hip")]].mean(0)
    assert torch.allclose(y_x[PA17.index("pelvis")], hips, atol=1e-4)


@pytest.mark.parametrize("image_div", [4, 8])
def test_every_block_begins_with_the_answer_of_the_heads(image_div: int) -> None:
    model = SPNet(replace(CONFIG, image_div=image_div)).eval()
    frames = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        first = model.entry(frames)[1]
        heat = model.frames(frames).heatmaps
    assert [h.shape for h in heat] == [first[i].shape for _, i in model.exits]
    assert all(torch.equal(h, first[i]) for h, (_, i) in zip(heat, model.exits, strict=True))


def test_a_pool_that_shares_keeps_sum_and_mean_position() -> None:
    prob = torch.zeros(1, 1, 16, 16)
    prob[..., 4:12, 4:12] = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    prob /= prob.sum()
    half = share_pool(prob)
    assert half.shape[-2:] == (8, 8)
    assert float(half.sum()) == pytest.approx(1, abs=1e-6)
    before, after = (soft_argmax(p, cell_centres=True) for p in (prob, half))
    assert torch.allclose(before, after, atol=1e-6)
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 1
    assert float(share_pool(corner).sum()) == pytest.approx(1, abs=1e-6)


def test_heads_look_at_the_person_in_the_middle() -> None:
    """Of two equal centres the one nearer to the middle is taken, and the joints are about it."""
    heads = CentreHeads(2).eval()
    for part in (heads.heatmap, heads.regress, heads.centre):
        for parameter in part.parameters():
            torch.nn.init.zeros_(parameter)
    heads.regress[3].bias.data = torch.tensor([0.0, 3.0, -2.0, 0.0])  # y x of two joints, cells

    class Peaks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            centre = torch.full((1, 1, 16, 16), -9.0)
            centre[0, 0, 8, 9] = centre[0, 0, 2, 2] = 9.0
            return centre

    heads.centre = Peaks()
    with torch.no_grad():
        prob = heads(torch.zeros(1, 24, 16, 16)) / 256
    assert float(prob.sum()) == pytest.approx(2, abs=1e-4)
    assert prob.flatten(2).argmax(2).tolist() == [[8 * 16 + 12, 6 * 16 + 9]]


def test_cut_network_gives_the_same_numbers() -> None:
    model = SPNet(CONFIG).eval()
    frames = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        whole = model.frames(frames)
        for k, exit in enumerate(model.exits):
            small = model.cut(*exit).frames(frames)
            assert torch.equal(small.poses[-1], whole.poses[k])
            assert torch.equal(small.scores[-1], whole.scores[k])


def test_a_size_that_the_stem_cannot_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        SPNet(CONFIG).frames(torch.zeros(1, 3, 80, 80))


@pytest.mark.parametrize("wrong", [{"image_div": 16}, {"levels": 5}, {"entry": "light"}])
def test_settings_that_do_not_go_together(wrong: dict) -> None:
    with pytest.raises(ValueError, match="mobilenet_fpn"):
        replace(CONFIG, **wrong)


def test_another_width_is_refused(pretrained: Path) -> None:
    with pytest.raises(ValueError, match=r"not MoveNet of this width; features\.stem\.weight"):
        load_stem(SPNet(CONFIG), pretrained / "movenet_thunder.npz", PA17)


def test_a_network_with_a_stem_of_its_own_takes_none(tmp_path: Path) -> None:
    path = tmp_path / "stem.npz"
    np.savez(path, x=np.zeros(1))
    with pytest.raises(ValueError, match="a stem of its own"):
        load_stem(SPNet(replace(CONFIG, entry="light", entry_heads=False)), path, PA17)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no weights of a stem"):
        read_tensors(tmp_path / "nothing.npz")
    for name in ("bad.npz", "bad.safetensors", "bad.pth"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(ValueError, match=name):
            read_tensors(tmp_path / name)
