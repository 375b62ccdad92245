"""The forms in which results are written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Forms:
    """Files that are written beside NAME.jsonl."""

    csv: bool = False
    """Also write NAME.csv."""
    html: bool = False
    """Also write NAME.html, a page that shows the results."""
    coco: bool = False
    """Also write NAME_coco.json, COCO results."""
    openpose: bool = False
    """Also write the folder NAME_openpose, a JSON file a frame as OpenPose does."""
    trc: bool = False
    """Also write NAME.trc, the 3D joints as markers for OpenSim and the like."""
    c3d: bool = False
    """Also write NAME.c3d, the same as C3D (an extra)."""
    bvh: bool = False
    """Also write NAME.bvh, a moving skeleton for Blender and the like."""
    parquet: bool = False
    """Also write NAME.parquet, the table of --csv for pandas, DuckDB, R (an extra)."""
    pyskl: bool = False
    """Also write NAME_pyskl.npz, a clip for PYSKL and MMAction2."""
    actions: bool = False
    """Also write NAME_actions.csv: who did what from when to when."""
    srt: bool = False
    """Also write NAME.srt, these intervals as subtitles."""
    vtt: bool = False
    """Also write NAME.vtt, the same for browsers."""
    angles: bool = False
    """Also write NAME_angles.csv: angles of knees, hips, elbows, shoulders and trunk."""
    repetitions: bool = False
    """Also write NAME_repetitions.csv: squats, jumping jacks and push-ups, counted."""
