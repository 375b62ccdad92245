"""What a user opens: result files, a page, other programs' formats, drawings, plots."""

from poseact.results.angle_table import angles

__all__ = ["angles"]
