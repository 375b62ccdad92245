"""What the service counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """Counters of one service, apart from those of others in this process."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter(
            "poseact_requests", "Requests by route and status", ["route", "status"], registry=own
        )
        self._seconds = Histogram(
            "poseact_predict_seconds",
            "From a whole upload to the last line",
            buckets=_SECONDS,
            registry=own,
        )
        self._frames = Counter("poseact_frames", "Frames and pictures answered", registry=own)
        self._crops = Histogram(
            "poseact_batch_crops",
            "Crops of people in one batch of the network",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=own,
        )
        self._jobs = Gauge("poseact_jobs", "Jobs by state", ["state"], registry=own)

    def request(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def frame(self) -> None:
        self._frames.inc()

    def batch(self, crops: int) -> None:
        self._crops.observe(crops)

    @contextmanager
    def prediction(self) -> Iterator[None]:
        """Around one."""
        start = time.perf_counter()
        yield
        self._seconds.observe(time.perf_counter() - start)

    def text(self, jobs: Callable[[], dict[str, int]]) -> bytes:
        """All of them; jobs: how many there are in which state."""
        self._jobs.clear()
        for state, count in jobs().items():
            self._jobs.labels(state).set(count)
        return generate_latest(self._registry)
