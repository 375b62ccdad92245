"""Result files of several cameras in, one in space out: `poseact triangulate`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from poseact.core.calibration import CalibratedCamera, read_calibration
from poseact.core.files import check_not_input, whole_file
from poseact.core.geometry import box_around
from poseact.core.types import Person, Result
from poseact.inference.jobs import Done
from poseact.results.formats import Markers, write_markers
from poseact.results.jsonl import Header, ResultsWriter, read_jsonl
from poseact.skeletons.triangulate import Body, triangulate

COLUMNS = ("frame", "time_s", "track", "joint", "x_mm", "y_mm", "z_mm", "error_px", "cameras")


def triangulate_files(
    sources: Sequence[str | Path],
    calibration: str | Path,
    out: str | Path,
    *,
    unit_mm: float = 1000.0,
) -> Done:
    """NAME.jsonl, NAME.trc and NAME.csv beside `out`, which is NAME or NAME.jsonl.

    The .trc files and the .csv are in the axes of the calibration, mm. The .jsonl is the view of
    the first camera, like any other: px of its picture, mm relative to the root in its axes.
    Raises FileNotFoundError, or ValueError that names the file.
    """
    table = Path(out) if Path(out).suffix == ".jsonl" else Path(f"{out}.jsonl")
    inputs = [Path(source).resolve() for source in sources]
    if twice := next((s for n, s in enumerate(sources) if inputs[n] in inputs[:n]), None):
        raise ValueError(f"{twice} is given twice; give one file a camera")
    for source in sources:
        check_not_input(table, source)
    cameras = read_calibration(calibration, unit_mm=unit_mm)
    chosen = _assigned(cameras, [Path(source) for source in sources], Path(calibration))
    read = [read_jsonl(source) for source in sources]
    headers = [header for header, _ in read]
    if any(header.layout != headers[0].layout for header in headers):
        names = ", ".join(f"{s}: {h.layout.name}" for s, h in zip(sources, headers))
        raise ValueError(f"the joints of all files must be the same, got {names}")
    for camera, source, header in zip(chosen, sources, headers):
        if camera.size and header.size and camera.size != tuple(header.size):
            raise ValueError(
                f"{source}: its pictures are {header.size[0]} x {header.size[1]} px, camera "
                f"{camera.name} of {calibration} has {camera.size[0]} x {camera.size[1]}"
            )
    bodies = triangulate(chosen, [results for _, results in read])
    if not bodies:
        raise ValueError(f"{sources[0]}: nobody in it is seen by another camera of {calibration}")
    times_s = {r.index: r.time_s for _, results in reversed(read) for r in results}
    _write_jsonl(table, headers[0], chosen[0], bodies, times_s)
    _write_csv(table.with_suffix(".csv"), headers[0], bodies, times_s)
    people = [(n if len(bodies) > 1 else None, _markers(b, times_s)) for n, b in enumerate(bodies)]
    trc = write_markers(table.with_suffix(".trc"), headers[0], people)
    notes = [f"cameras {', '.join(f'{c.name}: {s}' for c, s in zip(chosen, sources))}"]
    ends = {str(s): results[-1].index for s, (_, results) in zip(sources, read) if results}
    if len(set(ends.values())) > 1:
        last = ", ".join(f"{source} with frame {end}" for source, end in ends.items())
        notes.append(f"the files end at different times ({last}): do all begin at the same moment?")
    notes += [_note(n, body, chosen) for n, body in enumerate(bodies)]
    long_mm = float(np.nanmedian([_length(body) for body in bodies]))
    if not 300 < long_mm < 4000:
        notes.append(f"people are {long_mm:.0f} mm long: is the unit of the calibration right?")
    return Done([table, table.with_suffix(".csv"), *trc], notes)


def _assigned(
    cameras: Sequence[CalibratedCamera], sources: Sequence[Path], calibration: Path
) -> list[CalibratedCamera]:
    """The camera of each file: by name if every file's has just one of the names in it, else in
    order."""
    named = [[c for c in cameras if c.name and c.name in path.stem] for path in sources]
    if all(len(own) == 1 for own in named):
        found = [own[0] for own in named]
        if len({c.name for c in found}) == len(found):
            return found
    if len(cameras) != len(sources):
        names = ", ".join(camera.name for camera in cameras)
        raise ValueError(
            f"{calibration}: has {len(cameras)} cameras ({names}) for {len(sources)} files; "
            "give one file a camera, in its order, or with its name in the file's"
        )
    return list(cameras)


def _markers(body: Body, times_s: dict[int, float]) -> Markers:
    frames = range(int(body.frames[0]), int(body.frames[-1]) + 1)
    known = sorted(times_s)
    times = np.interp(frames, known, [times_s[n] for n in known])
    return Markers(frames, times, dict(zip(body.frames.tolist(), body.xyz)))


def _write_jsonl(
    path: Path,
    header: Header,
    camera: CalibratedCamera,
    bodies: Sequence[Body],
    times_s: dict[int, float],
) -> None:
    rows = [{frame: k for k, frame in enumerate(b.frames.tolist())} for b in bodies]
    writer = ResultsWriter(
        path,
        layout=header.layout,
        source=header.source,
        model=f"{header.model}, triangulated",
        fps=header.fps,
        size=header.size,
        focal_px=float(camera.K[0, 0]),
    )
    with writer:
        for frame in sorted(times_s):
            there = [
                (n, b, row[frame]) for n, (b, row) in enumerate(zip(bodies, rows)) if frame in row
            ]
            people = [_person(n, b, k, header, camera) for n, b, k in there]
            writer.write(Result(frame, times_s[frame], tuple(p for p in people if p is not None)))


def _person(
    track: int, body: Body, row: int, header: Header, camera: CalibratedCamera
) -> Person | None:
    """Somebody in a frame as the camera sees them; None where nothing is known of them."""
    world = body.xyz[row]
    known = np.isfinite(world).all(-1)
    if not known.any():
        return None
    xyz = world @ camera.R.T + camera.t
    xy = camera.project(world)
    score = np.where(known, 1.0, 0.0)
    root = xyz[header.layout.root]
    return Person(xy, xyz - root, score, box_around(xy), header.layout, track, root=root)


def _write_csv(
    path: Path, header: Header, bodies: Sequence[Body], times_s: dict[int, float]
) -> None:
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for track, body in enumerate(bodies):
            for row, frame in enumerate(body.frames.tolist()):
                for j, joint in enumerate(header.layout.joints):
                    cells = [*np.round(body.xyz[row, j], 2), round(float(body.error_px[row, j]), 2)]
                    shown = ["" if np.isnan(cell) else f"{cell:.2f}" for cell in cells]
                    where = frame, f"{times_s[frame]:.4f}", track, joint
                    table.writerow([*where, *shown, int(body.cameras[row, j])])


def _length(body: Body) -> float:
    """The longest way between two joints in a frame, mm; the median over frames."""
    apart = body.xyz[:, :, None] - body.xyz[:, None]  # n J J 3
    return float(np.nanmedian(np.nanmax(np.linalg.norm(apart, axis=-1), (1, 2))))


def _note(track: int, body: Body, cameras: Sequence[CalibratedCamera]) -> str:
    known = np.isfinite(body.xyz).all(-1)
    of = ", ".join(f"{cameras[c].name} {number}" for c, number in body.tracks)
    return (
        f"track {track} ({of}): {len(body.frames)} frames, {known.mean():.0%} of the joints, "
        f"reprojected within {np.nanmedian(body.error_px):.1f} px (median)"
    )
