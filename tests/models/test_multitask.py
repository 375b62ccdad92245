import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import SHARED, settled
from poseact.models import multitask, weights
from poseact.models.layers import (
    SeparableConv,
    annotated_maps,
    joint_pool,
    spatial_softmax,
    window_sum_confidence,
)
from poseact.models.multitask import Multitask, MultitaskConfig, keras_groups
from poseact.models.multitask_actions import MergedActions, PoseActions
from poseact.models.spnet import SPNet

TINY = MultitaskConfig(
    joints=6,
    dim=3,
    actions=(3,),
    blocks=2,
    kernel=(3, 3),
    depth_maps=4,
    stem_channels=16,
    sharpness=2.0,
    action_blocks=2,
    cell_centres=True,
    depth_centres=True,
)
PLANE = replace(TINY, dim=2, contexts=2, sharpness=4.0, pose_branch="v2", blocks=3)


def network(config: MultitaskConfig) -> Multitask:
    torch.manual_seed(0)
    model = Multitask(config)
    settled(model)  # pyright: ignore[reportArgumentType]
    return model


@pytest.fixture(scope="module")
def volume() -> Multitask:
    return network(TINY)


@pytest.fixture(scope="module")
def plane() -> Multitask:
    return network(PLANE)


def clip(batch: int = 2, frames: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, 3, 64, 64, generator=generator) * 2 - 1


# ------------------------------------------------------------------- the original, by numbers

# Trainable parameters of the original code (Keras), measured.
PUBLISHED = {
    "mpii_k8": 14_669_952,
    "mpii_k8_master": 14_669_952,
    "h36m_k8": 16_605_312,
    "penn_k4": 12_754_912,
    "ntu_k4": 16_890_152,
}


def on_paper(config: MultitaskConfig) -> Multitask:
    with torch.device("meta"):
        return Multitask(config)


@pytest.mark.parametrize("name", multitask.PUBLISHED)
def test_published_parameter_counts(name: str) -> None:
    model = on_paper(multitask.PUBLISHED[name])
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]


def keras_shapes(layers: list[tuple[str, nn.Module]]) -> list[list[int]]:
    """Shapes of a group's tensors as Keras 2.1.4 lists them: trained ones, then moments."""
    trained: list[list[int]] = []
    moments: list[list[int]] = []
    for kind, layer in layers:
        if kind == "conv":
            assert isinstance(layer, nn.Conv2d)
            o, i, h, w = layer.weight.shape
            trained.append([h, w, i, o])
        elif kind == "separable":
            assert isinstance(layer, SeparableConv)
            c, _, h, w = layer.depthwise.weight.shape
            trained += [[h, w, c, 1], [1, 1, c, layer.pointwise.out_channels]]
        elif kind == "bn":
            assert isinstance(layer, nn.BatchNorm2d)
            trained.append([layer.num_features])
            moments += [[layer.num_features]] * 2
        else:
            assert kind == "depth_grid" and isinstance(layer, Multitask)
            trained.append([len(layer.depth_grid), *[layer.config.joints] * 2])
    return trained + moments


def parity() -> Path:
    folder = SHARED / "parity"
    if not folder.is_dir():
        pytest.skip(f"no parity data at {folder} (set POSEACT_SHARED)")
    return folder


def groups_on_paper(path: Path) -> list[tuple[str, list[list[int]]]]:
    listed = json.loads(path.read_text())["h5_layers"]
    return [(g["name"], [w["shape"] for w in g["weights"]]) for g in listed if g["weights"]]


