"""Short gaps in which somebody was not seen, filled from before and after, and marked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from poseact.core.types import NO_TRACK, Person, Result

LONGEST_S = 0.4
"""A longer gap stays one."""


def fill_gaps(results: Iterable[Result], *, longest_s: float = LONGEST_S) -> Iterator[Result]:
    """The same frames, in which everyone who is away for at most `longest_s` has a straight way.

    Whoever was filled in has `Person.filled`, no action, and of the scores before and after the
    lower. Frames come out so much later.
    """
    waiting: deque[Result] = deque()  # frames that may still be filled
    last: dict[int, tuple[float, Person]] = {}
    for result in results:
        for person in result.people:
            if person.track == NO_TRACK:
                continue
            seen_s, before = last.get(person.track, (-np.inf, person))
            if 0 < result.time_s - seen_s <= longest_s:
                for n, missed in enumerate(waiting):
                    if missed.time_s > seen_s:
                        share = (missed.time_s - seen_s) / (result.time_s - seen_s)
                        between = _between(before, person, share)
                        waiting[n] = replace(missed, people=(*missed.people, between))
            last[person.track] = result.time_s, person
        waiting.append(result)
        while waiting and result.time_s - waiting[0].time_s > longest_s:
            yield _sorted(waiting.popleft())
        last = {t: (s, p) for t, (s, p) in last.items() if result.time_s - s <= longest_s}
    yield from map(_sorted, waiting)


def _sorted(result: Result) -> Result:
    return replace(result, people=tuple(sorted(result.people, key=lambda p: p.track)))


def _between(a: Person, b: Person, share: float) -> Person:
    """Somebody on the way from a to b."""

    def mixed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x + share * (y - x)

    xyz = None if a.xyz is None or b.xyz is None else mixed(a.xyz, b.xyz)
    root = None if a.root is None or b.root is None else mixed(a.root, b.root)
    score, box = np.minimum(a.score, b.score), mixed(a.box, b.box)
    xy = mixed(a.xy, b.xy)
    return Person(xy, xyz, score, box, a.layout, a.track, filled=True, root=root)
