"""People before a camera: the newest frame, as deep a network as this machine keeps up with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from poseact.core.console import SILENT, Console
from poseact.core.types import Result
from poseact.inference.backends import FrameNetwork
from poseact.inference.predictor import Predictor, results_header
from poseact.media.capture import Capture
from poseact.media.live import Newest
from poseact.media.pictures import Frame
from poseact.media.video import VideoWriter
from poseact.models.exported import Answer
from poseact.results.intervals import Steady
from poseact.results.jsonl import ResultsWriter
from poseact.results.panels import annotate

if TYPE_CHECKING:
    from poseact.models.weights import Network

SETTLE_S = 1.0
"""An exit is kept at least so long."""
LONGEST_SETTLE_S = 60.0
"""A deeper exit that was too slow is tried again after longer and longer, at most after this."""
STAY, DEEPER = 0.95, 0.8
"""Shares of the time for a frame: more than the first is too slow, a deeper exit must be within the
second."""
SAY_S = 5.0
"""From one line about how it goes to the next."""
_MOST_MS = 10_000


# ----------------------------------------------------------------------------------- which exit


class AnyExit:
    """A network that can be told, between two frames, at which of its exits to stop.

    What an exit says of a frame for actions is the beginning of what a deeper one says: a window
    over frames of several exits is answered by the shallowest. exits: those that know actions,
    if the network does.
    """

    def __init__(self, model: Network) -> None:
        from poseact.inference.eager import Eager

        acts = bool(model.config.actions)
        cuts = {exit: model.cut(*exit) for exit in model.exits}
        exits = [exit for exit, cut in cuts.items() if cut.config.actions or not acts]
        self.exits = tuple(exits)
        self._cuts: dict[tuple[int, int], FrameNetwork] = {e: Eager(cuts[e]) for e in exits}
        self._heads: dict[int, FrameNetwork] = {}
        self.now = len(self.exits) - 1

    @property
    def exit(self) -> tuple[int, int]:
        return self.exits[self.now]

    def frames(self, crops: np.ndarray) -> Answer:
        cut = self._cuts[self.exit]
        out = cut.frames(crops)
        self._heads[len(out.features)] = cut
        return out

    def actions(self, features: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return self._heads[len(features)].actions(features)

    def cost_s(self, size: tuple[int, int], *, times: int = 3) -> list[float]:
        """Seconds each exit takes for one crop of (h, w) px here, the least of some tries."""
        crop, costs = np.zeros((1, *size, 3), np.uint8), []
        for cut in self._cuts.values():
            spent = []
            for _ in range(times):
                begin = time.perf_counter()
                cut.frames(crop)
                spent.append(time.perf_counter() - begin)
            costs.append(min(spent))
        return costs


class ExitChooser:
    """Picks the deepest exit with which a frame takes no longer than `budget_s`.

    cost_s: seconds of one crop at each exit, from the shallowest on. What is measured is the whole
    frame, detector and drawing included; the costs say what another exit would change.
    """

    def __init__(self, cost_s: Sequence[float], budget_s: float) -> None:
        self._cost_s, self._budget_s = list(np.maximum.accumulate(cost_s)), budget_s
        self.now = len(cost_s) - 1
        self._spent_s: float | None = None
        self._count, self._since_s = 0, -np.inf
        self._settle_s, self._deepened = SETTLE_S, False

    def choose(self, spent_s: float, people: int, time_s: float) -> int:
        """The exit for the next frame; spent_s: of the last one, with so many people in it."""
        self._spent_s = spent_s if self._spent_s is None else 0.8 * self._spent_s + 0.2 * spent_s
        self._count += 1
        if self._count < 5:
            return self.now
        own = self._cost_s[self.now]
        expected = [self._spent_s + (cost - own) * max(people, 1) for cost in self._cost_s]
        settled = time_s - self._since_s >= self._settle_s
        if self._spent_s > STAY * self._budget_s:
            fits = [e for e in range(self.now) if expected[e] <= STAY * self._budget_s]
            self._go(max(fits, default=0), time_s)
        elif settled:
            deeper = range(self.now + 1, len(expected))
            fits = [e for e in deeper if expected[e] <= DEEPER * self._budget_s]
            self._go(max(fits, default=self.now), time_s)
        return self.now

    def _go(self, exit: int, time_s: float) -> None:
        if exit < self.now:
            failed = self._deepened and time_s - self._since_s < 2 * self._settle_s
            self._settle_s = min(2 * self._settle_s, LONGEST_SETTLE_S) if failed else SETTLE_S
        if exit == self.now:
            return
        self._deepened = exit > self.now
        self.now, self._since_s = exit, time_s
        self._spent_s, self._count = None, 0


# --------------------------------------------------------------------------------------- counts


class Latency:
    """Milliseconds from a frame's arrival to its result, in memory that does not grow."""

    def __init__(self) -> None:
        self._counts = np.zeros(_MOST_MS + 1, np.int64)

    def add(self, seconds: float) -> None:
        self._counts[min(max(round(1000 * seconds), 0), _MOST_MS)] += 1

    def percentile_ms(self, percent: float) -> float:
        """NaN before the first frame."""
        total = int(self._counts.sum())
        if not total:
            return float("nan")
        return float(np.searchsorted(np.cumsum(self._counts), percent / 100 * total))