FILES = {
    "full_layouts/full_reception_mpii_k8.json": multitask.PUBLISHED["mpii_k8"],
    "full_layouts/full_reception_mpii_k8_master.json": multitask.PUBLISHED["mpii_k8_master"],
    "full_layouts/full_reception_h36m_k8.json": multitask.PUBLISHED["h36m_k8"],
    "full_layouts/full_merge_penn_k4.json": multitask.PUBLISHED["penn_k4"],
    "full_layouts/full_merge_ntu_k4.json": multitask.PUBLISHED["ntu_k4"],
    "public/reception2d_k2_cvpr18/config.json": MultitaskConfig(blocks=2),
    "public/reception2d_k2_master/config.json": MultitaskConfig(blocks=2),
    "public/reception3d_k2_cvpr18/config.json": MultitaskConfig(joints=17, dim=3, blocks=2),
    "public/merge2d_k2_cvpr18/config.json": replace(multitask.PUBLISHED["penn_k4"], blocks=2),
    "public/merge3d_k2_cvpr18/config.json": replace(multitask.PUBLISHED["ntu_k4"], blocks=2),
}


@pytest.mark.parametrize(("file", "config"), FILES.items(), ids=FILES)
def test_groups_are_those_of_the_original_files(file: str, config: MultitaskConfig) -> None:
    theirs = groups_on_paper(parity() / file)
    ours = keras_groups(on_paper(config))
    assert len(ours) == len(theirs)
    for (name, layers), (their_name, shapes) in zip(ours.items(), theirs):
        assert name == their_name or name.startswith("separable_conv2d_")
        if layers:
            assert keras_shapes(layers) == shapes, name
        else:
            assert name in ("sSAM", "cSAM", "Agg")


def test_a_pose_action_model_alone_is_in_file_order() -> None:
    theirs = groups_on_paper(parity() / "public/pose_ar_v1/config.json")
    ours = keras_groups(PoseActions(2, 15))["PoseAR"]
    assert [keras_shapes([layer]) for layer in ours] == [shapes for _, shapes in theirs]


OLD = replace(TINY, stem="inception_old", actions=())
KERAS = {"3d": TINY, "2d": PLANE, "plain merge": replace(TINY, weighted_merge=False), "old": OLD}


@pytest.mark.parametrize("config", KERAS.values(), ids=KERAS)
def test_groups_hold_every_tensor_once(config: MultitaskConfig) -> None:
    model = Multitask(config)
    found: list[int] = []
    for layers in keras_groups(model).values():
        for kind, layer in layers:
            if kind == "depth_grid":
                found.append(id(model.depth_grid))
                continue
            state = dict(layer.named_parameters()) | dict(layer.named_buffers())
            state.pop("num_batches_tracked", None)
            state.pop("weight", None) if kind == "bn" else None
            found += [id(tensor) for tensor in state.values()]
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    every = dict(model.named_parameters()) | dict(model.named_buffers())
    assert sorted(found) == sorted(id(every[name]) for name in names)


def test_stems_that_keras_never_saw_have_no_groups() -> None:
    for config in (replace(TINY, stem="vgg16"), replace(TINY, stem="inception_old")):
        with pytest.raises(ValueError, match="no Keras file has the stem"):
            keras_groups(on_paper(config))


# ------------------------------------------------------------------- what comes out


def test_shapes_and_order_of_the_outputs(volume: Multitask, plane: Multitask) -> None:
    for model, blocks, dim in ((volume, 2, 3), (plane, 3, 2)):
        with torch.no_grad():
            out = model(clip())
        assert model.exits == tuple((b, 0) for b in range(1, blocks + 1))
        assert [p.shape for p in out.poses] == [(2, 4, 6, dim)] * blocks
        assert [s.shape for s in out.scores] == [(2, 4, 6)] * blocks
        assert [h.shape for h in out.heatmaps] == [(2, 4, 6, 8, 8)] * blocks
        # two action blocks from poses, two from appearance, and both merged
        assert [[a.shape for a in sets] for sets in out.actions] == [[(2, 3)]] * 5
        for values in (torch.stack(out.poses), torch.stack(out.scores)):
            assert bool(((values > 0) & (values < 1)).all())


def test_a_still_is_a_clip_of_one_frame(plane: Multitask) -> None:
    frames = clip()
    with torch.no_grad():
        whole, single = plane(frames), plane(frames[:, 1:2])
    assert single.actions == []
    for a, b in zip(whole.poses, single.poses):
        assert a[:, 1:2] == pytest.approx(b, abs=1e-5)


