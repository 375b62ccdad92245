"""The two-stream lifter: normalisation by hand, sizes of the paper, mirror, training, baselines."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lifter_people import NOTHING, people, random_pairs, write_mocap
from poseact.cli.app import main
from poseact.core.camera import project
from poseact.core.geometry import box_around
from poseact.core.layouts import H36M17
from poseact.core.types import Camera, Record
from poseact.data.write import write_h36m
from poseact.models import weights
from poseact.models.lifter import (
    Lifter,
    LifterConfig,
    Normalisation,
    Residual,
    Stream,
    from_screen,
    lift_with_mirror,
    mirror_2d,
    mirror_3d,
    to_box,
    to_screen,
)
from poseact.skeletons.gaps import Detector, Pairs, detected
from poseact.skeletons.learn import lifter as learn_lifter
from poseact.skeletons.learn.lifter import (
    RECIPES,
    Recipe,
    Source,
    evaluate,
    fit,
    held_out,
    mean_pose,
    nearest_pose,
)

SMALL = LifterConfig(width=32, blocks=1, dropout=0.0)


def points(n: int, seed: int = 0) -> torch.Tensor:
    """(N, 17, 2) px."""
    return torch.rand(n, 17, 2, generator=torch.Generator().manual_seed(seed)) * 400 + 50


def sizes(n: int) -> torch.Tensor:
    return torch.tensor([[640.0, 480.0]]).repeat(n, 1)


# ------------------------------------------------------------------------------ normalisation


def test_screen_by_hand_and_back() -> None:
    size = torch.tensor([640.0, 480.0])
    corners = torch.tensor([[0.0, 0.0], [640.0, 480.0], [320.0, 240.0], [480.0, 240.0]])
    screen = to_screen(corners, size)
    expected = torch.tensor([[-1, -0.75], [1, 0.75], [0, 0], [0.5, 0]])
    torch.testing.assert_close(screen, expected)
    torch.testing.assert_close(from_screen(screen, size), corners)


def test_box_knows_neither_place_nor_size() -> None:
    xy = points(3)
    torch.testing.assert_close(to_box(xy * 2.5 + 70), to_box(xy), rtol=1e-4, atol=1e-5)
    assert to_box(xy).abs().amax((1, 2)).allclose(torch.ones(3))


def test_martinez_statistics_are_those_of_the_data() -> None:
    stream = Stream(dataclasses.replace(SMALL, normalisation="martinez", input_joints=16))
    xy, xyz = points(50), torch.randn(50, 17, 3) * 200
    xyz[:, 0] = 0
    stream.learn_statistics(xy, None, xyz)
    kept = np.delete(xy.numpy(), H36M17.index("nose"), axis=1).reshape(50, 32)
    np.testing.assert_allclose(stream.input_mean, kept.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stream.input_std, kept.std(0, ddof=1), rtol=1e-4)
    target = stream.target(xyz)
    np.testing.assert_allclose(target.mean(0), np.zeros(48), atol=1e-5)
    np.testing.assert_allclose(target.std(0), np.ones(48), rtol=1e-4)
    torch.testing.assert_close(stream.to_mm(target), xyz, atol=1e-2, rtol=1e-4)


def test_screen_keeps_its_unit_and_needs_the_size() -> None:
    stream = Stream(SMALL)
    stream.learn_statistics(points(9), sizes(9), torch.randn(9, 17, 3))
    assert (stream.input_mean == 0).all() and (stream.input_std == 1).all()
    with pytest.raises(ValueError, match="width and height"):
        stream.eval()(points(1), None)


# ------------------------------------------------------------------------------------ networks


def test_sizes_of_the_paper() -> None:
    parameters = sum(p.numel() for p in Stream(LifterConfig(input_joints=16)).parameters())
    linear = 32 * 1024 + 4 * 1024**2 + 1024 * 48 + 5 * 1024 + 48
    assert parameters == linear + 5 * 2 * 1024 == 4_291_632
    kinds = [type(m) for m in Stream(LifterConfig()).modules()]
    assert [kinds.count(k) for k in (nn.Linear, nn.BatchNorm1d, nn.SELU, nn.Dropout)] == [
        6,
        5,
        5,
        5,
    ]


def test_initialisation_is_he() -> None:
    torch.manual_seed(0)
    first = Stream(LifterConfig()).layers[0]
    assert isinstance(first, nn.Linear)
    assert first.weight.std().item() == pytest.approx((2 / 34) ** 0.5, rel=0.02)
    assert (first.bias == 0).all()


def test_residual_block_adds_to_its_input() -> None:
    block = Residual(8, 0.0).eval()
    x = torch.randn(3, 8)
    torch.testing.assert_close(block(x), x + block.layers(x))
    assert not block.layers(x).allclose(torch.zeros(3, 8))
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)


def linears(stream: Stream) -> list[nn.Linear]:
    return [module for module in stream.modules() if isinstance(module, nn.Linear)]


def test_max_norm() -> None:
    torch.manual_seed(0)
    stream = Stream(dataclasses.replace(SMALL, max_norm=1.0))
    *_, last = linears(stream)
    with torch.no_grad():
        last.weight.mul_(0.5 / last.weight.norm())
    before = [layer.weight.clone() for layer in linears(stream)]
    stream.clip_weights()
    for layer, weight in zip(linears(stream)[:-1], before):
        torch.testing.assert_close(layer.weight, weight / weight.norm())
    assert torch.equal(last.weight, before[-1])
    free = Stream(SMALL)
    before = [layer.weight.clone() for layer in linears(free)]
    free.clip_weights()
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(linears(free), before))


def test_streams_are_averaged() -> None:
    torch.manual_seed(0)
    lifter = Lifter(SMALL).eval()
    xy, exact = points(4), points(4, seed=1)
    gt, det = (lifter(xy, sizes(4), combine=way) for way in ("gt", "det"))
    torch.testing.assert_close(lifter(xy, sizes(4)), (gt + det) / 2)
    assert not gt.allclose(det)
    gt_exact = lifter.gt.to_mm(lifter.gt(exact, sizes(4)))
    torch.testing.assert_close(lifter(xy, sizes(4), exact), (gt_exact + det) / 2)
    assert (gt[:, H36M17.root] == 0).all()


@pytest.mark.parametrize("how", ["screen", "box"])
def test_mirror_average_is_symmetric(how: Normalisation) -> None:
    torch.manual_seed(0)
    lifter = Lifter(dataclasses.replace(SMALL, normalisation=how)).eval()
    xy, size = points(5), sizes(5)
    mirrored = mirror_2d(xy, size[:, 0])
    assert mirrored[0, H36M17.index("l_knee"), 0] == 640 - xy[0, H36M17.index("r_knee"), 0]
    answer = lift_with_mirror(lifter, xy, size)
    torch.testing.assert_close(lift_with_mirror(lifter, mirrored, size), mirror_3d(answer))
    torch.testing.assert_close(mirror_3d(mirror_3d(answer)), answer)


def test_mirror_agrees_with_a_mirrored_world() -> None:
    """A camera that looks straight at x = 0 sees a mirrored person in the mirrored picture."""
    pairs = random_pairs(6)
    xyz = torch.tensor(pairs.xyz) + torch.tensor([30.0, -20.0, 4000.0])

    def see(p: torch.Tensor) -> torch.Tensor:
        return p[..., :2] / p[..., 2:] * 500 + torch.tensor([320.0, 240.0])

    flipped = mirror_2d(see(xyz), torch.full((6,), 640.0))
    torch.testing.assert_close(flipped, see(mirror_3d(xyz)), atol=1e-3, rtol=1e-4)


def test_weights_file_brings_the_same_lifter_back(tmp_path: Path) -> None:
    recipe = Recipe("tiny", "mocap", dataclasses.replace(SMALL, normalisation="martinez"))
    lifter = Lifter(recipe.model)
    for stream, seed in ((lifter.gt, 0), (lifter.det, 1)):
        stream.learn_statistics(points(20, seed), None, torch.randn(20, 17, 3) * 100)
    path = weights.save(tmp_path / "l.safetensors", lifter.eval(), recipe.card())
    again = weights.load_lifter(path)
    assert again.card == recipe.card() and again.model.config == recipe.model
    xy = points(3)
    assert torch.equal(again.model(xy), lifter(xy))
    assert torch.equal(again.model.det.input_mean, lifter.det.input_mean)
    with pytest.raises(ValueError, match="poseact lift"):
        weights.load(path)
    with pytest.raises(ValueError, match="no lifter"):
        weights.load_lifter("spnet-s")


# ------------------------------------------------------------------------------------ training

TINY = Recipe(
    "tiny",
    "mocap",
    dataclasses.replace(SMALL, dropout=0.1),
    views=96,
    epochs=2,
    batch=32,
    halve_every=1,
    flip=True,
)


def test_recipe_is_the_papers() -> None:
    pham = RECIPES["pham"]
    settings = (pham.epochs, pham.batch, pham.lr, pham.halve_every, pham.model.dropout, pham.flip)
    assert settings == (300, 128, 1e-3, 50, 0.25, False)
    assert pham.model == LifterConfig(normalisation="martinez")
    with pytest.raises(ValueError, match="epochs"):
        dataclasses.replace(pham, epochs=0)


def test_one_frame_in_64_is_scored_or_all(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    xyz = people(130) * [1, -1, 1] + [0.0, 0.0, 4000.0]
    zero = np.zeros(3)
    camera = Camera(
        R=np.eye(3), t=zero, f=np.full(2, 30.0), c=np.full(2, 16.0), k=zero, p=np.zeros(2)
    )
    xy = project(camera, xyz)[0]
    box = box_around(xy)
    record = Record(lambda _: picture, xy, H36M17, xyz=xyz, box=box, camera=camera, action=0)
    write_h36m({"train": [record], "test": [record]}, tmp_path / "h36m", labels=["Walking"])
    pham = RECIPES["pham"]
    for recipe, frames in ((pham, 3), (dataclasses.replace(pham, test_step=1), 130)):
        exact, found = held_out(recipe, tmp_path / "h36m")
        assert len(exact) == len(found) == frames
        assert recipe.note() == pham.note()  # the training is the same


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    recipe = dataclasses.replace(
        TINY, flip=False, batch=16, model=dataclasses.replace(SMALL, width=64)
    )
    stream = Stream(recipe.model)
    pairs = random_pairs(16)
    stream.learn_statistics(*(torch.tensor(a) for a in (pairs.xy, pairs.size, pairs.xyz)))
    optimizer = torch.optim.Adam(stream.parameters())
    losses: list[float] = []
    for epoch in range(300):
        learn_lifter.train_epoch(
            stream,
            optimizer,
            pairs,
            recipe,
            3e-3,
            seed=epoch,
            note=lambda x: losses.append(float(x)),
        )
    assert losses[0] > 0.2 and losses[-1] < 0.002


def test_run_that_was_stopped_ends_the_same(tmp_path: Path) -> None:
    write_mocap(tmp_path)

    class Stop(Exception):
        pass

    whole = fit(TINY, tmp_path, tmp_path / "whole")
    epoch = Source.epoch
    for at in (("gt", 1), ("det", 0), ("det", 1)):

        def stop(self: Source, stream: learn_lifter.StreamName, n: int, at: object = at) -> Pairs:
            if (stream, n) == at:
                raise Stop
            return epoch(self, stream, n)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
            patch.setattr(Source, "epoch", stop)
            fit(TINY, tmp_path, tmp_path / "cut", resume=True)
    cut = fit(TINY, tmp_path, tmp_path / "cut", resume=True)
    a, b = (weights.load_lifter(path).model.state_dict() for path in (whole, cut))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not a["gt.layers.0.weight"].allclose(a["det.layers.0.weight"])
    rows = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["step"], r["lr"]) for r in rows] == [
        *(("gt", 3, 1e-3), ("gt", 6, 5e-4)),
        *(("det", 9, 1e-3), ("det", 12, 5e-4)),
    ]
    with pytest.raises(ValueError, match="holds a run already"):
        fit(TINY, tmp_path, tmp_path / "cut")
    with pytest.raises(ValueError, match="another run"):
        fit(dataclasses.replace(TINY, seed=1), tmp_path, tmp_path / "cut", resume=True)


def test_short_run_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mocap(tmp_path)
    short = ["--views", "64", "--epochs", "1", "--batch", "32", "--model.width", "16"]
    where = ["mocap", "--root", str(tmp_path), "-o", str(tmp_path / "run")]
    assert main(["train", "lifter", *where, *short]) == 0
    said = capsys.readouterr().out
    assert "| both, gt sees exact 2D |" in said and "weights.safetensors" in said
    assert main(["train", "lifter", *where, *short]) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_second_stream_is_shown_what_a_detector_sees(tmp_path: Path) -> None:
    write_mocap(tmp_path)
    source = Source(dataclasses.replace(TINY, detector=NOTHING), tmp_path)
    again = Source(dataclasses.replace(TINY, detector=NOTHING), tmp_path)
    np.testing.assert_array_equal(source.epoch("gt", 0).xy, again.epoch("gt", 0).xy)
    assert not np.array_equal(source.epoch("gt", 0).xy, source.epoch("gt", 1).xy)
    clean = source.epoch("det", 0)
    noisy = Source(TINY, tmp_path).epoch("det", 0)
    np.testing.assert_array_equal(clean.xyz, noisy.xyz)
    assert (clean.xy != noisy.xy).any((1, 2)).all()
    exact, found = held_out(TINY, tmp_path)
    other_seed, _ = held_out(dataclasses.replace(TINY, seed=5), tmp_path)
    np.testing.assert_array_equal(exact.xy, other_seed.xy)
    assert len(exact) == 4 and (exact.xyz == found.xyz).all() and (exact.xy != found.xy).any()


# ---------------------------------------------------------------------------------- evaluation


def test_baselines_by_loops() -> None:
    train, test = random_pairs(12), random_pairs(5, seed=9)
    expected = np.zeros((17, 3))
    for pose in train.xyz:
        expected += pose / 12
    np.testing.assert_allclose(mean_pose(train, 5), [expected] * 5, atol=1e-2)

    def shape(xy: np.ndarray) -> np.ndarray:
        width, height = np.ptp(xy[:, 0]), np.ptp(xy[:, 1])
        middle = [(xy[:, k].max() + xy[:, k].min()) / 2 for k in (0, 1)]
        return (xy - middle) / (max(width, height) / 2)

    answer = nearest_pose(train, test.xy, chunk=2)
    for n, xy in enumerate(test.xy):
        far = [((shape(xy) - shape(other)) ** 2).sum() for other in train.xy]
        np.testing.assert_array_equal(answer[n], train.xyz[int(np.argmin(far))])


def test_table_of_errors() -> None:
    torch.manual_seed(0)
    lifter = Lifter(SMALL).eval()
    train, exact = random_pairs(12), random_pairs(6, seed=9)
    found = detected(exact, Detector(), np.random.default_rng(0))
    rows = {row.name: row for row in evaluate(lifter, train, exact, found)}
    by_hand = np.mean([np.linalg.norm(a - train.xyz.mean(0), axis=-1).mean() for a in exact.xyz])
    assert rows["mean pose"].exact[0] == pytest.approx(by_hand, rel=1e-4)
    assert rows["mean pose"].exact == rows["mean pose"].found
    assert rows["both"].exact == rows["both, gt sees exact 2D"].exact
    pred = lifter(torch.tensor(found.xy), torch.tensor(found.size), torch.tensor(exact.xy)).detach()
    error = np.linalg.norm(pred.numpy() - exact.xyz, axis=-1).mean()
    assert rows["both, gt sees exact 2D"].found[0] == pytest.approx(error, rel=1e-4)
    same = evaluate(lifter, exact, exact, exact)[1]
    assert same.name == "nearest neighbour" and same.exact[0] == 0
    lines = learn_lifter.table(list(rows.values())).splitlines()
    assert len(lines) == 2 + len(rows) and all(line.count("|") == 6 for line in lines)
