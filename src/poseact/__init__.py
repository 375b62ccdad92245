"""poseact: 2D and 3D human pose and action recognition from pictures and video, in one pass.

>>> import poseact                                              # doctest: +SKIP
>>> for result in poseact.predict("walk.mp4"):                  # doctest: +SKIP
...     print(result.time_s, [person.xy for person in result.people])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poseact.core.layouts import Layout
    from poseact.core.types import Person, Result
    from poseact.inference.predictor import Predictor, predict
    from poseact.inference.session import Session
    from poseact.models.weights import load

__version__ = "0.2.0"
__all__ = ["Layout", "Person", "Predictor", "Result", "Session", "__version__", "load", "predict"]

_HOME = {
    "Layout": "poseact.core.layouts",
    "Person": "poseact.core.types",
    "Predictor": "poseact.inference.predictor",
    "Result": "poseact.core.types",
    "Session": "poseact.inference.session",
    "load": "poseact.models.weights",
    "predict": "poseact.inference.predictor",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import poseact` costs nothing."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'poseact' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
