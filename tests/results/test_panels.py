from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.core.types import Result
from poseact.results.drawing import SIDE_COLOUR, draw_people
from poseact.results.panels import action_bar, annotate, contact_sheet, timeline, view_3d
from small_drawing import ACTION, LABELS, XYZ, grey, middle, near, person


def test_the_picture_given_is_not_touched() -> None:
    rgb = grey()
    assert not np.array_equal(draw_people(rgb, Result(0, 0.0, (person(),))), rgb)
    annotate(rgb, Result(0, 0.0, (person(),), LABELS))
    assert (rgb == 128).all()


def test_a_person_far_outside_or_all_unknown_does_no_harm() -> None:
    lost = replace(person(), xy=np.full((17, 2), np.nan), box=np.full(4, np.nan))
    far = replace(person(), xy=person().xy + 1e7)
    out = annotate(grey(), Result(0, 0.0, (lost, far), LABELS))
    assert out.shape == (480, 480, 3)


def test_view_3d_has_the_colours_of_2d_and_left_on_its_side() -> None:
    view = view_3d(XYZ, PA17, size=200, azimuth_deg=0)
    assert view.shape == (200, 200, 3) and view.dtype == np.uint8

    def column(side: str, picture: np.ndarray) -> float:
        hue = np.array(SIDE_COLOUR[side]) / np.linalg.norm(SIDE_COLOUR[side])
        length = np.linalg.norm(picture, axis=-1)
        found = (picture @ hue > 0.99 * length) & (length > 120)
        assert found.sum() > 50
        return float(np.nonzero(found)[1].mean())

    assert column("r", view) < column("m", view) < column("l", view)
    behind = view_3d(XYZ, PA17, size=200, azimuth_deg=180)
    assert column("l", behind) < column("m", behind) < column("r", behind)


def test_view_3d_keeps_its_scale_and_shows_all_of_a_giant() -> None:
    def lit(xyz: np.ndarray) -> np.ndarray:
        view = view_3d(xyz, PA17, size=200, azimuth_deg=0)
        return np.nonzero(near(view, SIDE_COLOUR["m"], 70).any(1))[0]  # rows of the trunk

    whole, half = lit(XYZ), lit(XYZ * 0.5)
    assert np.ptp(half) == pytest.approx(np.ptp(whole) / 2, abs=5)
    assert lit(XYZ * 5).min() > 2 and np.ptp(lit(XYZ * 5)) < 1.6 * np.ptp(whole)


def test_view_3d_of_nothing_is_empty() -> None:
    view = view_3d(np.full((17, 3), np.nan), PA17, size=64)
    assert (view == view[0, 0]).all()


def test_action_bar_is_as_long_as_the_action_is_probable() -> None:
    bar = action_bar(LABELS, ACTION, width=300)
    assert bar.shape[1] == 300
    first = bar[bar.shape[0] // 6 - 8]  # above the text of the first row
    filled = (first == first[10]).all(-1).sum()
    assert filled / 288 == pytest.approx(0.7, abs=0.03)
    with pytest.raises(ValueError, match="4 labels but 3"):
        action_bar(LABELS, ACTION[:3], width=300)
    assert action_bar(LABELS[:1], np.array([np.nan]), width=60).shape[1] == 60


@pytest.mark.parametrize(
    ("size", "expected"),
    [((128, 128), (480, 480)), ((90, 160), (480, 853)), ((720, 1280), (720, 1280))],
)
def test_annotate_enlarges_small_pictures_only(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    p = person(size[0], x=size[1] * 0.4)
    out = annotate(grey(*size), Result(0, 0.0, (p,), LABELS))
    assert out.shape[:2] == expected
    empty = annotate(grey(*size), Result(1, 0.1, (), LABELS))
    assert empty.shape == out.shape and (empty == 128).all()
    scale = expected[0] / size[0]
    y, x = middle(replace(p, xy=p.xy * scale), "pelvis", "spine")
    assert near(out[y, x], SIDE_COLOUR["m"])
    bare = annotate(grey(*size), Result(0, 0.0, (p,), LABELS), inset=False)
    corner = np.s_[expected[0] // 20 : expected[0] // 4, -expected[0] // 4 : -expected[0] // 20]
    assert out[corner].mean() < 70 and (bare[corner] == 128).all()


def test_beside_leaves_the_picture_free() -> None:
    result = Result(0, 0.0, (person(480, x=240),), LABELS)
    out = annotate(grey(480, 480), result, beside=True)
    assert out.shape == (480, 768, 3)
    assert np.array_equal(out[:, :480], draw_people(grey(480, 480), result))
    assert out[:, 490:].max() > 200


def test_several_people_have_tags() -> None:
    two = (person(480, x=150, size=0.7), person(480, x=500, size=0.4, track=3))
    out = annotate(grey(480, 640), Result(0, 0.0, two, LABELS), inset=False)
    head = two[1].xy[:, 1].min()
    above = out[int(head) - 30 : int(head) - 8, 470:530]
    assert above.min() < 40 and above.max() > 220


def test_timeline_is_bright_where_the_action_is() -> None:
    probabilities = np.zeros((100, 4))
    probabilities[:50, 2], probabilities[50:, 0] = 1.0, 0.9
    probabilities[40:50] = np.nan
    strip = timeline(probabilities, LABELS, width=500, cursor=75).astype(int)
    rows = strip[[8, 24]]  # kick, wave
    green = rows[:, 140:, 1]
    assert green[0, 20] > green[0, 250] + 80 and green[1, 250] > green[1, 20] + 80
    assert green[0, 160] == green[0, 250]  # unknown is dark
    assert (strip[:, :, 0] == 238).all(0).sum() == 2  # the cursor
    with pytest.raises(ValueError, match=r"need \(T, 4\)"):
        timeline(probabilities[:, :3], LABELS, width=500)
    assert timeline(np.zeros((0, 4)), LABELS, width=300, cursor=0).shape[1] == 300


def test_contact_sheet_keeps_order_and_shape() -> None:
    tiles = [np.full((40, 60, 3), v, np.uint8) for v in (50, 100, 150, 200)]
    tiles.append(np.full((80, 30, 3), 250, np.uint8))  # fitted, not stretched
    sheet = contact_sheet(tiles, 3, labels=list("abcde"))
    rows = np.nonzero((sheet == 100).all(-1).any(1))[0]
    columns = np.nonzero((sheet == 100).all(-1).any(0))[0]
    assert (len(rows), len(columns)) == (40, 60)
    assert np.nonzero((sheet == 50).all(-1))[1].max() < columns.min()
    assert (sheet == 250).all(-1).any(1).sum() == 40 and (sheet == 250).all(-1).any(0).sum() == 15
    with pytest.raises(ValueError, match="needs tiles"):
        contact_sheet([], 3)
