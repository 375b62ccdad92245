"""What a client may ask of the service, and how it is told that it asked for more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of one upload, and of all clients together."""

    megabytes: float = 256
    """Most of an upload."""
    megapixels: float = 36
    """Most of a picture, or of a frame of a video."""
    seconds: float = 3600
    """Longest video."""
    requests: int = 32
    """Uploads that are received or answered at one time."""
    jobs: int = 1
    """Jobs that are computed at one time."""
    waiting_jobs: int = 32
    """Jobs that may wait beside."""
    keep_hours: float = 24
    """How long the result of a job is kept."""
    decode_mb: int = 2048
    """Memory of the process that decodes an upload, MB."""
    decode_s: int = 30
    """Its CPU time for one frame, s."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < 1e9:
                option = name.replace("_", "-")
                raise ValueError(f"--{option} is a limit, more than 0, got {value}")


class Refused(Exception):
    """What a client is told in place of an answer: an HTTP status of 4xx and a line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why