def test_a_clip_does_not_depend_on_its_neighbours(volume: Multitask) -> None:
    frames = clip()
    other = torch.cat([frames[:1], clip(seed=5)[:1]])
    with torch.no_grad():
        a, b = volume(frames), volume(other)
    assert a.actions[-1][0][0] == pytest.approx(b.actions[-1][0][0], abs=1e-4)
    assert a.poses[-1][0] == pytest.approx(b.poses[-1][0], abs=1e-5)
    assert a.actions[-1][0][1].tolist() != pytest.approx(b.actions[-1][0][1].tolist())


def test_frames_and_actions_apart_equal_the_whole(volume: Multitask) -> None:
    frames = clip(batch=1)
    with torch.no_grad():
        whole = volume(frames)
        parts = [volume.frames(frames[:, t]).features for t in range(4)]
        actions = volume.actions(tuple(torch.stack(c, 1) for c in zip(*parts)))
    for a, b in zip(whole.actions, actions, strict=True):
        assert a[0] == pytest.approx(b[0], abs=1e-4)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_cutting_gives_the_same_numbers(plane: Multitask, block: int) -> None:
    small, frames = plane.cut(block, 0), clip(frames=2)
    with torch.no_grad():
        whole, out = plane(frames), small(frames)
    assert small.exits == plane.exits[:block]
    for k in range(block):
        assert out.poses[k] == pytest.approx(whole.poses[k], abs=1e-6)
        assert out.scores[k] == pytest.approx(whole.scores[k], abs=1e-6)
    # the actions were trained on the last block's pose
    assert len(out.actions) == (5 if block == 3 else 0)
    assert small.action_exits == (((3, 0),) if block == 3 else ())


def test_actions_read_the_last_pose_and_the_first_features(volume: Multitask) -> None:
    x = clip(batch=1)[0]
    with torch.no_grad():
        out = volume.frames(x)
        seen = joint_pool(spatial_softmax(out.heatmaps[-1]), volume.features(x, 1))
    assert torch.equal(out.features[0], out.poses[-1] * out.scores[-1][..., None])
    assert out.features[1] == pytest.approx(seen, abs=1e-5)


def test_actions_read_annotated_poses_and_the_features_under_them(volume: Multitask) -> None:
    frames = clip(batch=1)
    joints = volume.config.joints
    given = torch.rand(1, frames.shape[1], joints, 3, generator=torch.Generator().manual_seed(2))
    given[0, :, 1] = torch.nan
    with torch.no_grad():
        own, out = volume(frames), volume(frames, given)
        read = volume.frames(frames[0], given[0]).features
        features = volume.features(frames[0], 1)
    assert torch.equal(out.poses[-1], own.poses[-1])  # what the network says of the pose stays
    assert not torch.allclose(out.actions[-1][0], own.actions[-1][0])
    assert read[0] == pytest.approx(given[0].nan_to_num(0.0))
    like, cells = torch.zeros(4, joints, *features.shape[-2:]), volume.config.cell_centres
    maps, _, _ = annotated_maps(given[0], like, cell_centres=cells)
    assert read[1] == pytest.approx(joint_pool(maps, features), abs=1e-5)
    assert not read[1][:, 1].any()


def test_features_of_a_block_lead_to_its_heat_maps(plane: Multitask) -> None:
    x = clip(batch=1, frames=1)[0]
    with torch.no_grad():
        features = plane.features(x, 2)
        block = plane.blocks[1]
        assert isinstance(block, multitask.PredictionBlock)
        heat = block.maps(block.conv(features).relu())[:, :6]
        assert heat == pytest.approx(plane.frames(x).heatmaps[1], abs=1e-5)
    with pytest.raises(ValueError, match="block is 1 to 3, got 4"):
        plane.features(x, 4)


@pytest.mark.parametrize(("frames", "joints"), [(1, 6), (3, 5), (5, 7), (8, 8)])
def test_clips_of_any_length_and_any_number_of_joints(frames: int, joints: int) -> None:
    head = MergedActions(2, 8, 4, version="v1", weighted=True, blocks=1).eval()
    logits = head(torch.rand(2, frames, joints, 2), torch.rand(2, frames, joints, 8))
    assert [x.shape for x in logits] == [(2, 4)] * 3


