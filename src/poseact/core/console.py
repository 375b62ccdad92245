"""Where code that works for long says how far it is: the caller hands in a console.

No package but the command line prints. What runs for long says lines and counts steps to the
`Console` it was given; that of the command line is a terminal, and without one all is `SILENT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

EXPECTED = (ValueError, OSError, ImportError)
"""Errors whose message says all that is needed."""


class Console(Protocol):
    """What the user is told while something runs."""

    def say(self, line: str) -> None:
        """A line of output, at once."""

    def warn(self, line: str) -> None:
        """A line beside the output, at once."""

    def bar(
        self, title: str, total: int, *, unit: str = "frames"
    ) -> AbstractContextManager[Callable[[int], None]]:
        """While entered: call what it gives with the number of steps done since the last call."""
        ...


class Silent:
    """A console that says nothing."""

    def say(self, line: str) -> None: ...

    def warn(self, line: str) -> None: ...

    @contextmanager
    def bar(
        self, title: str, total: int, *, unit: str = "frames"
    ) -> Iterator[Callable[[int], None]]:
        yield lambda steps: None


SILENT = Silent()
