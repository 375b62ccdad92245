"""Frames per second of the rendered people on one core, per preset and frame size.

    python benchmarks/bench_people.py
    python benchmarks/bench_people.py --clips 40 --backgrounds FOLDER --bodies makehuman.npz

"all in" is `render_clip`: motion, clothes, skinning, scene, frames and labels, for clips of eight
frames. "frames only" is the slope over the length of a clip: what one frame more costs. Times are
process time, so that other jobs on the machine do not count; bodies and compiled code are warm.
"""

from __future__ import annotations

import argparse
import time

from poseact.people.scene import PRESETS, PeopleConfig, Preset, render_clip

SHORT, LONG = 8, 24


def seconds_per_clip(config: PeopleConfig, clips: int) -> float:
    """Mean process time of a clip."""
    start = time.process_time()
    for index in range(clips):
        render_clip(config, index)
    return (time.process_time() - start) / clips


def measure(config: PeopleConfig, clips: int) -> tuple[float, float]:
    """Frames per second: all in, and of one frame more."""
    longer = PeopleConfig(**{**vars(config), "frames": LONG})
    short, long = seconds_per_clip(config, clips), seconds_per_clip(longer, clips)
    return SHORT / short, (LONG - SHORT) / (long - short)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the rendered people.")
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--supersample", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--backgrounds", default=None, help="folder of photos")
    parser.add_argument("--bodies", default=None, help="makehuman.npz")
    options = parser.parse_args()
    print(f"{'preset':10} {'px':>5} {'samples':>8} {'all in':>10} {'frames only':>12}   frames/s")
    presets: list[Preset] = list(PRESETS)  # type: ignore[assignment]
    for size in options.sizes:
        for supersample in options.supersample:
            for preset in presets:
                config = PeopleConfig(
                    height=size, width=size, frames=SHORT, preset=preset, supersample=supersample,
                    backgrounds=options.backgrounds, bodies=options.bodies,
                )  # fmt: skip
                seconds_per_clip(config, options.clips)  # photos, textures, compiled code
                all_in, frame = measure(config, options.clips)
                samples = f"{supersample}x{supersample}"
                print(f"{preset:10} {size:5} {samples:>8} {all_in:10.0f} {frame:12.0f}", flush=True)


if __name__ == "__main__":
    main()
