from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.core.types import Result
from poseact.results.drawing import SIDE_COLOUR, draw_people
from small_drawing import grey, middle, near, person


def test_each_bone_has_the_colour_of_its_side_in_2d() -> None:
    p = person()
    out = draw_people(grey(), Result(0, 0.0, (p,)))
    for parent, child in PA17.edges:
        y, x = middle(p, PA17.joints[parent], PA17.joints[child])
        assert near(out[y, x], SIDE_COLOUR[PA17.side(child)]), PA17.joints[child]


def test_a_joint_is_drawn_where_it_is_to_a_fraction_of_a_pixel() -> None:
    alone = np.full((17, 2), np.nan)
    alone[0] = 20.25, 31.5
    p = replace(person(), xy=alone, box=np.array([0, 0, 300.0, 300]))
    out = draw_people(grey(64, 64), Result(0, 0.0, (p,))).astype(float)
    drawn = np.abs(out - 128).sum(-1) > 0
    y, x = np.nonzero(drawn)
    assert (x.min() + x.max() + 1) / 2 == pytest.approx(20.25, abs=0.5)
    assert (y.min() + y.max() + 1) / 2 == pytest.approx(31.5, abs=0.5)


def test_unknown_joints_are_not_drawn_and_unsure_ones_are_faint() -> None:
    p = person()
    wrist, ankle = PA17.index("l_wrist"), PA17.index("r_ankle")
    xy, score = p.xy.copy(), p.score.copy()
    xy[wrist] = np.nan
    score[ankle] = 0.1
    p2 = replace(p, xy=xy, score=score)
    out = draw_people(grey(), Result(0, 0.0, (p2,)))
    y, x = middle(p, "l_elbow", "l_wrist")
    assert (out[y, x] == 128).all()
    y, x = middle(p, "r_knee", "r_ankle")
    orange = np.array(SIDE_COLOUR["r"])
    assert not near(out[y, x], tuple(orange))
    assert np.allclose(out[y, x], 0.4 * orange + 0.6 * 128, atol=3)


def test_lines_grow_with_the_person() -> None:
    def coloured(height: int) -> float:
        out = draw_people(grey(height, height), Result(0, 0.0, (person(height, x=height / 2),)))
        return float((out != 128).any(-1).mean())

    assert coloured(1000) == pytest.approx(coloured(400), rel=0.25)
