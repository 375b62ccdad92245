"""From files, a URL or a camera to result files and annotated pictures.

`run_jobs` is the loop over files of every command; what is done with one is handed in:
`predict_job` with the network or the unified framework, or `skeletons.lift.lift_job`.
"""

from __future__ import annotations

import contextlib
import glob
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import islice, tee
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import cv2
import numpy as np

from poseact.core.console import EXPECTED, SILENT, Console
from poseact.core.files import same_file
from poseact.core.forms import Forms
from poseact.core.layouts import Layout
from poseact.core.overlap import Behind
from poseact.core.types import Result
from poseact.inference.predictor import results_header
from poseact.media.inputs import left_out, list_inputs
from poseact.media.live import is_stream
from poseact.media.pictures import Broken, Frame, read_image, write_image
from poseact.media.video import VideoReader, VideoWriter
from poseact.results.angle_table import write_angles
from poseact.results.formats import (
    Nobody,
    write_c3d,
    write_coco,
    write_openpose,
    write_pyskl,
    write_trc,
)
from poseact.results.gaps import fill_gaps
from poseact.results.intervals import Steady, intervals, write_intervals, write_srt
from poseact.results.jsonl import Header, ResultsWriter, open_jsonl, read_jsonl
from poseact.results.page import write_html
from poseact.results.panels import annotate
from poseact.results.table import write_csv, write_parquet

Seen = Iterator[tuple[Frame, Result]]
Watch = Callable[[Seen, "int | None"], Iterable[tuple[Frame, Result]]]
"""Passes frames on and shows how far they are; the number is how many there will be, if known."""


class Predicts(Protocol):
    """What makes people of pictures and videos: `Predictor` or `Unified`."""

    layout: Layout
    labels: tuple[str, ...]

    def scale(self, size: tuple[int, int], /) -> tuple[float | None, float | None]: ...
    def image(self, rgb: np.ndarray, *, box: np.ndarray | None = None) -> Result: ...
    def video(self, source: VideoReader, *, box: np.ndarray | None = None) -> Seen: ...


@dataclass(frozen=True)
class Job:
    """One thing to work on, and the name its results get."""

    source: str | int
    kind: Literal["image", "video", "keypoints"]
    name: str

    @property
    def live(self) -> bool:
        """Whether it is a camera or URL."""
        return is_stream(self.source)


class Done(NamedTuple):
    """The files that were written for one job, and what a user should know, a line each.

    broken: why they hold only a part of the source; empty if they hold all of it.
    """

    files: list[Path]
    notes: Sequence[str] = ()
    broken: str = ""


Outcome = Done | str
"""What came of a job: its files, or the error in words."""


def run_jobs(jobs: Sequence[Job], work: Callable[[Job], Done], *, console: Console = SILENT) -> int:
    """Do the work with each of the jobs and say what came of it; 0, or 2 if any failed.

    One that fails with an expected error, or of which only a part could be read, does not stop the
    others.
    """
    return report(((job, tried(work, job)) for job in jobs), len(jobs), console=console)


def tried(work: Callable[[Job], Done], job: Job) -> Outcome:
    """The work with a job; an expected error in words."""
    try:
        return work(job)
    except EXPECTED as error:
        return str(error)


def report(
    outcomes: Iterable[tuple[Job, Outcome]], count: int, *, console: Console = SILENT
) -> int:
    """Say what came of so many jobs as they end; 0, or 2 if any failed."""
    failed = 0
    for job, outcome in outcomes:
        if isinstance(outcome, str):
            console.warn(outcome)
            failed += 1
            continue
        files, notes, broken = outcome
        console.say(f"{job.source}: {', '.join(map(str, files))}")
        for note in notes:
            console.say(f"  {note}")
        if broken:
            console.warn(broken)
            failed += 1
    if failed and count > 1:
        console.warn(f"{failed} of {count} inputs failed")
    return 2 if failed else 0


@dataclass(frozen=True)
class Wanted(Forms):
    """The forms, a drawing, filled gaps, and after how many frames to stop."""

    drawing: bool = True
    fill_gaps: bool = False
    limit: int | None = None


def find_jobs(*sources: str, console: Console = SILENT) -> list[Job]:
    """The files, or the one stream, that `sources` name; says what of a folder is left out.

    A name is the file's without its suffix; where two files share it, the suffix stays and then a
    number is added. A file that is named twice comes once. ValueError for no source, or a stream
    among others; and raises what `list_inputs` raises.
    """
    if not sources:
        raise ValueError("nothing to predict: give a file, folder, URL or the number of a camera")
    if streams := [source for source in sources if is_stream(source)]:
        source = streams[0]
        if len(sources) > 1:
            raise ValueError(f"{source} is a camera or stream: give it alone")
        if source.isdecimal():
            return [Job(int(source), "video", f"camera{source}")]
        last = source.split("?")[0].rstrip("/").split("/")[-1]
        return [Job(source, "video", Path(last).stem or "stream")]
    for line in (line for source in sources for line in left_out(source)):
        console.say(line)
    found = [item for source in sources for item in list_inputs(source)]
    inputs = list({item.path.absolute(): item for item in found}.values())
    stems = [item.path.stem for item in inputs]
    taken: set[str] = set()
    jobs: list[Job] = []
    for item in inputs:
        plain = item.path.stem if stems.count(item.path.stem) == 1 else item.path.name
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        jobs.append(Job(str(item.path), item.kind, name))
    return jobs


