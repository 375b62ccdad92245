"""Writes the graphs of the shipped networks anew: python -m tools.graphs"""

from __future__ import annotations

from poseact.cli.terminal import Terminal
from poseact.export.graphs import write_graphs

if __name__ == "__main__":
    write_graphs(console=Terminal())
