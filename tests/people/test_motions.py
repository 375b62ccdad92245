"""Skeleton, motions and motion capture of the rendered people: what a body can and cannot do."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import SHARED
from poseact.core.layouts import H36M17, LAYOUTS, MPII16, PA17
from poseact.people import motions, retarget, skeleton
from poseact.people.draft import Draft, cycle, keys, minimum_jerk
from poseact.people.motions import ACTIONS, CLEARANCE, perform, perform_sequence, random_poses
from poseact.people.skeleton import CHANNEL, HIGH, INDEX, LOW, MIRROR, OFFSETS, PARENT, RIG

FEET = [INDEX[name] for name in ("l_ankle", "l_toe", "r_ankle", "r_toe")]
STANDING_STILL = ("idle", "squat", "sit_down", "pick_up", "wave", "clap", "lunge", "golf_swing")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def height(motion: motions.Motion) -> np.ndarray:
    """Of the skin of every joint above the ground, metres (T,22)."""
    return motion.position[..., 1] - CLEARANCE


def step_length(position: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(position, axis=0), axis=-1)


# ---------------------------------------------------------------------- skeleton
def posed(channels: np.ndarray, offsets: np.ndarray = OFFSETS) -> tuple[np.ndarray, np.ndarray]:
    return skeleton.forward_kinematics(
        skeleton.local_rotations(channels), offsets, np.zeros((len(channels), 3))
    )


def with_angle(name: str, degrees: float) -> np.ndarray:
    channels = np.zeros((1, len(skeleton.CHANNELS)))
    channels[0, CHANNEL[name]] = np.deg2rad(degrees)
    return channels


def test_parents_come_before_their_children():
    assert all(parent < child for child, parent in enumerate(PARENT))
    assert [RIG[PARENT[INDEX[name]]] for name in ("l_wrist", "r_toe", "r_shoulder")] == [
        "l_elbow",
        "r_ankle",
        "chest",
    ]


@pytest.mark.parametrize(
    ("channel", "degrees", "joint", "axis", "sign"),
    [
        ("l_elbow", 90, "l_wrist", 2, 1),  # the hand goes forward
        ("r_knee", 90, "r_ankle", 2, -1),  # the foot goes back
        ("l_hip_flex", 45, "l_knee", 2, 1),
        ("l_shoulder_abduct", 60, "l_wrist", 0, 1),
        ("r_shoulder_abduct", 60, "r_wrist", 0, -1),
        ("r_hip_abduct", 30, "r_ankle", 0, -1),
        ("l_ankle", 30, "l_toe", 1, -1),  # the toes point down
        ("spine_flex", 40, "headtop", 2, 1),
        ("root_pitch", 40, "headtop", 2, 1),
        ("neck_side", 20, "headtop", 0, -1),
    ],
)
def test_an_angle_moves_its_joint_the_way_its_name_says(channel, degrees, joint, axis, sign):
    moved = posed(with_angle(channel, degrees))[1] - posed(with_angle(channel, 0))[1]
    assert sign * moved[0, INDEX[joint], axis] > 0.02


def test_turning_the_spine_to_the_left_brings_the_right_shoulder_forward():
    _, position = posed(with_angle("spine_turn", 40))
    assert position[0, INDEX["r_shoulder"], 2] > 0.05 > position[0, INDEX["l_shoulder"], 2]


def test_a_mirrored_body_is_the_reflected_body(rng):
    channels = rng.normal(0, 0.6, (20, len(skeleton.CHANNELS)))
    assert np.array_equal(skeleton.mirror(skeleton.mirror(channels)), channels)
    offsets = skeleton.random_offsets(rng)
    _, position = posed(channels, offsets)
    _, mirrored = posed(skeleton.mirror(channels), offsets)
    np.testing.assert_allclose(mirrored, position[:, MIRROR] * (-1, 1, 1), atol=1e-12)
    assert np.abs(mirrored - position).max() > 0.1


def test_bodies_differ_in_stature_and_are_symmetric(rng):
    bodies = np.array([skeleton.random_offsets(rng) for _ in range(100)])
    np.testing.assert_allclose(bodies, bodies[:, MIRROR] * (-1, 1, 1))
    leg = np.linalg.norm(bodies[:, [INDEX["l_knee"], INDEX["l_ankle"]]], axis=-1).sum(1)
    assert 0.6 < leg.min() < 0.8 < 0.88 < leg.max() < 1.1


@pytest.mark.parametrize("limb", ["shoulder", "hip"])
def test_limb_angles_are_those_that_made_the_limb(limb, rng):
    for side in "lr":
        index = skeleton.limb_channels(side, limb)
        channels = np.zeros((200, len(skeleton.CHANNELS)))
        low, high = np.maximum(LOW[index], -1.2), np.minimum(HIGH[index], 1.2)
        channels[:, index] = rng.uniform(low, high, (200, 4))
        _, position = posed(channels)
        end = INDEX[f"{side}_{'wrist' if limb == 'shoulder' else 'ankle'}"]
        bones = np.diff(position[:, [PARENT[PARENT[end]], PARENT[end], end]], axis=1)
        bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
        found = np.zeros_like(channels)
        found[:, index] = skeleton.limb_angles(side, limb, bones[:, 0], bones[:, 1])
        np.testing.assert_allclose(posed(found)[1][:, end], position[:, end], atol=1e-9)


def test_layouts_agree_on_the_joints_they_share(rng):
    motion = random_poses(rng, 5, offsets=OFFSETS)
    pose = {
        layout: skeleton.to_layout(motion.position, motion.rotation, layout.name)
        for layout in (PA17, MPII16, H36M17, LAYOUTS["PA20"])
    }
    for layout, points in pose.items():
        assert points.shape == (5, len(layout), 3)
        for name in layout.joints:
            if name in PA17.joints:
                np.testing.assert_array_equal(
                    points[:, layout.index(name)], pose[PA17][:, PA17.index(name)], err_msg=name
                )


def test_layouts_put_the_right_places_on_a_standing_body():
    rotation, position = posed(np.zeros((1, len(skeleton.CHANNELS))))
    pose = skeleton.to_layout(position, rotation, "H36M17")[0]
    at = {name: pose[i] for i, name in enumerate(H36M17.joints)}
    order = ("l_ankle", "l_knee", "l_hip", "pelvis", "spine", "thorax", "nose", "head")
    assert np.all(np.diff([at[name][1] for name in order]) > 0)
    assert at["nose"][2] > 0.08
    # Marked hips are further apart than the femoral heads.
    assert at["l_hip"][0] == pytest.approx(OFFSETS[INDEX["l_hip"], 0] + 0.02)
    assert at["r_hip"][0] == -at["l_hip"][0]
    middle = skeleton.to_layout(position, rotation, "MSR20")[0, LAYOUTS["MSR20"].index("head")]
    assert at["thorax"][1] < middle[1] < at["head"][1]


def test_a_layout_that_the_rig_cannot_make_is_refused(rng):
    motion = random_poses(rng, 1, offsets=OFFSETS)
    with pytest.raises(ValueError, match="l_eye"):
        skeleton.to_layout(motion.position, motion.rotation, "COCO17")
    with pytest.raises(ValueError, match="no layout"):
        skeleton.to_layout(motion.position, motion.rotation, "PA99")


# ---------------------------------------------------------------------- drafts
def test_curves_go_through_their_keys():
    u = np.array([0.0, 0.25, 0.5, 0.75])
    points = ((0, 1.0), (0.25, 3.0), (0.5, -2.0), (0.75, 0.0))
    np.testing.assert_allclose(keys(u, *points), [1, 3, -2, 0])
    np.testing.assert_allclose(cycle(u, points), [1, 3, -2, 0], atol=1e-12)
    np.testing.assert_allclose(cycle(u + 1, points), cycle(u, points))
    fine = np.linspace(0, 2, 2001)
    assert np.abs(np.diff(cycle(fine, points))).max() < 0.04  # no jump where the cycle closes
    assert np.abs(np.diff(minimum_jerk(fine[:1001]))).max() == pytest.approx(1.875e-3, rel=0.01)


def test_hands_and_feet_reach_what_is_within_reach(rng):
    offsets = skeleton.random_offsets(rng)
    draft = Draft(np.arange(2.0), offsets)
    arm = np.linalg.norm(offsets[[INDEX["l_elbow"], INDEX["l_wrist"]]], axis=-1).sum()
    leg = np.linalg.norm(offsets[[INDEX["l_knee"], INDEX["l_ankle"]]], axis=-1).sum()
    target = np.array([0.1, -0.3, 0.6])
    draft.channels[:] = 0
    for side in "lr":
        draft.reach(side, target)
    draft.step("r", 0.3, 0.8)
    _, position = posed(draft.channels, offsets)
    between = position[:, [INDEX["l_shoulder"], INDEX["r_shoulder"]]].mean(1)
    for side in "lr":
        np.testing.assert_allclose(
            position[:, INDEX[f"{side}_wrist"]] - between, [target * arm] * 2
        )
    way = position[0, INDEX["r_ankle"]] - position[0, INDEX["r_hip"]]
    np.testing.assert_allclose(way, [0, -0.8 * leg, 0.3 * leg], atol=1e-9)


# ---------------------------------------------------------------------- motions
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_keeps_to_the_body_and_the_ground(action):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        offsets = skeleton.random_offsets(rng)
        t = np.arange(60) / 15
        score = motions.action_angles(action, np.random.default_rng(seed), t=t, offsets=offsets)
        assert np.all(score.channels >= LOW - 1e-9)
        assert np.all(score.channels <= HIGH + 1e-9)

        motion = perform(action, rng, frames=60, fps=15, offsets=offsets)
        assert motion.rotation.shape == (60, 22, 3, 3)
        assert np.all(motion.action == ACTIONS.index(action))
        assert np.all((motion.phase >= 0) & (motion.phase < 1))
        length = np.linalg.norm(motion.position - motion.position[:, list(PARENT)], axis=-1)
        np.testing.assert_allclose(
            length[:, 1:], np.tile(np.linalg.norm(offsets[1:], axis=-1), (60, 1)), atol=1e-9
        )
        assert height(motion).min() > -0.02
        assert height(motion).min(1).min() < 0.02  # and touches the ground at some time
        assert step_length(motion.position[:, 0]).max() < 0.4  # 6 m/s


@pytest.mark.parametrize("action", STANDING_STILL)
def test_planted_feet_do_not_slide(action):
    for seed in range(4):
        motion = perform(
            action, np.random.default_rng(seed), frames=90, fps=30, offsets=OFFSETS, yaw=0.3
        )
        travelled = np.ptp(motion.position[:, FEET][..., [0, 2]], axis=0).max()
        assert travelled < 0.05, f"seed {seed}"
        if action in ("squat", "sit_down", "lunge"):
            assert np.ptp(motion.position[:, 0, 1]) > 0.1  # the pelvis moves all the same


def test_a_stance_foot_carries_a_walk_forward(rng):
    travels = []
    for _ in range(8):
        motion = perform("walk", rng, frames=90, fps=30, offsets=OFFSETS, yaw=0.0)
        travels.append(motion.position[-1, 0, 2] - motion.position[0, 0, 2])
        if travels[-1] > 1:
            still = step_length(motion.position[:, FEET]).min(1)
            assert np.median(still) < 0.004  # one foot stands while the body goes 30 mm a frame
            assert np.ptp(motion.position[:, 0, 0]) < 0.4
    assert min(travels) < 0.8 and 1.5 < max(travels) < 5  # on a treadmill, and across a room


def test_jumps_leave_the_ground_and_walking_does_not(rng):
    highest = {
        action: max(
            height(perform(action, rng, frames=60, fps=15, offsets=OFFSETS)).min(1).max()
            for _ in range(3)
        )
        for action in ("jump", "jumping_jack", "run", "walk", "squat")
    }
    assert highest["jump"] > 0.15
    assert 0.02 < highest["jumping_jack"] < highest["jump"]
    assert highest["run"] > 0.02
    assert highest["walk"] < 0.01 and highest["squat"] < 0.01


def test_push_ups_rest_on_hands_and_toes_and_sit_ups_on_the_back(rng):
    push_up = perform("push_up", rng, frames=60, fps=15, offsets=OFFSETS)
    low = height(push_up)
    hands = [INDEX[f"{side}_{joint}"] for side in "lr" for joint in ("wrist", "hand")]
    assert low[:, hands].min(1).max() < 0.06
    assert low[:, [INDEX["l_toe"], INDEX["r_toe"]]].min(1).max() < 0.03
    assert np.all(push_up.position[:, 0, 1] < 0.6)
    chest = push_up.rotation[:, INDEX["chest"], 1, 2]
    assert np.all(chest < -0.5)  # faces the ground
    assert np.ptp(push_up.position[:, INDEX["chest"], 1]) > 0.12

    sit_up = perform("sit_up", rng, frames=60, fps=15, offsets=OFFSETS)
    assert height(sit_up)[:, INDEX["pelvis"]].max() < 0.1
    head = sit_up.position[:, INDEX["head"], 1]
    assert head.min() < 0.35 and head.max() > 0.5


def test_the_same_seed_gives_the_same_motion_and_another_one_does_not():
    def once(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return perform("throw", rng, frames=12, fps=12, offsets=OFFSETS).position

    np.testing.assert_array_equal(once(3), once(3))
    assert np.abs(once(3) - once(4)).max() > 0.1


def test_no_two_actions_look_the_same(rng):
    """Joint angles over a second, nearest other performance: nearly always of the same action."""
    frames, examples = 30, 6

    def describe(action: str) -> np.ndarray:
        score = motions.action_angles(action, rng, t=np.arange(frames) / 10, offsets=OFFSETS)
        angles = np.delete(score.channels, [CHANNEL["root_yaw"], CHANNEL["neck_turn"]], axis=1)
        return np.concatenate(
            [angles.mean(0), angles.std(0), np.abs(np.diff(angles, axis=0)).mean(0)]
        )

    features = np.array([describe(action) for action in ACTIONS for _ in range(examples)])
    features /= features.std(0) + 1e-6
    label = np.repeat(np.arange(len(ACTIONS)), examples)
    distance = np.linalg.norm(features[:, None] - features[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    right = label[distance.argmin(1)] == label
    assert right.mean() > 0.85
    per_action = right.reshape(len(ACTIONS), examples).mean(1)
    assert per_action.min() > 0.3, ACTIONS[per_action.argmin()]


def test_without_style_noise_only_the_action_is_left(rng):
    t = np.arange(30) / 10
    quiet = motions.action_angles("idle", rng, t=t, offsets=OFFSETS, style_noise=0.0)
    assert np.all(quiet.channels[:, CHANNEL["neck_turn"]] == 0)
    styled = motions.action_angles("idle", rng, t=t, offsets=OFFSETS)
    assert np.ptp(styled.channels[:, CHANNEL["neck_turn"]]) > 0


def test_both_hands_are_used_over_many_performances(rng):
    highest = [
        perform("wave", rng, frames=8, fps=8, offsets=OFFSETS).position[..., 1].mean(0)
        for _ in range(20)
    ]
    left = [y[INDEX["l_wrist"]] > y[INDEX["r_wrist"]] for y in highest]
    assert 3 < sum(left) < 17


def test_a_sequence_is_labelled_frame_by_frame_and_does_not_jump():
    fps, steps = 30.0, [("walk", 1.5), ("squat", 2.0), ("push_up", 2.5), ("wave", 2.0)]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        motion = perform_sequence(steps, rng, fps=fps, offsets=OFFSETS, yaw=0.0)
        expected = np.repeat([ACTIONS.index(name) for name, _ in steps], [45, 60, 75, 60])
        np.testing.assert_array_equal(motion.action, expected)
        assert len(motion) == 240
        assert height(motion).min() > -0.02
        # 12 m/s: a hand that goes from a swinging arm to behind the head in half a second.
        assert step_length(motion.position).max() < 0.40
        assert step_length(motion.position[:, 0]).max() < 0.15


def test_a_left_handed_sequence_is_the_reflected_right_handed_one():
    def once(mirrored: bool) -> motions.Motion:
        rng = np.random.default_rng(5)
        steps = [("throw", 1.0), ("kick", 1.0)]
        return perform_sequence(steps, rng, fps=10, offsets=OFFSETS, yaw=0.0, mirrored=mirrored)

    right, left = once(False), once(True)
    np.testing.assert_allclose(left.position, right.position[:, MIRROR] * (-1, 1, 1), atol=1e-9)


def test_wrong_requests_are_refused(rng):
    with pytest.raises(ValueError, match="no action 'fly'"):
        perform("fly", rng, frames=4, fps=4, offsets=OFFSETS)
    for steps in ([], [("walk", 0.0)]):
        with pytest.raises(ValueError, match="steps"):
            perform_sequence(steps, rng, fps=10, offsets=OFFSETS)


def test_random_poses_stand_lie_and_hang_upside_down(rng):
    motion = random_poses(rng, 600, offsets=OFFSETS)
    assert np.all(motion.action == -1)
    assert height(motion).min() > -0.02
    upright = motion.rotation[:, 0, 1, 1]  # cosine between pelvis and vertical
    assert 0.55 < np.mean(upright > 0.8) < 0.85
    assert 0.05 < np.mean(np.abs(upright) < 0.6) < 0.3
    assert 0.03 < np.mean(upright < -0.6) < 0.15
    crouched = motion.position[:, 0, 1] < 0.6
    assert np.mean(crouched & (upright > 0.7)) > 0.03


# ---------------------------------------------------------------------- motion capture
@pytest.mark.parametrize("action", ["walk", "jumping_jack", "golf_swing", "sit_up", "push_up"])
def test_rotations_from_positions_put_the_joints_back(action, rng):
    offsets = skeleton.random_offsets(rng)
    motion = perform(action, rng, frames=40, fps=12, offsets=offsets)
    rotation = retarget.rotations_from_positions(motion.position)
    np.testing.assert_allclose(
        rotation @ np.swapaxes(rotation, -1, -2),
        np.broadcast_to(np.eye(3), rotation.shape),
        atol=1e-9,
    )
    assert np.all(np.linalg.det(rotation) > 0)
    position = skeleton.positions(rotation, offsets, motion.position[:, 0])
    error = np.linalg.norm(position - motion.position, axis=-1)
    hands = [INDEX["l_hand"], INDEX["r_hand"]]  # their own angle is lost
    assert np.delete(error, hands, axis=1).max() < 0.001
    assert error.mean() < (0.025 if action == "push_up" else 0.015)


def fake_clip(rng: np.random.Generator, frames: int = 60) -> retarget.MocapClip:
    """A performance of ours as if it were motion capture of somebody small, 0.2 m above zero."""
    motion = perform("squat", rng, frames=frames, fps=30, offsets=OFFSETS * 0.8)
    position = skeleton.to_layout(motion.position, motion.rotation, "H36M17") + (5.0, 0.2, -3.0)
    return retarget.MocapClip(position, 30.0, "squat_1", "rendered", "1", "squat")


def test_motion_capture_gets_the_body_it_is_given_and_its_feet_on_the_ground(rng):
    clip = fake_clip(rng)
    offsets = skeleton.random_offsets(rng)
    motion = retarget.motion_from_mocap(clip, rng, start=3, frames=20, fps=12, offsets=offsets)
    assert motion.position.shape == (20, 22, 3)
    length = np.linalg.norm(motion.position - motion.position[:, list(PARENT)], axis=-1)
    np.testing.assert_allclose(
        length[:, 1:], np.tile(np.linalg.norm(offsets[1:], axis=-1), (20, 1)), atol=1e-9
    )
    assert height(motion).min() > -1e-6
    assert height(motion).min(1).max() < 0.03
    np.testing.assert_allclose(motion.position[0, 0, [0, 2]], 0, atol=1e-9)
    assert np.ptp(motion.position[:, 0, 1]) > 0.1  # it still squats
    assert np.all(motion.action == -1)


def test_motion_capture_that_is_too_short_is_refused(rng):
    clip = fake_clip(rng, frames=30)
    with pytest.raises(ValueError, match="squat_1 has 30"):
        retarget.motion_from_mocap(clip, rng, start=10, frames=20, fps=15)


def test_a_file_of_motion_capture_is_read_clip_by_clip(tmp_path, rng):
    clip = fake_clip(rng)
    root = clip.position[:, 0]
    arrays = {
        "rel": (clip.position - root[:, None]).astype(np.float16),
        "root": root.astype(np.float32),
        "start": np.array([0, 40]),
        "length": np.array([40, 20]),
        "fps": np.array(30.0),
        **{key: np.array(["a", "b"]) for key in ("name", "source", "subject", "label")},
    }
    np.savez(tmp_path / "good.npz", **arrays)
    first, second = retarget.load_mocap(tmp_path / "good.npz")
    assert (len(first), len(second), second.name, first.fps) == (40, 20, "b", 30.0)
    np.testing.assert_allclose(second.position, clip.position[40:], atol=2e-3)

    np.savez(tmp_path / "lying.npz", **{**arrays, "rel": arrays["rel"][..., [0, 2, 1]]})
    with pytest.raises(ValueError, match="ankles to thorax"):
        retarget.load_mocap(tmp_path / "lying.npz")
    np.savez(tmp_path / "swapped.npz", **{**arrays, "rel": arrays["rel"] * [-1, 1, 1]})
    with pytest.raises(ValueError, match="left and right"):
        retarget.load_mocap(tmp_path / "swapped.npz")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        retarget.load_mocap(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("name", ["cmu17", "hdm05_17", "mit17"])
def test_real_motion_capture_stands_on_the_ground(name, rng):
    path = SHARED / "data" / "mocap" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"no motion capture at {path}; set POSEACT_SHARED")
    clips = [clip for clip in retarget.load_mocap(path) if len(clip) > 45]
    assert len(clips) > 5
    upright = []
    for clip in clips[:: max(1, len(clips) // 12)]:
        motion = retarget.motion_from_mocap(clip, rng, start=2, frames=16, fps=12)
        assert np.isfinite(motion.position).all()
        assert height(motion).min() > -1e-6
        assert step_length(motion.position).max() < 1.2  # 14 m/s
        upright.append(motion.rotation[:, INDEX["chest"], 1, 1].mean())
    assert np.median(upright) > 0.8