def predict_job(
    predictor: Predicts,
    job: Job,
    out: Path,
    *,
    model: str,
    box: np.ndarray | None = None,
    wanted: Wanted = Wanted(),
    watch: Watch = lambda seen, count: seen,
) -> Done:
    """Predict one job into the folder `out`.

    model: the name of the weights, for the header. Of a video that breaks, or a camera that is
    taken away, the frames before are kept, and `Done.broken` says so. Otherwise nothing appears
    unless the whole job went well, and a folder that was made for it goes again. Raises ValueError
    or OSError, naming the source.
    """
    drawing = out / f"{job.name}.{'png' if job.kind == 'image' else 'mp4'}"
    if wanted.drawing and _same(drawing, job.source):
        raise ValueError(f"{drawing} would overwrite its own input; give another folder with -o")
    table = out / f"{job.name}.jsonl"
    broken = ""
    with whole_set(out, job):
        with ExitStack() as stack:
            source = _open(predictor, job, box, stack)
            count = source.count
            if wanted.limit is not None:
                count = wanted.limit if count is None else min(count, wanted.limit)
            header = results_header(
                predictor, source=job.source, model=model, fps=source.fps, size=source.size
            )
            writer = stack.enter_context(ResultsWriter(table, **vars(header)))
            seen = islice(watch(source.seen, count), wanted.limit)
            noted = _Noted(_filled(seen) if wanted.fill_gaps else seen, writer)
            # A live source has no end of its own: Ctrl-C is its end, and what was seen is kept.
            with contextlib.suppress(*([KeyboardInterrupt] if source.live else [])):
                try:
                    if wanted.drawing:
                        draw(noted, drawing, source.fps, stack)
                    else:
                        deque(noted, maxlen=0)
                except Broken as error:
                    if not noted.count:
                        raise
                    broken = _of_source(job, f"{error}; {noted.count} frames are kept")
        drawn = [drawing] if wanted.drawing else []
        tables, notes = further_forms(table, drawing, wanted)
        return Done([table, *drawn, *tables], notes, broken=broken)


@contextlib.contextmanager
def whole_set(out: Path, job: Job) -> Iterator[None]:
    """While the files of a job are written into the folder `out`: all of them come, or none.

    A folder that was made for them goes again. ValueError and OSError name the source.
    """
    fresh, before = not out.exists(), _outputs(out, job)
    try:
        yield
    except BaseException as error:
        for left in _outputs(out, job) - before:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if not isinstance(error, ValueError | OSError) or str(job.source) in str(error):
            raise
        raise ValueError(f"{job.source}: {error}") from error
    finally:
        if fresh:
            with contextlib.suppress(OSError):  # not there, or not empty: as it should be
                out.rmdir()


def _same(path: Path, source: str | int) -> bool:
    """Whether an output is the very file that is read; cameras and URLs are none."""
    return not is_stream(source) and same_file(path, str(source))


def _outputs(out: Path, job: Job) -> set[Path]:
    """Files of this job that are there."""
    name = glob.escape(job.name)
    endings = (
        *(".jsonl", ".png", ".mp4", ".csv", ".html", "_coco.json", "_openpose", ".trc"),
        *("_actions.csv", ".srt", ".vtt", "_angles.csv", ".parquet", ".bvh", ".c3d"),
        *("_pyskl.npz", "_repetitions.csv"),
    )
    found = [out / f"{job.name}{ending}" for ending in endings]
    for kind in ("trc", "bvh", "c3d"):
        found += out.glob(f"{name}_track*.{kind}")
    return {path for path in found if path.exists() and not _same(path, job.source)}


def _of_source(job: Job, words: str) -> str:
    return words if str(job.source) in words else f"{job.source}: {words}"


@dataclass(frozen=True)
class _Source:
    """Frames with results; fps is None for a picture, size (width, height) px, count if known."""

    seen: Seen
    fps: float | None
    size: tuple[int, int]
    count: int | None
    live: bool


def _open(predictor: Predicts, job: Job, box: np.ndarray | None, stack: ExitStack) -> _Source:
    if job.kind == "image":
        rgb = read_image(str(job.source))
        pair = Frame(0, 0.0, rgb), predictor.image(rgb, box=box)
        return _Source(iter([pair]), None, (rgb.shape[1], rgb.shape[0]), 1, False)
    reader = stack.enter_context(VideoReader(job.source))
    seen = predictor.video(reader, box=box)
    if isinstance(seen, Generator):  # its thread ends before the reader is closed
        stack.callback(seen.close)
    return _Source(seen, reader.fps, reader.size, reader.frame_count, reader.live)


