from dataclasses import asdict, replace

import pytest
import torch

from conftest import settled
from poseact.models import spnet
from poseact.models.layers import joint_pool, spatial_softmax
from poseact.models.spnet import SPNet, SPNetConfig


def clip(model: SPNet, batch: int = 2, frames: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    size = 2 * model.stride
    return torch.rand(batch, frames, 3, size, size, generator=generator) * 2 - 1


# Trainable parameters of the original code (Keras), measured.
PUBLISHED = [
    ("ntu_p2", 12_674_504),
    ("ntu_paper", 34_458_032),
    ("penn_eval", 20_236_000),
    ("penn_two_action_pyramids", 25_201_984),
    ("penn_paper", 29_240_608),
    ("penn_speed", 28_230_304),
    ("penn_p2", 10_179_616),
    ("pose2d", 21_327_584),
    ("pose3d", 21_715_808),
]


@pytest.mark.parametrize(("name", "expected"), PUBLISHED)
def test_published_parameter_counts(name: str, expected: int) -> None:
    with torch.device("meta"):
        model = SPNet(spnet.PUBLISHED[name])
    assert sum(p.numel() for p in model.parameters()) == expected


def test_every_published_configuration_is_counted() -> None:
    assert sorted(spnet.PUBLISHED) == sorted(name for name, _ in PUBLISHED)


def test_shapes_and_order_of_the_outputs(tiny: SPNet) -> None:
    out = tiny(clip(tiny))
    assert tiny.exits == ((1, 1), (2, 0))
    assert [p.shape for p in out.poses] == [(2, 4, 17, 3)] * 2
    assert [s.shape for s in out.scores] == [(2, 4, 17)] * 2
    assert [tuple(a.shape for a in sets) for sets in out.actions] == [((2, 4),)] * 2
    assert [h.shape[-2:] for h in out.heatmaps] == [(2, 2), (4, 4)]
    pose = torch.stack(out.poses)
    assert bool(((pose >= 0) & (pose <= 1)).all())
    assert bool(((torch.stack(out.scores) > 0) & (torch.stack(out.scores) <= 1 + 1e-5)).all())


def test_a_still_is_a_clip_of_one_frame(tiny: SPNet) -> None:
    frames = clip(tiny)
    with torch.no_grad():
        whole = tiny(frames)
        single = tiny(frames[:, 1:2])
    assert single.actions == []
    for a, b in zip(whole.poses, single.poses):
        assert a[:, 1:2] == pytest.approx(b, abs=1e-6)


def test_a_clip_does_not_depend_on_its_neighbours(tiny: SPNet) -> None:
    frames = clip(tiny)
    other = torch.cat([frames[:1], clip(tiny, seed=5)[:1]])
    with torch.no_grad():
        a, b = tiny(frames), tiny(other)
    assert a.actions[-1][0][0] == pytest.approx(b.actions[-1][0][0], abs=1e-6)
    assert a.poses[-1][0] == pytest.approx(b.poses[-1][0], abs=1e-6)
    assert a.actions[-1][0][1].tolist() != pytest.approx(b.actions[-1][0][1].tolist())


def test_frames_and_actions_apart_equal_the_whole(tiny: SPNet) -> None:
    """What streaming rests on: per-frame features, computed one by one, give the clip's actions."""
    frames = clip(tiny, batch=1)
    with torch.no_grad():
        whole = tiny(frames)
        parts = [tiny.frames(frames[:, t]).features for t in range(frames.shape[1])]
        actions = tiny.actions(tuple(torch.stack(c, 1) for c in zip(*parts)))
    for a, b in zip(whole.actions, actions):
        assert a[0] == pytest.approx(b[0], abs=1e-4)


VARIANTS = {
    "2d pose only": SPNetConfig(joints=5, pyramids=3, levels=3, growth=4),
    "published entry, stride convolutions": SPNetConfig(
        joints=5, pyramids=2, levels=2, growth=4, sampling="conv", image_div=16
    ),
    "two action sets, late action pyramids, decoupled": SPNetConfig(
        joints=7,
        dim=3,
        actions=(3, 5),
        pyramids=4,
        action_pyramids=(3, 4),
        levels=3,
        growth=8,
        image_div=4,
        pose_features=16,
        visual_features=32,
        replica=True,
        kernel=(3, 3),
    ),
    "an action pyramid, a plain one, an action pyramid": SPNetConfig(
        joints=7,
        actions=(3,),
        pyramids=3,
        action_pyramids=(1, 3),
        levels=3,
        growth=8,
        entry="light",
        pose_features=16,
        visual_features=16,
    ),
}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_cutting_gives_the_same_numbers(config: SPNetConfig) -> None:
    torch.manual_seed(0)
    model = settled(SPNet(config))
    frames = clip(model, frames=2)
    with torch.no_grad():
        whole = model(frames)
    acted = 0
    for k, (pyramid, level) in enumerate(model.exits):
        small = model.cut(pyramid, level)
        with torch.no_grad():
            out = small(frames)
        assert len(out.poses) == k + 1
        assert out.poses[-1] == pytest.approx(whole.poses[k], abs=1e-5)
        assert out.scores[-1] == pytest.approx(whole.scores[k], abs=1e-5)
        acted += pyramid in config.action_pyramids
        assert len(out.actions) == acted
        if acted:
            for a, b in zip(out.actions[-1], whole.actions[acted - 1]):
                assert a == pytest.approx(b, abs=1e-4)
    assert small.exits == model.exits
    first = sum(p.numel() for p in model.cut(*model.exits[0]).parameters())
    assert first < sum(p.numel() for p in model.parameters())


def test_a_cut_network_can_be_cut_again(tiny: SPNet) -> None:
    cut = tiny.cut(2, 0).cut(1, 1)
    assert cut.exits == ((1, 1),)
    with pytest.raises(ValueError, match="no block"):
        cut.cut(2, 0)


def test_copy_replica_makes_the_decoupled_poses_equal() -> None:
    torch.manual_seed(0)
    model = settled(SPNet(VARIANTS["two action sets, late action pyramids, decoupled"]))
    x = clip(model, batch=1)[0]
    with torch.no_grad():
        before = model.frames(x)
        model.copy_replica()
        after = model.frames(x)
    first = len(before.poses) - len(before.decoupled)
    assert not torch.allclose(before.decoupled[0][0], before.poses[first])
    for pose, (decoupled, _, _) in zip(after.poses[first:], after.decoupled):
        assert decoupled == pytest.approx(pose, abs=1e-6)
    assert after.poses[-1] == pytest.approx(before.poses[-1])


def test_any_resolution_that_divides(tiny: SPNet) -> None:
    out = tiny(torch.zeros(1, 1, 3, 3 * tiny.stride, 5 * tiny.stride))
    assert out.heatmaps[-1].shape[-2:] == (6, 10)
    with pytest.raises(ValueError, match="multiples of 8"):
        tiny(torch.zeros(1, 1, 3, 60, 64))


def test_grid_convention_moves_the_poses_and_nothing_else(tiny: SPNet) -> None:
    other = SPNet(replace(tiny.config, cell_centres=False))
    other.load_state_dict(tiny.state_dict())
    x = clip(tiny, batch=1)[0]
    with torch.no_grad():
        a, b = tiny.frames(x), other.eval().frames(x)
    n = a.heatmaps[-1].shape[-1]
    uv = a.poses[-1][..., :2]
    assert b.poses[-1][..., :2] == pytest.approx((uv * n - 0.5) / (n - 1), abs=1e-5)
    assert a.scores[-1] == pytest.approx(b.scores[-1])


def test_the_papers_grid_is_half_a_cell_beside_the_centres(tiny: SPNet) -> None:
    other = SPNet(replace(tiny.config, cell_centres="text")).eval()
    other.load_state_dict(tiny.state_dict())
    x = clip(tiny, batch=1)[0]
    with torch.no_grad():
        a, b = tiny.frames(x), other.frames(x)
    half = 0.5 / a.heatmaps[-1].shape[-1]
    assert b.poses[-1][..., :2] == pytest.approx(a.poses[-1][..., :2] - half, abs=1e-6)


def test_appearance_is_the_first_visits_or_the_blocks_own(tiny: SPNet) -> None:
    """3.3.2: features under the maps of the block they are read of, so both move together."""
    other = SPNet(replace(tiny.config, appearance="block")).eval()
    other.load_state_dict(tiny.state_dict())
    x, seen = clip(tiny, batch=1)[0], []
    for name in ("dp1_pb1", "up2_pb0"):
        block = other.get_submodule(name)
        block.register_forward_hook(lambda _, __, out: seen.append(out[1].features))
    with torch.no_grad():
        a, b = tiny.frames(x), other.frames(x)
    for k, features in enumerate(seen):
        assert torch.equal(a.features[2 * k], b.features[2 * k])
        expected = joint_pool(spatial_softmax(b.heatmaps[k]), features)
        assert b.features[2 * k + 1] == pytest.approx(expected, abs=1e-6)
        assert not torch.allclose(a.features[2 * k + 1], b.features[2 * k + 1])


def test_actions_can_read_annotated_poses(tiny: SPNet) -> None:
    frames = clip(tiny, batch=1)
    given = torch.rand(1, frames.shape[1], 17, 3)
    with torch.no_grad():
        own, out = tiny(frames), tiny(frames, given)
        features = tiny.frames(frames[0], given[0]).features
    assert torch.equal(own.poses[-1], out.poses[-1])
    assert not torch.allclose(own.actions[-1][0], out.actions[-1][0])
    assert features[0] == pytest.approx(given[0]) and features[2] == pytest.approx(given[0])


@pytest.mark.parametrize(
    "change",
    [
        {"image_div": 6},
        {"levels": 1},
        {"action_pyramids": ()},
        {"action_pyramids": (3,)},
        {"exit": (1, 0)},
    ],
)
def test_impossible_configurations_are_refused(tiny_config: SPNetConfig, change: dict) -> None:
    with pytest.raises(ValueError):
        SPNetConfig(**{**asdict(tiny_config), **change})


def test_overfits_one_batch(tiny: SPNet) -> None:
    """Poses and actions of two clips are learned by heart."""
    tiny.train()
    generator = torch.Generator().manual_seed(1)
    frames = clip(tiny)
    target = torch.rand(2, 4, 17, 3, generator=generator) * 0.5 + 0.25
    label = torch.tensor([1, 3])
    optimizer = torch.optim.AdamW(tiny.parameters(), lr=0.01)
    for _ in range(150):
        out = tiny(frames)
        pose = torch.stack([(p - target).abs().mean() for p in out.poses]).mean()
        action = torch.stack([torch.nn.functional.cross_entropy(a[0], label) for a in out.actions])
        optimizer.zero_grad()
        (pose + 0.1 * action.mean()).backward()
        optimizer.step()
    assert (out.poses[-1] - target).abs().mean().item() < 0.03
    assert out.actions[-1][0].argmax(1).tolist() == label.tolist()


def test_joints_are_float32_under_autocast(tiny: SPNet) -> None:
    """bfloat16 would count a crop in steps of a pixel."""
    frames = torch.rand(1, 1, 3, 64, 64) * 2 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        pose = tiny(frames).poses[-1]
    assert pose.dtype == torch.float32
    assert (pose != pose.bfloat16().float()).any()
