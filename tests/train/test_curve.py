"""The picture of a training shows the numbers of its log where the axes say."""

import json
from pathlib import Path

import numpy as np
import pytest

from poseact.cli.app import main
from poseact.media.pictures import read_image
from poseact.results import plot
from poseact.train.curve import running_mean, training_curve


def test_the_course_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A planted fall from 1 to 0.01 in a straight line of the logarithm, a jump, and checks."""

    def write(name: str, stage: str, losses: np.ndarray, **checks: float) -> Path:
        (tmp_path / name).mkdir()
        rows = [
            {"step": 10 * i, "stage": stage, "lr": 1e-3, "steps_per_s": 2.0, "total": float(loss)}
            for i, loss in enumerate(losses, start=1)
        ]
        rows[-1] |= checks
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "log.jsonl").write_text(lines)
        return tmp_path / name

    runs = [write("a", "first", np.geomspace(1, 0.01, 200)), write("b", "second", np.ones(100))]
    picture = training_curve(runs)
    left, right_margin, top, bottom = plot.MARGINS
    y, x = np.nonzero((picture[top:] == plot.COLOURS[0]).all(-1))  # ink, axes included
    right = picture.shape[1] - right_margin
    border = left + (right - left) * 2 // 3  # 2000 of 3000 steps
    low, high = picture.shape[0] - bottom - top, 0
    for share in (0.25, 0.5, 0.75):  # the ticks are 0.01 and 1
        column = y[x == round(left + share * (border - left))]
        assert np.abs(column - (high + share * (low - high))).min() <= 2
    assert len(y[x == border]) >= low - 2 and len(y[x == border + 100]) < 30
    assert set(y[x == border + 100]) & {0, 1}
    write("c", "third", np.ones(3), mpjpe_mm=80.0)
    assert main(["train", "--curve", str(runs[0]), str(tmp_path / "c")]) == 0
    drawn = read_image(runs[0] / "curve.png")
    assert capsys.readouterr().out.strip() == str(runs[0] / "curve.png")
    assert drawn.shape[0] > picture.shape[0] and drawn.shape[1] == picture.shape[1]
    assert main(["train", "--curve", str(tmp_path / "none")]) == 2
    assert "none/log.jsonl is missing" in capsys.readouterr().err.replace("\n", "")
    (tmp_path / "c/log.jsonl").write_text('{"step": 1, "stage": "s", "loss": 2.0}\n')
    with pytest.raises(ValueError, match="c/log.jsonl has no loss `total`"):
        training_curve([tmp_path / "c"])
    write("d", "fourth", np.array([1.0, np.nan, 2.0]), mpjpe_mm=float("nan"))
    assert training_curve([tmp_path / "d"]).shape == picture.shape
    (runs[1] / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="no line yet"):
        training_curve(runs)


def test_means_and_ticks_of_curves() -> None:
    np.testing.assert_allclose(running_mean(np.array([1.0, 2, 6, 3]), 3), [1.5, 3, 11 / 3, 4.5])
    assert plot.log_ticks(0.0065, 3.4) == (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
    assert plot.log_ticks(1, 1) == (1, 2) and plot.log_ticks(3e-7, 2) == tuple(
        float(f"1e{power}") for power in range(-7, 2)
    )
    axis = plot.Axis("", (0.01, 1.0), log=True)
    np.testing.assert_allclose(axis.share(np.array([0.01, 0.1, 1.0])), [0, 0.5, 1], atol=1e-12)
