"""Rendered people: exact 2D, 3D and action truth with no asset.

>>> from poseact.people import PeopleConfig, render_clip
>>> clip = render_clip(PeopleConfig(frames=8), 0)  # doctest: +SKIP
>>> clip.frames.shape, clip.xy.shape  # doctest: +SKIP
((8, 128, 128, 3), (8, 17, 2))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poseact.people.crowd import CrowdClip, render_crowd
    from poseact.people.motions import ACTIONS, Motion, perform, perform_sequence, random_poses
    from poseact.people.scene import PeopleConfig, RenderedClip, render_clip, render_motion

# The renderer compiles with numba: it is imported when one of its names is first used
_HOME = {
    **dict.fromkeys(
        ("ACTIONS", "Motion", "perform", "perform_sequence", "random_poses"), "motions"
    ),
    **dict.fromkeys(("PeopleConfig", "RenderedClip", "render_clip", "render_motion"), "scene"),
    **dict.fromkeys(("CrowdClip", "render_crowd"), "crowd"),
}
__all__ = [
    "ACTIONS",
    "CrowdClip",
    "Motion",
    "PeopleConfig",
    "RenderedClip",
    "perform",
    "perform_sequence",
    "random_poses",
    "render_clip",
    "render_crowd",
    "render_motion",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
