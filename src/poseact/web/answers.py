"""From an upload to the lines of `poseact predict`."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from poseact.core.files import whole_file
from poseact.inference.predictor import Predictor, results_header
from poseact.results.jsonl import header_json, result_json
from poseact.web.decoding import Decoders, Upload

Line = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The lines of one upload: a header and then a line a frame, computed as they are taken."""

    kind: Literal["image", "video"]
    count: int | None
    lines: Iterator[Line]


class Answers:
    """Predictions on uploads. model: the name of the weights, for the header."""

    def __init__(self, predictor: Predictor, decoders: Decoders, *, model: str) -> None:
        self._predictor, self._decoders, self._model = predictor, decoders, model

    @contextmanager
    def opened(self, path: Path) -> Iterator[Answer]:
        """Of the file at `path`. What `Decoders.opened` raises, or ValueError for a picture too
        small to show anybody."""
        with self._decoders.opened(path) as upload:
            yield Answer(upload.kind, upload.count, self._lines(upload))

    def _lines(self, upload: Upload) -> Iterator[Line]:
        predictor = self._predictor
        header = results_header(predictor, model=self._model, fps=upload.fps, size=upload.size)
        yield header_json(header)
        if upload.kind == "image":
            for frame in upload.frames:
                yield result_json(predictor.image(frame.rgb), header)
            return
        for _, result in predictor.video(upload.frames):
            yield result_json(result, header)


def text(line: Line) -> str:
    """A line as the files of `poseact predict` have it."""
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


@contextmanager
def kept(upload: BinaryIO, folder: Path) -> Iterator[Path]:
    """A copy of an upload under a name of our own, which is deleted in the end, come what may."""
    path = folder / f"upload-{secrets.token_hex(16)}"
    try:
        copied(upload, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def copied(upload: BinaryIO, path: Path, copy: Callable[..., None] = shutil.copyfileobj) -> None:
    """The bytes of an upload, as a whole file or none, for its owner alone."""
    with whole_file(path) as part:
        part.chmod(0o600)
        with part.open("wb") as out:
            copy(upload, out)
