from __future__ import annotations

import pytest

from poseact.cli.terminal import Terminal
from poseact.core.console import SILENT, Console


def use(console: Console) -> None:
    console.say("a line")
    console.warn("a fault\nof two lines")
    with console.bar("counting", 3, unit="clips") as advance:
        advance(1)
        advance(2)


def test_lines_go_to_stdout_and_warnings_in_one_line_to_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    use(Terminal())
    said = capsys.readouterr()
    assert said.out == "a line\n"  # and no bars where nobody sees them move
    assert said.err == "poseact: a fault of two lines\n"


def test_without_a_console_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    use(SILENT)
    said = capsys.readouterr()
    assert said.out == said.err == ""
