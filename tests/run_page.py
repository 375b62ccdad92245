"""python run_page.py PAGE: run the blocks of a page in the current folder, in their order.

```bash and ```python blocks are run, others are not. Variables that a bash block exports, and names
that a Python block makes, are there in the blocks below it. The first block that fails ends the run
with status 1 and its line in the page.

What would take hours runs on miniatures: stand-ins of `poseact`, `pip` and `make` are put first
into PATH, which call this file as `run_page.py --as NAME ARGUMENTS`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SMALL_NETWORK = ["--model.growth", "16", "--size", "64", "64"]
STAND_INS = ("poseact", "pip", "make")


def blocks(page: Path) -> list[tuple[str, int, str]]:
    """Language, line and text of every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    return [(f[1], text.count("\n", 0, f.start()) + 2, f[2]) for f in _FENCE.finditer(text)]


def shortened(args: list[str]) -> list[str]:
    """The arguments of `poseact` on a miniature: the same command, with less to do."""
    if args[:2] == ["train", "actions"]:
        return [*args, "--passes", "1", "--steps", "20"]
    if args[:1] == ["train"] and not {"--resume", "--curve"} & set(args):
        dev = [] if {"--dev", "--dry-run"} & set(args) else ["--dev"]
        return [*args, *dev, *_SMALL_NETWORK]
    if args[:1] == ["eval"]:
        return [*args, "--limit", "2"]
    if args[:3] == ["data", "write", "folder"]:
        return [*args, "--clips", "8", "0", "4", "--frames", "8"]
    return args


def run(page: Path) -> int:
    names: dict[str, object] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder:
        for name in STAND_INS:
            script = Path(folder, name)
            here = Path(__file__).resolve()
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{here}" --as {name} "$@"\n')
            script.chmod(0o755)
        Path(folder, "python").symlink_to(sys.executable)
        exported = Path(folder, "exported")
        exported.write_text(f'export PATH="{folder}:$PATH"\n')
        for language, line, text in blocks(page):
            print(f"--- {page.name}, line {line}: {language or 'not run'}", flush=True)
            if language == "bash":
                code = f". {exported}\n{text}\nexport -p > {exported}"
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], check=False)
                if done.returncode:
                    print(f"{page.name}, line {line}: exit status {done.returncode}\n{text}")
                    return 1
            elif language == "python":
                exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
    return 0


def stand_in(name: str, args: list[str]) -> int:
    if name == "pip":  # what is asked for is there already
        assert args[0] == "install" and Path(args[1], "pyproject.toml").is_file(), args
        return 0
    if name == "make":
        make = shutil.which("make", path=os.environ["PATH"].split(":", 1)[1])
        return subprocess.run([str(make), "--dry-run", *args], check=False).returncode
    from poseact.cli import main
    from poseact.evaluate import demo

    demo.STEPS = (("walk", 1.0), ("wave", 1.0))  # of the clip of `poseact demo`, seconds
    return main(shortened(args))


if __name__ == "__main__":
    if sys.argv[1] == "--as":
        sys.exit(stand_in(sys.argv[2], sys.argv[3:]))
    sys.exit(run(Path(sys.argv[1])))
