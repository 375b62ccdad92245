"""The command line: one file a command, `app` puts them together."""

import os

# Read when torch loads: threads that spin while they wait make everything up to 20 times slower as
# soon as anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from poseact.cli.app import main  # noqa: E402

__all__ = ["main"]
