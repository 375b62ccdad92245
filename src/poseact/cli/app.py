"""The command line, `poseact COMMAND`: gathers the commands and runs the one that is asked for.

Expected errors are one line on stderr and exit status 2; Ctrl-C and SIGTERM are 130. Nothing
half-written stays.
Heavy imports are inside the commands, so that `poseact --help` is quick.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

from poseact import __version__
from poseact.cli.bench import Bench
from poseact.cli.data import Data
from poseact.cli.demo import Demo
from poseact.cli.doctor import Doctor
from poseact.cli.evaluate import Evaluate
from poseact.cli.export import Export
from poseact.cli.import_keras import ImportKeras
from poseact.cli.import_stem import ImportStem
from poseact.cli.lift import Lift
from poseact.cli.live import Live
from poseact.cli.models import Models
from poseact.cli.predict import Predict
from poseact.cli.recipes import Recipes
from poseact.cli.refine import Refine
from poseact.cli.search import Search
from poseact.cli.terminal import complain
from poseact.cli.train import Train
from poseact.cli.train_actions import TrainActions
from poseact.cli.train_lifter import TrainLifter
from poseact.cli.triangulate import Triangulate
from poseact.cli.web import Web
from poseact.core.console import EXPECTED

Command = (
    Annotated[Predict, subcommand("predict")]
    | Annotated[Live, subcommand("live")]
    | Annotated[Lift, subcommand("lift")]
    | Annotated[Refine, subcommand("refine")]
    | Annotated[Triangulate, subcommand("triangulate")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Models, subcommand("models")]
    | Annotated[ImportKeras, subcommand("import-keras")]
    | Annotated[ImportStem, subcommand("import-stem")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Data, subcommand("data")]
    | Annotated[Evaluate, subcommand("eval")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Recipes, subcommand("recipes")]
    | Annotated[Search, subcommand("search")]
    | Annotated[Web, subcommand("web")]
    | Annotated[Doctor, subcommand("doctor")]
)
STYLE = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.FlagCreatePairsOff)


FIRST = """poseact: 2D and 3D pose and actions of everyone in pictures and video
  poseact demo                      a first result, with no data
  poseact predict gym.mp4 -o out    your own pictures and videos
  poseact live 0 --window           a camera
  poseact --help                    all commands; poseact COMMAND --help: its options"""


def parse(args: Sequence[str]) -> Any:
    """The command with its options; SystemExit as argparse has it.

    `train` keeps the options it does not know: they are for its recipe.
    """
    about = f"2D and 3D human pose and action recognition from video. --version: {__version__}"
    if args[:2] == ["train", "actions"]:
        return tyro.cli(TrainActions, prog="poseact train actions", args=args[2:], config=STYLE)
    if args[:2] == ["train", "lifter"]:
        prog = "poseact train lifter"
        command, rest = tyro.cli(
            TrainLifter, prog=prog, args=args[2:], config=STYLE, return_unknown_args=True
        )
        return replace(command, overrides=tuple(rest))
    if args[:1] != ["train"]:
        return tyro.cli(Command, prog="poseact", args=args, config=STYLE, description=about)
    command, rest = tyro.cli(
        Command, prog="poseact", args=args, config=STYLE, return_unknown_args=True
    )
    return replace(command, overrides=tuple(rest))


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM, as `kill` and service managers send it, ends a command as Ctrl-C does."""
    owner = os.getpid()

    def stop(number: int, _: object) -> None:
        if os.getpid() == owner:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)  # a forked worker
        os.kill(os.getpid(), number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def main(args: Sequence[str] | None = None) -> int:
    """Run `poseact ARGS` and return its exit status: 0 done, 2 expected error, 130 Ctrl-C."""
    args = list(sys.argv[1:] if args is None else args)
    if args == ["--version"]:
        print(f"poseact {__version__}")
        return 0
    if not args:
        print(FIRST)
        return 0
    try:
        with terminating():
            return parse(args).run()
    except SystemExit as stop:  # --help, or options that do not parse: tyro has said why
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:  # `poseact models | head`: the reader has gone, and that is all right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except EXPECTED as error:
        complain(error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
