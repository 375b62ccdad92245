"""The command line: one file a command, `app` puts them together."""

from poseact.cli.app import main

__all__ = ["main"]
