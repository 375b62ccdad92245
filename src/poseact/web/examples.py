"""Examples for the description of the interface (OpenAPI)."""

from __future__ import annotations

import json
from typing import Any

_HEADER = {
    "schema": "poseact/1",
    "layout": "PA17",
    "joints": ["pelvis", "thorax", "..."],
    "parents": [-1, 0, "..."],
    "labels": ["idle", "walk", "..."],
    "units": {"xy": "px of the upright frame, ..."},
    "source": "",
    "model": "spnet-s",
    "fps": 25.0,
    "size": [640, 480],
    "focal_px": 768.0,
    "height_m": 1.7,
}
_PERSON = {
    "track": 0,
    "box": [201.5, 80.25, 342.1, 441.0],
    "xy": [[270.12, 260.4], [268.9, 150.73], ["...", "..."]],
    "score": [0.97, 0.98, "..."],
    "xyz": [[0.0, 0.0, 0.0], [-8.1, -471.3, 20.4], ["...", "...", "..."]],
    "root": [-151.2, 20.5, 3120.7],
    "action": [0.02, 0.95, "..."],
    "filled": False,
}
_FRAME = {"frame": 0, "time_s": 0.0, "people": [_PERSON]}
_WHY = {
    401: "send the header Authorization: Bearer TOKEN",
    404: "no such job, or its result was deleted",
    409: "the job is running",
    413: "an upload may have 256 MB",
    415: "not a picture (17 bytes)",
    422: "send a picture or a video as the multipart field `file`",
    429: "32 uploads at one time is the most; try again in a second",
}

PICTURE = {
    "application/json": {
        "example": {
            "header": {**_HEADER, "fps": None},
            "result": {**_FRAME, "people": [{**_PERSON, "action": None}]},
        }
    }
}
VIDEO = {
    "application/x-ndjson": {
        "schema": {"type": "string"},
        "example": "\n".join(map(json.dumps, (_HEADER, _FRAME))) + "\n",
    }
}
JOB: dict[str, Any] = {
    "id": "8f14e45fceea167a5a36dedd4bea2543",
    "state": "running",
    "frames": 120,
    "total": 3000,
    "error": "",
    "created_s": 1798480800.0,
    "ended_s": None,
}
MODELS = {
    "model": "spnet-s",
    "exit": None,
    "layout": "PA17",
    "joints": ["pelvis", "thorax", "..."],
    "parents": [-1, 0, "..."],
    "labels": ["idle", "walk", "..."],
    "shipped": ["people", "spnet-light", "spnet-s"],
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers in place of an answer, with an example each."""
    return {
        status: {
            "description": "Refused",
            "content": {"application/json": {"example": {"error": _WHY[status]}}},
        }
        for status in statuses
    }
