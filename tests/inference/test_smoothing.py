from __future__ import annotations

import numpy as np

from poseact.inference.smoothing import OneEuro


def test_one_euro_calms_rest_and_keeps_up_with_motion() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(300) / 30
    rest = np.full((300, 17, 2), 100.0) + rng.normal(0, 1, (300, 17, 2))
    steady = OneEuro()
    calm = np.stack([steady(x, t, scale=200.0) for x, t in zip(rest, times)])
    assert calm[30:].std() < 0.6 * rest[30:].std()
    moving = 100 + np.tile(400.0 * times[:, None, None], (1, 17, 2))  # two sides a second
    follow = OneEuro()
    late = np.stack([follow(x, t, scale=200.0) for x, t in zip(moving, times)])
    assert np.abs(late - moving)[30:].max() < 0.05 * 200  # a twentieth of the person


def test_one_euro_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 10, (20, 5, 2)).cumsum(0)
    small, large = OneEuro(), OneEuro()
    for i, p in enumerate(points):
        a, b = small(p, i / 25, scale=50.0), large(40 * p, i / 25, scale=2000.0)
        np.testing.assert_allclose(40 * a, b)


def test_an_unknown_joint_stays_unknown_and_starts_anew() -> None:
    smooth = OneEuro()
    points = np.ones((3, 2))
    smooth(points, 0.0, scale=1.0)
    gone = points.copy()
    gone[1] = np.nan
    assert np.isnan(smooth(gone, 0.1, scale=1.0)[1]).all()
    back = smooth(points + 5, 0.2, scale=1.0)
    np.testing.assert_array_equal(back[1], [6, 6])
    assert np.isfinite(smooth(points, 0.3, scale=1.0)).all()


def test_what_is_handed_out_is_not_the_filters_own() -> None:
    points = np.ones((2, 2))
    smooth = OneEuro()
    first = smooth(points, 0.0, scale=1.0)
    first[:], points[:] = 99, 77
    np.testing.assert_array_equal(smooth(np.ones((2, 2)), 0.1, scale=1.0), np.ones((2, 2)))