def test_unseen_frames_are_what_fills_up_a_clip() -> None:
    """Three frames and a last one of zero confidence are one clip."""
    head = MergedActions(2, 8, 4, version="v1", weighted=True, blocks=1).eval()
    pose, look = torch.rand(1, 3, 4, 2), torch.rand(1, 3, 4, 8)
    last = [torch.cat([x, torch.zeros_like(x[:, :1])], 1) for x in (pose, look)]
    for a, b in zip(head(pose, look), head(*last)):
        assert torch.equal(a, b)


def test_the_merge_starts_as_a_sum() -> None:
    torch.manual_seed(0)
    weighted = MergedActions(2, 8, 4, version="v1", weighted=True, blocks=1).eval()
    plain = MergedActions(2, 8, 4, version="v1", weighted=False, blocks=1).eval()
    plain.load_state_dict(weighted.state_dict(), strict=False)
    features = torch.rand(2, 4, 4, 2), torch.rand(2, 4, 4, 8)
    with torch.no_grad():
        assert weighted(*features)[-1] == pytest.approx(plain(*features)[-1], abs=1e-6)


# ------------------------------------------------------------------- reading maps


def test_without_contexts_only_the_own_map_counts(plane: Multitask) -> None:
    """alpha = 1 leaves contexts out; so does a network without any."""
    x = clip(batch=1, frames=1)[0]
    own, none = (
        Multitask(replace(PLANE, actions=(), **change)).eval()
        for change in ({"alpha": 1.0}, {"contexts": 0})
    )
    own.load_state_dict(plane.cut(3, 0).state_dict(), strict=False)
    mine = own.state_dict()
    first = {
        k: mine[k][:6] if k.endswith("maps.weight") else mine[k]
        for k, v in none.state_dict().items()
        if "remap" not in k
    }
    none.load_state_dict(first, strict=False)
    with torch.no_grad():
        a, b, mixed = own.frames(x), none.frames(x), plane.frames(x)
    assert a.poses[0] == pytest.approx(b.poses[0], abs=1e-5)
    assert float((a.poses[0] - mixed.poses[0]).abs().max()) > 1e-3


def test_confidences_of_both_code_lines(plane: Multitask) -> None:
    raw = Multitask(replace(PLANE, confidence="window_sum_raw", sharpness=1.0)).eval()
    raw.load_state_dict(plane.state_dict())
    x = clip(batch=1, frames=1)[0]
    with torch.no_grad():
        a, b = plane.frames(x), raw.frames(x)
    highest = a.heatmaps[0].amax((-2, -1))
    assert a.scores[0] == pytest.approx((4 * highest).sigmoid(), abs=1e-6)
    assert b.scores[0] == pytest.approx(window_sum_confidence(b.heatmaps[0]), abs=1e-6)


def test_depth_is_read_along_the_volume() -> None:
    """A volume with one bright cell: u, v and depth of that cell, in cell centres."""
    model = Multitask(replace(TINY, actions=()))
    maps = torch.full((1, 4, 6, 8, 8), -1.0)  # N Nd J h w: channels are depth-major
    maps[0, 3, 2, 5, 1] = 1e5
    heat, pose, score = model._read(maps.flatten(1, 2))
    assert pose[0, 2].tolist() == pytest.approx([1.5 / 8, 5.5 / 8, 3.5 / 4], abs=1e-5)
    assert int(heat[0, 2].argmax()) == 5 * 8 + 1
    assert float(score[0, 2]) == pytest.approx(1.0)
    # raw means of a flat volume of -1, both sharpened by 2: sigmoid(-4)
    assert float(score[0, 0]) == pytest.approx(0.018, abs=1e-3)
    assert pose[0, 0].tolist() == pytest.approx([0.5, 0.5, 0.5], abs=1e-5)


