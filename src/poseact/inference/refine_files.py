"""From a result file to a refined one, its further forms and a drawn video, without the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from poseact.core.files import check_not_input
from poseact.core.types import Result
from poseact.inference.jobs import Done, Job, Wanted, draw, further_forms, whole_set
from poseact.media.pictures import Frame
from poseact.media.video import VideoReader
from poseact.results.filters import Filter, constant_bones, filtered
from poseact.results.gaps import fill_gaps
from poseact.results.jsonl import ResultsWriter, read_jsonl


def refine_job(
    source: Path,
    out: Path,
    *,
    smooth: Filter | None,
    gaps_s: float = 0.0,
    constant: bool = False,
    video: Path | None = None,
    wanted: Wanted,
) -> Done:
    """Read `source`, fill gaps, filter, hold bones, in this order, and write `out` (.jsonl).

    smooth: None filters nothing. video: what the results were made of, to draw them on; frames
    without a result stay plain. Nothing is left of a job that fails. Raises ValueError or OSError,
    naming the file.
    """
    if out.suffix != ".jsonl":
        raise ValueError(f"{out}: results are written as NAME.jsonl")
    check_not_input(out, source)
    drawing = out.with_suffix(".mp4")
    if video is not None:
        check_not_input(drawing, video)
    header, results = read_jsonl(source)
    if gaps_s:
        results = list(fill_gaps(results, longest_s=gaps_s))
    if smooth is not None:
        results = filtered(results, smooth)
    if constant:
        results = constant_bones(results)
    job = Job(str(source), "keypoints", out.stem)
    with whole_set(out.parent, job):
        with ExitStack() as stack:
            if video is not None:
                reader = stack.enter_context(VideoReader(video))
                if header.size is not None and tuple(header.size) != reader.size:
                    raise ValueError(
                        f"{video}: frames of {reader.size} px, the results are of {header.size}; "
                        "give the video that they were made of"
                    )
                draw(_paired(reader, results), drawing, reader.fps, stack)
            writer = stack.enter_context(ResultsWriter(out, **vars(header)))
            for result in results:
                writer.write(result)
        forms, notes = further_forms(out, drawing, replace(wanted, drawing=video is not None))
    return Done([out, *([drawing] if video else []), *forms], notes)


def _paired(reader: VideoReader, results: list[Result]) -> Iterator[tuple[Frame, Result]]:
    by_frame = {result.index: result for result in results}
    for frame in reader:
        yield frame, by_frame.get(frame.index, Result(frame.index, frame.time_s, ()))
