"""Zero-phase filters and constant bones, on poses whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poseact.core.layouts import PA17
from poseact.core.types import Result
from poseact.results.filters import (
    bone_lengths,
    butterworth,
    constant_bones,
    filtered,
    savitzky_golay,
    with_lengths,
)
from small_results import person

FPS = 25.0
FILTERS = {"butterworth": butterworth(6.0), "savgol": savitzky_golay(0.25)}


def swinging(frames: int = 100, *, noise: float = 0.0, track: int = 0) -> list[Result]:
    """Joints that swing at 1 Hz, with noise."""
    rng = np.random.default_rng(0)
    somebody = person(0, track=track)
    swing = np.sin(2 * np.pi * np.arange(frames) / FPS)[:, None, None] * 50
    found = []
    for t in range(frames):
        xy = 200 + swing[t] + noise * rng.normal(size=(17, 2))
        xyz = 10 * swing[t] + 10 * noise * rng.normal(size=(17, 3))
        one = replace(somebody, xy=xy, xyz=xyz, score=np.full(17, 0.9))
        found.append(Result(t, t / FPS, (one,), ("walk", "wave")))
    return found


def places(results: list[Result]) -> np.ndarray:
    return np.stack([result.people[0].xy for result in results])


@pytest.mark.parametrize("name", FILTERS)
def test_noise_goes_and_the_movement_stays_without_lag(name: str) -> None:
    exact, noisy = places(swinging()), swinging(noise=3.0)
    smooth = places(filtered(noisy, FILTERS[name]))
    before, after = (np.abs(x - exact)[5:-5].mean() for x in (places(noisy), smooth))
    assert after < 0.7 * before
    late = [np.abs(smooth[10 + k : 80 + k] - exact[10:80]).mean() for k in (-1, 0, 1)]
    assert np.argmin(late) == 1


@pytest.mark.parametrize("name", FILTERS)
def test_short_stretches_and_what_is_smooth_pass(name: str) -> None:
    short = swinging(4, noise=3.0)
    np.testing.assert_array_equal(places(filtered(short, FILTERS[name])), places(short))
    still = [
        replace(r, people=(replace(r.people[0], xy=np.full((17, 2), 7.0)),)) for r in short * 9
    ]
    still = [replace(r, index=t, time_s=t / FPS) for t, r in enumerate(still)]
    np.testing.assert_allclose(places(filtered(still, FILTERS[name])), 7.0)


def test_nothing_goes_across_a_gap_or_between_people() -> None:
    first, second = swinging(60), swinging(60)
    far = [
        replace(r, index=r.index + 80, time_s=r.time_s + 3.2, people=(replace(p, xy=p.xy + 1000),))
        for r in second
        for p in r.people
    ]
    other = [replace(r.people[0], track=1, xy=r.people[0].xy - 500) for r in swinging(60, noise=2)]
    alone = places(filtered(first, butterworth()))
    both = [replace(r, people=(*r.people, o)) for r, o in zip(first, other)]
    together = filtered([*both, *far], butterworth())
    np.testing.assert_allclose(places(together[:60]), alone)
    np.testing.assert_allclose(places(together[60:]), alone + 1000)


def test_unknown_joints_stay_unknown() -> None:
    results = swinging(60, noise=1.0)
    results[30].people[0].xy[4] = np.nan
    smooth = places(filtered(results, butterworth()))
    assert np.isnan(smooth[30, 4]).all() and np.isfinite(np.delete(smooth, 30, 0)).all()
    guest = [replace(r, people=(replace(r.people[0], track=-1),)) for r in results]
    assert filtered(guest, butterworth())[3].people[0] is guest[3].people[0]


def test_bones_keep_one_length_and_their_directions() -> None:
    rng = np.random.default_rng(1)
    poses = rng.normal(size=(40, 17, 3)) * 300
    lengths = bone_lengths(poses, PA17)
    held = with_lengths(poses, lengths, PA17)
    parents = np.array(PA17.parents)
    child = [j for j, p in enumerate(PA17.parents) if p >= 0]
    bones, before = (p[:, child] - p[:, parents[child]] for p in (held, poses))
    np.testing.assert_allclose(np.linalg.norm(bones, axis=-1), np.tile(lengths[child], (40, 1)))
    unit = [b / np.linalg.norm(b, axis=-1, keepdims=True) for b in (bones, before)]
    np.testing.assert_allclose(unit[0], unit[1], atol=1e-9)
    np.testing.assert_allclose(lengths, lengths[list(PA17.flip)])
    results = swinging(40)
    results = [replace(r, people=(replace(r.people[0], xyz=p),)) for r, p in zip(results, poses)]
    again = np.stack([r.people[0].xyz for r in constant_bones(results)])  # type: ignore[list-item]
    np.testing.assert_allclose(again, held)
    np.testing.assert_allclose(again[:, PA17.root], poses[:, PA17.root])


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_settings_that_are_none(wrong: float) -> None:
    with pytest.raises(ValueError, match="Hz, more than 0"):
        butterworth(wrong)
    with pytest.raises(ValueError, match="seconds, more than 0"):
        savitzky_golay(wrong)