@pytest.mark.parametrize(("centres", "ends"), [(True, [0.125, 0.875]), (False, [0.0, 1.0])])
def test_depth_grid_of_both_code_lines(centres: bool, ends: list[float]) -> None:
    model = Multitask(replace(TINY, depth_centres=centres))
    assert model.depth_grid[[0, -1]].tolist() == pytest.approx(ends)
    model.depth_grid.fill_(0.3)
    assert model.cut(1).frames(clip(1, 1)[0]).poses[0][..., 2].mean().item() == pytest.approx(0.3)


# ------------------------------------------------------------------- learning and files


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    model = Multitask(replace(TINY, joints=4, action_blocks=1)).train()
    frames, action = clip(frames=2), torch.tensor([0, 2])
    target = torch.rand(2, 2, 4, 3) * 0.6 + 0.2
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def loss() -> torch.Tensor:
        out = model(frames)
        pose = torch.stack([(p - target).abs().mean() for p in out.poses]).mean()
        acts = [nn.functional.cross_entropy(a, action) for (a,) in out.actions]
        return pose + 0.1 * torch.stack(acts).mean()

    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert all(p.grad is not None for p in model.parameters())
    out = model(frames)
    assert (out.poses[-1] - target).abs().mean().item() < 0.04  # at the start 0.15
    assert out.actions[-1][0].argmax(-1).tolist() == action.tolist()


@pytest.mark.parametrize("config", [TINY, PLANE], ids=["3d", "2d"])
def test_round_trip_through_a_file(config: MultitaskConfig, tmp_path: Path) -> None:
    model = network(config)
    if config.dim == 3:
        model.depth_grid += 0.01  # as an imported file may have its own
    card = weights.Card(
        config=asdict(config),
        layout="PA16",
        labels=(("a", "b", "c"),),
        size=(64, 64),
        architecture="multitask",
    )
    loaded, back = weights.load(weights.save(tmp_path / "m.safetensors", model, card))
    assert back == card
    assert loaded.config == config
    theirs = loaded.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"unknown settings \['levels'\] for multitask"):
        weights.build(replace(card, config={"levels": 3}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 0}, "at least 1, got 0"),
        ({"actions": (3, 4)}, "one action set"),
        ({"stem_channels": 15}, "even, got 15"),
        ({"depth_maps": 1}, "at least 2, got 1"),
    ],
)
def test_impossible_settings_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_odd_sizes_and_blocks_are_refused(plane: Multitask) -> None:
    with pytest.raises(ValueError, match="multiples of 32, got \\(64, 48\\)"):
        plane.frames(torch.zeros(1, 3, 64, 48))
    with pytest.raises(ValueError, match="no block \\(4, 0\\)"):
        plane.cut(4, 0)


def test_action_exits_of_spnet(tiny: SPNet) -> None:
    assert tiny.action_exits == tiny.exits == ((1, 1), (2, 0))
    assert SPNet(replace(tiny.config, action_pyramids=(2,))).action_exits == ((2, 0),)


def test_the_texts_readings_of_the_action_part() -> None:
    """128 features of poses, appearance at the end of the stem, a fully connected aggregation."""
    torch.manual_seed(0)
    code = MultitaskConfig(actions=(3,), blocks=1, stem_channels=16, action_blocks=2)
    text = replace(code, pose_branch="text", merge="fully_connected", appearance="stem")
    model = Multitask(text).eval()
    head = model.action_head
    assert head is not None and head.connect is not None
    maps = head.pose.blocks.get_submodule("0.maps")
    assert maps.get_parameter("weight").shape[1] == 128
    assert not [n for n, _ in model.named_parameters() if "weigh_" in n]
    x = torch.rand(2, 4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        *blocks, merged = [sets[0] for sets in model(x).actions]
        torch.testing.assert_close(merged, blocks[1] + blocks[3])  # it starts as the sum
        frames = model.frames(x[0])
        seen = joint_pool(spatial_softmax(frames.heatmaps[-1]), model.stem(x[0]))
        torch.testing.assert_close(frames.features[1], seen)
        other = Multitask(replace(text, appearance="reception")).eval()
        other.load_state_dict(model.state_dict())
        assert not torch.allclose(other.frames(x[0]).features[1], seen)
