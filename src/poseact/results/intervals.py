"""From an action a frame to who did what from when to when; as CSV, SubRip and WebVTT."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from poseact.core.files import whole_file, write_text
from poseact.core.types import Result
from poseact.results.table import plain_text

ENTER = 0.6
"""An action begins when its probability, steadied, reaches this ..."""
LEAVE = 0.4
"""... and ends when it falls below this, or when another one begins."""
STEADY_S = 0.4
"""Time constant of the mean of probabilities, seconds."""
SHORTEST_S = 0.5
"""A shorter interval is no action."""
GAP_S = 1.0
"""So long somebody may be out of sight within an interval."""
NONE = "none"
"""The label of no action: it has no intervals."""
COLUMNS = ("track", "action", "start_s", "end_s", "probability")


@dataclass(frozen=True)
class Interval:
    """One action of one person, start_s to end_s; probability: the mean in between."""

    track: int
    label: str
    start_s: float
    end_s: float
    probability: float


@dataclass
class _Open:
    """What one person is doing: the steadied probabilities, and the interval that is not over."""

    mean: np.ndarray
    time_s: float
    label: int | None = None
    start_s: float = 0.0
    total: float = 0.0
    count: int = 0


def intervals(results: Iterable[Result]) -> list[Interval]:
    """The actions in the frames of one video, in the order of their starts.

    With hysteresis, so that a frame or two of another answer end nothing. A window of frames ends
    at the frame that has its probabilities, so starts and ends come up to a window late.
    """
    going: dict[int, _Open] = {}
    done: list[Interval] = []
    labels: Sequence[str] = ()
    for result in results:
        labels = result.labels
        for person in result.people:
            if person.action is None or not len(labels):
                continue
            seen = np.nan_to_num(person.action)
            state = going.get(person.track)
            if state is None or result.time_s - state.time_s > GAP_S:
                if state is not None:
                    _close(state, person.track, labels, done)
                state = going[person.track] = _Open(seen, result.time_s)
            _advance(state, person.track, seen, result.time_s, labels, done)
    for track, state in going.items():
        _close(state, track, labels, done)
    return sorted(done, key=lambda i: (i.start_s, i.track))


def _advance(
    state: _Open,
    track: int,
    seen: np.ndarray,
    time_s: float,
    labels: Sequence[str],
    done: list[Interval],
) -> None:
    """One frame more of one person."""
    weight = 1 - np.exp(-max(time_s - state.time_s, 0.0) / STEADY_S)
    state.mean = state.mean + weight * (seen - state.mean)
    best = int(state.mean.argmax())
    ends = state.label is not None and state.mean[state.label] < LEAVE
    if ends or (best != state.label and state.mean[best] >= ENTER):
        state.time_s = time_s
        _close(state, track, labels, done)
    state.time_s = time_s
    if state.label is None and state.mean[best] >= ENTER and labels[best] != NONE:
        state.label, state.start_s, state.total, state.count = best, time_s, 0.0, 0
    if state.label is not None:
        state.total, state.count = state.total + float(seen[state.label]), state.count + 1


def _close(state: _Open, track: int, labels: Sequence[str], done: list[Interval]) -> None:
    if state.label is not None and state.time_s - state.start_s >= SHORTEST_S:
        mean = state.total / max(state.count, 1)
        done.append(Interval(track, labels[state.label], state.start_s, state.time_s, mean))
    state.label = None


class Steady:
    """For drawings: results of one video, frame by frame, whose actions do not flicker."""

    def __init__(self) -> None:
        self._going: dict[int, _Open] = {}

    def __call__(self, result: Result) -> Result:
        """The frame with steadied probabilities, that of the action which is going on the highest.

        As in `intervals`, but at once; who does nothing that is sure enough has no action.
        """
        now, people = result.time_s, []
        for person in result.people:
            action = None
            if person.action is not None and len(result.labels):
                seen = np.nan_to_num(person.action)
                state = self._going.setdefault(person.track, _Open(seen, now))
                _advance(state, person.track, seen, now, result.labels, [])
                if state.label is not None:
                    action = np.minimum(state.mean, state.mean[state.label])
            people.append(replace(person, action=action))
        self._going = {t: s for t, s in self._going.items() if now - s.time_s <= GAP_S}
        return replace(result, people=tuple(people))


# --------------------------------------------------------------------------------------- files


def write_intervals(path: str | Path, found: Iterable[Interval]) -> None:
    """CSV with the columns `COLUMNS`, times in seconds of the video."""
    with whole_file(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for i in found:
            times = f"{i.start_s:.3f}", f"{i.end_s:.3f}"
            table.writerow([i.track, plain_text(i.label), *times, f"{i.probability:.3f}"])


def write_srt(path: str | Path, found: Iterable[Interval]) -> None:
    """Subtitles that players show: SubRip, or WebVTT if the file's name ends in .vtt."""
    web = Path(path).suffix == ".vtt"
    cues = []
    for number, i in enumerate(found, 1):
        times = f"{_clock(i.start_s, web=web)} --> {_clock(i.end_s, web=web)}"
        cues.append(f"{number}\n{times}\n{i.track}: {i.label.replace('_', ' ')}\n")
    write_text(Path(path), ("WEBVTT\n\n" if web else "") + "\n".join(cues))


def _clock(time_s: float, *, web: bool) -> str:
    ms = round(time_s * 1000)
    point = "." if web else ","
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"
