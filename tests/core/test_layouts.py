"""Layouts: trees, twins, conversion by name, and the original project's tables against names."""

from __future__ import annotations

import numpy as np
import pytest

from poseact.core.layouts import (
    COCO17,
    DEEPHAR_INDEX,
    H36M17,
    JHMDB15,
    LAYOUTS,
    LSP14,
    MPII16,
    NTU25,
    PA16,
    PA17,
    PA20,
    PENN13,
    Layout,
    convert,
    layout_named,
)

every_layout = pytest.mark.parametrize(
    "layout", [pytest.param(v, id=k) for k, v in LAYOUTS.items()]
)

# The joints of the 32-joint Human3.6M skeleton that the tables read, by Human3.6M's own names.
H36M32 = dict(enumerate(["pelvis", "r_hip", "r_knee", "r_ankle", "r_foot"]))
H36M32 |= dict(enumerate(["l_hip", "l_knee", "l_ankle", "l_foot"], start=6))
H36M32 |= {11: "spine", 12: "spine1", 13: "neck", 15: "head", 22: "l_hand", 30: "r_hand"}
H36M32 |= dict(enumerate(["l_shoulder", "l_elbow", "l_wrist"], start=17))
H36M32 |= dict(enumerate(["r_shoulder", "r_elbow", "r_wrist"], start=25))


def poses(layout: Layout, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(4, len(layout), 3))


@every_layout
def test_flip_is_an_involution_that_exchanges_the_sides(layout: Layout):
    flip = np.array(layout.flip)
    assert (flip[flip] == np.arange(len(layout))).all()
    for j, twin in enumerate(flip):
        assert {layout.side(j), layout.side(twin)} in ({"m"}, {"l", "r"})
        assert layout.joints[j].removeprefix("l_").removeprefix("r_") in layout.joints[twin]


@every_layout
def test_every_joint_hangs_from_the_one_root(layout: Layout):
    assert layout.parents.count(-1) == 1
    for joint in range(len(layout)):
        seen = [joint]
        while layout.parents[seen[-1]] >= 0:
            seen.append(layout.parents[seen[-1]])
            assert len(seen) <= len(layout), f"cycle {seen}"
        assert seen[-1] == layout.root
    assert len(layout.edges) == len(layout) - 1


@every_layout
def test_the_tree_is_the_same_on_both_sides(layout: Layout):
    for joint, parent in enumerate(layout.parents):
        if parent >= 0:
            assert layout.parents[layout.flip[joint]] == layout.flip[parent]


@pytest.mark.parametrize(
    "name, joints",
    [("PA16", 16), ("PA17", 17), ("PA20", 20), ("PA21", 21), ("MPII16", 16), ("LSP14", 14)]
    + [("PENN13", 13), ("JHMDB15", 15), ("H36M17", 17), ("NTU25", 25), ("MSR20", 20)]
    + [("UTD20", 20), ("SBU15", 15), ("COCO17", 17), ("OPENPOSE25", 25)],
)
def test_a_layout_is_found_by_name_and_has_its_number_of_joints(name: str, joints: int):
    assert len(layout_named(name)) == joints


@pytest.mark.parametrize("other", [MPII16, PA17, PA20], ids=lambda layout: layout.name)
def test_to_a_layout_with_the_same_joints_and_back(other: Layout):
    pose = poses(PA16)
    assert np.array_equal(convert(convert(pose, PA16, other), other, PA16), pose)


def test_conversion_moves_each_joint_by_its_name():
    pose = poses(MPII16)
    converted = convert(pose, MPII16, LSP14)
    for joint in LSP14.joints:
        expected = pose[:, MPII16.index(joint)]
        assert np.array_equal(converted[:, LSP14.index(joint)], expected)


def test_conversion_commutes_with_the_mirror():
    pose = poses(NTU25)
    mirrored_first = convert(pose[:, NTU25.flip], NTU25, COCO17)
    mirrored_last = convert(pose, NTU25, COCO17)[:, COCO17.flip]
    assert np.array_equal(mirrored_first, mirrored_last, equal_nan=True)