@dataclass
class Progress:
    """How a live source goes. frames: that have results; exits: how many each of several gave."""

    frames: int = 0
    dropped: int = 0
    reconnects: int = 0
    people: int = 0
    seconds: float = 0.0
    latency: Latency = field(default_factory=Latency)
    exits: Counter[tuple[int, int]] = field(default_factory=Counter)

    def line(self) -> str:
        p50, p95 = (self.latency.percentile_ms(p) for p in (50, 95))
        rate = self.frames / self.seconds if self.seconds > 0 else 0.0
        words = [
            f"{self.seconds:.0f} s: {self.frames} frames, {rate:.1f} a second",
            f"{self.dropped} dropped",
            f"latency {p50:.0f} ms (95 %: {p95:.0f} ms)" if self.frames else "no latency yet",
            f"{self.people} people",
        ]
        if self.reconnects:
            words.append(f"{self.reconnects} reconnects")
        if len(self.exits) > 1:
            counts = sorted(self.exits.items())
            shares = (f"{p} {level} {n / self.frames:.0%}" for (p, level), n in counts)
            words.append(f"exits {', '.join(shares)}")
        return ", ".join(words)


# ------------------------------------------------------------------------------------- the loop


class Shows(Protocol):
    """Shows pictures; False once nobody looks any more (`media.window.Window`)."""

    def show(self, rgb: np.ndarray, /) -> bool: ...


def follow_live(
    predictor: Predictor,
    capture: Capture,
    progress: Progress,
    *,
    fps: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[Frame, Result]]:
    """The newest frame, again and again, with its result; what was dropped is in `progress`.

    fps: the exit of the network is chosen, and changed as people come and go, so that so many
    frames a second are answered, whatever the caller does with them between two.
    """
    network, chooser, exits = copy(predictor.network), None, None
    if fps is not None:
        exits = network.model = AnyExit(predictor.model)
        chooser = ExitChooser(exits.cost_s(network.card.size), 1 / fps)
    session = predictor.session(network=network)
    begin, size = clock(), capture.size
    with Newest(capture) as frames:
        for frame in frames:
            taken = clock()
            rgb = frame.rgb
            if rgb.shape[1::-1] != size:  # another camera answers since the break
                frame = Frame(frame.index, frame.time_s, cv2.resize(rgb, size))
            result = session.push(frame.rgb, frame.time_s, index=frame.index)
            progress.latency.add(clock() - frames.arrived_s)
            progress.frames += 1
            progress.dropped, progress.reconnects = frames.dropped, capture.reconnects
            progress.people, progress.seconds = len(result.people), clock() - begin
            if exits is not None:
                progress.exits[exits.exit] += 1
            yield frame, result
            if chooser is not None and exits is not None:
                exits.now = chooser.choose(clock() - taken, len(result.people), clock())


def watch_live(
    predictor: Predictor,
    capture: Capture,
    *,
    fps: float | None = None,
    record: Path | None = None,
    model: str = "",
    window: Shows | None = None,
    limit: int | None = None,
    console: Console = SILENT,
) -> Progress:
    """Follow a live source until it ends, Ctrl-C, the window is closed, or after `limit` frames.

    record: an .mp4 of what is drawn; the results lie beside it as .jsonl. model: the weights' name,
    for its header. A line about how it goes is said now and then. What was recorded is kept however
    it ends, unless by an error.
    """
    progress, said_s, steady = Progress(), 0.0, Steady()
    with ExitStack() as stack:
        stack.enter_context(capture)
        results: ResultsWriter | None = None
        if record is not None:
            header = results_header(
                predictor,
                source=capture.source,
                model=model,
                fps=capture.fps,
                size=capture.size,
            )
            results = stack.enter_context(
                ResultsWriter(record.with_suffix(".jsonl"), **vars(header))
            )
        video: VideoWriter | None = None
        with suppress(KeyboardInterrupt):
            for frame, result in follow_live(predictor, capture, progress, fps=fps):
                drawn = annotate(frame.rgb, steady(result)) if record or window else frame.rgb
                if results is not None and record is not None:
                    results.write(result)
                    if video is None:
                        shape = drawn.shape[1], drawn.shape[0]
                        video = VideoWriter(record, fps=capture.fps, size=shape)
                        stack.enter_context(video)
                    video.write(drawn, time_s=frame.time_s)
                if progress.seconds - said_s >= SAY_S:
                    said_s = progress.seconds
                    console.say(progress.line())
                if window is not None and not window.show(drawn):
                    break
                if progress.frames == limit:
                    break
    return progress
