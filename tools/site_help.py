"""A hook of mkdocs: `<!-- help: COMMAND -->` becomes what `poseact COMMAND --help` says."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

_MARK = re.compile(r"<!-- help: ([a-z -]+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    return _MARK.sub(lambda found: f"```text\n{help_of(found[1].split())}\n```", markdown)


def help_of(command: list[str]) -> str:
    """The help text of a command, 78 columns wide."""
    from poseact.cli import main

    os.environ.update(COLUMNS="78", NO_COLOR="1")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if main([*command, "--help"]):
            raise ValueError(f"there is no command {' '.join(command)!r}")
    return said.getvalue().strip()