def _filled(seen: Iterable[tuple[Frame, Result]]) -> Seen:
    frames, found = tee(seen)
    yield from zip((frame for frame, _ in frames), fill_gaps(result for _, result in found))


class _Noted:
    """Passes frames on once their results are written. `Broken` if their size changes."""

    def __init__(self, seen: Iterable[tuple[Frame, Result]], writer: ResultsWriter) -> None:
        self.count, self._seen, self._writer = 0, iter(seen), writer

    def __iter__(self) -> Seen:
        for frame, result in self._seen:
            width_height, size = frame.rgb.shape[1::-1], self._writer.header.size
            if size is not None and width_height != tuple(size):
                raise Broken(f"pictures of {size} px become {width_height} in frame {frame.index}")
            self._writer.write(result)
            self.count += 1
            yield frame, result


def draw(
    seen: Iterable[tuple[Frame, Result]], path: Path, fps: float | None, stack: ExitStack
) -> None:
    """The annotated picture (no fps) or video, which is finished when the stack is.

    A video is drawn and written in a thread, while the next frames are seen.
    """
    steady = Steady()
    video: list[VideoWriter] = []

    def write(pair: tuple[Frame, Result]) -> None:
        frame, result = pair
        drawn = annotate(frame.rgb, steady(result))
        if fps is None:
            write_image(path, drawn)
            return
        if not video:
            size = drawn.shape[1], drawn.shape[0]
            video.append(stack.enter_context(VideoWriter(path, fps=fps, size=size)))
        video[0].write(drawn, time_s=frame.time_s)

    with Behind(write) as behind:
        for pair in seen:
            behind.put(pair)


def further_forms(table: Path, drawing: Path, wanted: Wanted) -> tuple[list[Path], list[str]]:
    """The further forms of a finished .jsonl, each read frame by frame where the form allows; and
    what is in them, in words."""
    if not any(getattr(wanted, form.name) for form in fields(Forms)):
        return [], []
    from poseact.results.bvh import write_bvh  # half a second for SciPy
    from poseact.results.repetitions import repetitions, summary, write_repetitions

    paths, notes = [], []

    def beside(ending: str) -> Path:
        paths.append(table.with_name(table.stem + ending))
        return paths[-1]

    if wanted.csv:
        write_csv(beside(".csv"), *open_jsonl(table))
    if wanted.html:
        video = drawing if wanted.drawing and drawing.suffix == ".mp4" else None
        still = [_jpeg(drawing)] if wanted.drawing and video is None else []
        write_html(beside(".html"), *read_jsonl(table), video=video, frames=still)
    if wanted.coco:
        write_coco(beside("_coco.json"), *open_jsonl(table))
    acts = wanted.actions or wanted.srt or wanted.vtt
    acting = _Acting(open_jsonl(table)[1])
    found = intervals(acting) if acts else []
    if acts and not acting.seen:
        notes.append(
            "no actions: nobody was seen for as long as one takes, or the network has none"
        )
    if wanted.actions:
        write_intervals(beside("_actions.csv"), found)
    if wanted.angles:
        write_angles(beside("_angles.csv"), open_jsonl(table)[1])
    for asked, ending in ((wanted.srt, ".srt"), (wanted.vtt, ".vtt")):
        if asked:
            write_srt(beside(ending), found)
    if wanted.repetitions:
        counted = repetitions(open_jsonl(table)[1])
        write_repetitions(beside("_repetitions.csv"), counted)
        notes += summary(counted) or ["no repetitions"]
    if wanted.openpose:
        write_openpose(beside("_openpose"), *open_jsonl(table))
    if wanted.parquet:
        write_parquet(beside(".parquet"), *open_jsonl(table))
    for asked, write, ending in (
        (wanted.pyskl, _write_pyskl, "_pyskl.npz"),
        (wanted.trc, write_trc, ".trc"),
        (wanted.bvh, write_bvh, ".bvh"),
        (wanted.c3d, write_c3d, ".c3d"),
    ):
        path = table.with_name(table.stem + ending)
        try:
            paths += write(path, *open_jsonl(table)) if asked else []
        except Nobody:
            notes.append(f"nobody was seen: no {path.name}")
    return paths, notes


class _Acting:
    """Passes results on and notes whether anybody had an action."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.seen, self._results = False, results

    def __iter__(self) -> Iterator[Result]:
        for result in self._results:
            self.seen |= any(person.action is not None for person in result.people)
            yield result


def _write_pyskl(path: Path, header: Header, results: Iterable[Result]) -> list[Path]:
    write_pyskl(path, header, results)
    return [path]


def _jpeg(path: Path) -> bytes:
    """A picture file as the bytes of a JPEG."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(read_image(path), cv2.COLOR_RGB2BGR))
    return data.tobytes()
