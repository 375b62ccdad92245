"""How large a network of a file may be: files of others can say a lot.

A configuration is refused before anything is built of it. What a file's tensors hold is compared
with the network on the "meta" device, which takes no memory, before it is built.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from poseact.core.typed import check_types

MOST = {
    "pyramids": 64,
    "levels": 8,
    "image_div": 64,
    "blocks": 64,
    "action_blocks": 64,
    "joints": 1024,
    "actions": 65536,
    "classes": 65536,
    "kernel": 31,
    "depth_maps": 256,
    "contexts": 64,
    "growth": 65536,
    "width": 8192,
    "channels": 1024,
    "rows": 65536,
    "pose_features": 4096,
    "visual_features": 4096,
    "entry_channels": 4096,
    "stem_channels": 4096,
    "entry_width": 8,
}
"""Setting -> the greatest number that it may be, or that may stand in it."""
MAY_BE_ZERO = {"contexts"}
MOST_SETS = 64
"""Numbers in one setting: action sets, action pyramids."""


def check_size(config: Any) -> None:
    """ValueError if a setting of a network is of another type, or larger than in any network."""
    check_types(config)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if len(numbers) > MOST_SETS:
            raise ValueError(f"{len(numbers)} {field.name} are more than any network has")
        for number in numbers:
            if type(number) is float and number != number:
                raise ValueError(f"{field.name} is no number")
            most = MOST.get(field.name)
            if most is None or number is None:
                continue
            if number > most:
                raise ValueError(
                    f"{number} {field.name} are more than any network of this kind has ({most})"
                )
            if number < 0 or not number and field.name not in MAY_BE_ZERO:
                raise ValueError(f"{field.name} is more than 0, got {value}")
