"""The sliding window of action recognition: what a frame said is kept, only the head runs anew.

Pose is a single-frame task, so everything the action head reads of a frame (its features: poses,
and appearance pooled at the joints) is computed once, when the frame arrives. A result for a window
of T frames then costs one new frame and the small head, not T frames.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np


class ActionHead(Protocol):
    """A model's second half: features with (B, T) in front -> logits (B, A) of each set."""

    def actions(self, features: tuple[np.ndarray, ...], /) -> tuple[np.ndarray, ...]: ...


class ActionWindow:
    """The features of the last `frames` sampled frames and the action they show.

    There is no answer before that many frames have come. Raises ValueError for a window without
    frames.
    """

    def __init__(self, model: ActionHead, frames: int, *, action_set: int = 0) -> None:
        if frames < 1:
            raise ValueError(f"an action window needs one frame or more, got {frames}")
        self._model = model
        self._frames = frames
        self._action_set = action_set
        self._ring: deque[tuple[np.ndarray, ...]] = deque(maxlen=frames)

    def push(self, features: tuple[np.ndarray, ...]) -> np.ndarray | None:
        """Action probabilities (A,) of the window that ends with this frame; None until it is full.

        features: of one frame, each (N, ...) for N views of it (1, or 2 with the mirror image); the
        probabilities of the views are averaged. The answer is the last action block's.
        Raises ValueError if the model has no action block (one that was cut before the first).
        """
        self._ring.append(features)
        if len(self._ring) < self._frames:
            return None
        logits = self._model.actions(tuple(np.stack(f, 1) for f in zip(*self._ring)))  # of N T ...
        if not logits:
            raise ValueError("this model has no action block; it was cut before its first one")
        chosen = np.asarray(logits[self._action_set], np.float32)  # N A
        odds = np.exp(chosen - chosen.max(-1, keepdims=True))
        return (odds / odds.sum(-1, keepdims=True)).mean(0)

    def clear(self) -> None:
        """Forget everything: the next frame belongs to somebody else."""
        self._ring.clear()


class Sampler:
    """Says which frames of a video belong to a window of `fps` frames a second.

    A video that is faster gives some of its frames, one that is slower gives some frames twice.
    """

    def __init__(self, fps: float) -> None:
        if not fps > 0:
            raise ValueError(f"fps is frames a second, more than 0; got {fps}")
        self._step_s = 1.0 / fps
        self._next_s: float | None = None

    def due(self, time_s: float, *, at_most: int) -> int:
        """How many times the frame at `time_s` is to be pushed: 0, 1 or, in a slow video, more.

        After a gap longer than `at_most` samples the count is `at_most` and starts anew. Half a
        millisecond of slack absorbs rounded time stamps.
        """
        slack_s = 5e-4
        if (
            self._next_s is None or time_s < self._next_s - 2 * self._step_s
        ):  # start, or a jump back
            self._next_s = time_s + self._step_s
            return 1
        count = int(np.floor((time_s - self._next_s + slack_s) / self._step_s)) + 1
        if count > at_most:
            self._next_s = time_s + self._step_s
            return at_most
        self._next_s += max(count, 0) * self._step_s
        return max(count, 0)