def test_a_missing_joint_is_the_mean_of_its_neighbours_or_unknown():
    pose = poses(COCO17)
    hips = pose[:, [COCO17.index("l_hip"), COCO17.index("r_hip")]].mean(1)
    shoulders = pose[:, [COCO17.index("l_shoulder"), COCO17.index("r_shoulder")]].mean(1)
    derived = convert(pose, COCO17, H36M17)
    assert np.allclose(derived[:, H36M17.root], hips)
    assert np.allclose(derived[:, H36M17.index("spine")], (hips + shoulders) / 2)
    assert np.isnan(derived[:, H36M17.index("head")]).all()
    plain = convert(pose, COCO17, H36M17, derive=False)
    assert np.isnan(plain[:, H36M17.root]).all()
    known = ~np.isnan(plain)
    assert known[:, H36M17.index("nose")].all() and np.array_equal(plain[known], derived[known])


def test_a_derived_joint_of_a_person_with_an_unknown_part_is_unknown_for_that_person_only():
    pose = poses(COCO17)
    pose[1, COCO17.index("l_hip")] = np.nan
    pelvis = convert(pose, COCO17, PA16)[:, PA16.index("pelvis")]
    assert np.isnan(pelvis).all(1).tolist() == [False, True, False, False]


def test_errors_say_what_there_is():
    with pytest.raises(ValueError, match="no joint 'nose'.*pelvis"):
        PA16.index("nose")
    with pytest.raises(ValueError, match="no layout 'PA18'.*PA16"):
        layout_named("PA18")
    with pytest.raises(ValueError, match="pose has 16 joints, layout COCO17 has 17"):
        convert(poses(PA16), COCO17, PA16)
    with pytest.raises(ValueError, match="2 joints but 1 parents"):
        Layout("broken", ("a", "b"), (-1,))
    with pytest.raises(ValueError, match="twice"):
        Layout("broken", ("a", "a"), (-1, 0))


@pytest.mark.parametrize(
    "table, target, source",
    [
        ("pa16_from_mpii", PA16, MPII16),
        ("pa16_to_mpii", MPII16, PA16),
        ("pa16_to_lsp", LSP14, PA16),
        ("pa16_to_penn13", PENN13, PA16),
        ("pa20_to_mpii", MPII16, PA20),
    ],
)
def test_the_original_table_is_the_conversion_by_name(table: str, target: Layout, source: Layout):
    pose = poses(source)
    assert np.array_equal(pose[:, DEEPHAR_INDEX[table]], convert(pose, source, target))


def test_the_original_tables_from_and_to_mpii_undo_each_other():
    there, back = DEEPHAR_INDEX["pa16_from_mpii"], DEEPHAR_INDEX["pa16_to_mpii"]
    assert [there[j] for j in back] == list(range(16))


def test_the_original_table_to_jhmdb_names_the_limbs_and_stands_in_for_face_and_belly():
    read = [PA16.joints[j] for j in DEEPHAR_INDEX["pa16_to_jhmdb"]]
    differing = {j: r for j, r in zip(JHMDB15.joints, read, strict=True) if j != r}
    assert differing == {"belly": "thorax", "face": "head"}


@pytest.mark.parametrize("table, target", [("pa16_from_ntu", PA16), ("pa20_from_ntu", PA20)])
def test_the_original_tables_from_ntu_exchange_left_and_right(table: str, target: Layout):
    read = [NTU25.joints[j] for j in DEEPHAR_INDEX[table]]
    assert read == [target.joints[j] for j in target.flip]


@pytest.mark.parametrize("table, target", [("pa17_from_h36m32", PA17), ("pa20_from_h36m32", PA20)])
def test_the_original_tables_from_h36m_read_the_spine_as_thorax(table: str, target: Layout):
    read = [H36M32[j] for j in DEEPHAR_INDEX[table]]
    differing = {j: r for j, r in zip(target.joints, read, strict=True) if j != r}
    assert differing == {"thorax": "spine1"}


def test_a_derived_joint_does_not_depend_on_the_poses_beside_it() -> None:
    """The neck is the thorax where that is known, else between the shoulders: frame by frame."""
    both = Layout("both", ("thorax", "l_shoulder", "r_shoulder"), (-1, 0, 0))
    pose = np.array([[[5.0, 5], [0, 0], [2, 2]], [[np.nan, np.nan], [0, 0], [2, 2]]])
    neck = Layout("neck", ("neck",), (-1,))
    together = convert(pose, both, neck)
    alone = np.stack([convert(frame, both, neck) for frame in pose])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[:, 0], [[5, 5], [1, 1]])
