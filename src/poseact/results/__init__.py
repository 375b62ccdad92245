"""What a user opens: result files, a page, other programs' formats, drawings, plots."""

from poseact.results.angle_table import angles
from poseact.results.picture import Picture, drawn
from poseact.results.table import Recording, read

__all__ = ["Picture", "Recording", "angles", "drawn", "read"]
