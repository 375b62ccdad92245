"""How often somebody did a squat, a jumping jack or a push-up: from the pose alone.

Each movement has one angle that swings there and back. A repetition is a swing of at least so many
degrees both ways; one that the video cuts off before that is not counted. What the body does
meanwhile tells movements apart, not the action that the network gives.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from poseact.core.files import whole_file
from poseact.core.types import Person, Result

RATE_HZ, STEADY_S = 30.0, 0.08
"""Angles are brought to this rate and steadied by a Gaussian of this width."""
GAP_S = 0.5
"""Over a shorter gap angles are interpolated, a longer one ends what was going on."""
SHORTEST_S, LONGEST_S = 0.35, 10.0
"""Of a repetition."""
COLUMNS = ("track", "movement", "number", "start_s", "end_s", "range_deg")


@dataclass(frozen=True)
class Movement:
    """angles: the least of these must swing by `range_deg` there and back, and reach `peak_deg`.
    trunk_deg: least and most lean of the trunk meanwhile, on the mean (0 upright, 90 level, more
    with the head low). feet: how much farther apart they must come, over the length of a leg."""

    name: str
    angles: tuple[str, ...]
    range_deg: float
    peak_deg: float
    trunk_deg: tuple[float, float]
    feet: float = 0.0


MOVEMENTS = (
    Movement("squat", ("l_knee", "r_knee"), 40, 50, (0, 50)),
    Movement("jumping_jack", ("l_shoulder", "r_shoulder"), 60, 110, (0, 35), feet=0.15),
    Movement("push_up", ("l_elbow", "r_elbow"), 35, 50, (45, 135)),
)


@dataclass(frozen=True)
class Repetition:
    """One repetition of one person. range_deg: the smaller of the ways there and back."""

    track: int
    movement: str
    start_s: float
    end_s: float
    range_deg: float


@dataclass
class _Curves:
    """Of one person: times and, for each, what every movement needs."""

    times_s: list[float] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)


_NAMES = (*dict.fromkeys(name for m in MOVEMENTS for name in m.angles), "trunk", "feet")


def repetitions(results: Iterable[Result]) -> list[Repetition]:
    """The repetitions in the frames of one video, in the order of their starts."""
    people: dict[int, _Curves] = {}
    for result in results:
        for person in result.people:
            curves = people.setdefault(person.track, _Curves())
            curves.times_s.append(result.time_s)
            curves.rows.append(_measured(person))
    found = []
    for track, curves in people.items():
        times_s, rows = np.array(curves.times_s), np.array(curves.rows)
        for movement in MOVEMENTS:
            for piece in _pieces(movement, times_s, rows):
                found += _counted(track, movement, *piece)
    return sorted(found, key=lambda r: (r.start_s, r.track))


def summary(found: Sequence[Repetition]) -> list[str]:
    """A line for each person and movement."""
    counts = Counter((r.track, r.movement) for r in found)
    return [f"track {track}: {n} x {name}" for (track, name), n in sorted(counts.items())]


def write_repetitions(path: str | Path, found: Iterable[Repetition]) -> None:
    """CSV with the columns `COLUMNS`: a row for each, `number` counts those of one kind."""
    numbers: Counter[tuple[int, str]] = Counter()
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for r in found:
            numbers[r.track, r.movement] += 1
            times = f"{r.start_s:.3f}", f"{r.end_s:.3f}", f"{r.range_deg:.0f}"
            table.writerow([r.track, r.movement, numbers[r.track, r.movement], *times])


def _measured(person: Person) -> tuple[float, ...]:
    """The values of `_NAMES`, NaN where unknown."""
    of = "xy" if person.xyz is None else "xyz"
    return *(person.angle(name, of=of) for name in _NAMES[:-1]), _feet(person)


def _feet(person: Person) -> float:
    """Distance of the ankles over the length of a leg, in the picture."""
    names = [f"{side}_{joint}" for side in "lr" for joint in ("hip", "ankle")]
    if any(name not in person.layout.joints for name in names):
        return float("nan")
    l_hip, l_ankle, r_hip, r_ankle = person.xy[[person.layout.index(name) for name in names]]
    leg = max(float(np.linalg.norm(l_hip - l_ankle)), float(np.linalg.norm(r_hip - r_ankle)), 1.0)
    return float(np.linalg.norm(l_ankle - r_ankle)) / leg


def _pieces(
    movement: Movement, times_s: np.ndarray, rows: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Times, the swinging angle, trunk and feet at an even rate, between gaps."""
    columns = {name: rows[:, k] for k, name in enumerate(_NAMES)}
    angle = np.min([columns[name] for name in movement.angles], axis=0)
    known = np.isfinite(angle) & np.isfinite(columns["trunk"]) & np.isfinite(columns["feet"])
    times_s, angle = times_s[known], angle[known]
    others = [columns[name][known] for name in ("trunk", "feet")]
    pieces = []
    for own in np.split(np.arange(len(times_s)), np.flatnonzero(np.diff(times_s) > GAP_S) + 1):
        if len(own) < 3 or times_s[own[-1]] - times_s[own[0]] < SHORTEST_S:
            continue
        even = np.arange(float(times_s[own[0]]), float(times_s[own[-1]]), 1 / RATE_HZ)
        curves = [np.interp(even, times_s[own], curve[own]) for curve in (angle, *others)]
        steady = [gaussian_filter1d(c, STEADY_S * RATE_HZ, mode="nearest") for c in curves]
        pieces.append((even, *steady))
    return pieces


def _counted(
    track: int,
    movement: Movement,
    times_s: np.ndarray,
    angle: np.ndarray,
    trunk: np.ndarray,
    feet: np.ndarray,
) -> list[Repetition]:
    from scipy.signal import find_peaks  # which takes long to import

    found = []
    peaks, about = find_peaks(angle, prominence=movement.range_deg, height=movement.peak_deg)
    edges = [0, *peaks.tolist(), len(angle) - 1]
    for n, peak in enumerate(peaks.tolist(), 1):
        start = edges[n - 1] + int(angle[edges[n - 1] : peak + 1].argmin())
        end = peak + int(angle[peak : edges[n + 1] + 1].argmin())
        within = slice(start, end + 1)
        lean = float(np.mean(trunk[within]))
        apart = float(np.ptp(feet[within]))
        leans = movement.trunk_deg[0] <= lean <= movement.trunk_deg[1]
        lasts = SHORTEST_S <= times_s[end] - times_s[start] <= LONGEST_S
        if lasts and leans and apart >= movement.feet:
            way = float(about["prominences"][n - 1])
            began, over = float(times_s[start]), float(times_s[end])
            found.append(Repetition(track, movement.name, began, over, way))
    return found
