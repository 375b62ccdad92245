"""A hand-made network that reads painted joints stands in for a trained one: it is exact, so that
what is tested is the way from pixels to people and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import small_spnet
from poseact.core.geometry import crop_matrix, transform, warp
from poseact.core.layouts import PA17
from poseact.core.types import Result
from poseact.inference import eager
from poseact.inference.detector import Detections
from poseact.inference.predictor import Predictor, predict
from poseact.inference.session import KEEP_S
from poseact.inference.window import ActionWindow
from poseact.media.pictures import Frame, write_image
from poseact.media.video import VideoWriter
from poseact.models.frames import FrameOutput
from poseact.models.spnet import SPNet, SPNetConfig
from poseact.models.weights import Card, Loaded, save

CONFIG = small_spnet(3, cell_centres=True)
LABELS = ("walk", "wave", "sit")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = SPNet(CONFIG)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.15)
    card = Card(
        dataclasses.asdict(CONFIG), "PA17", (LABELS,), (32, 32), frames=4, fps=10.0, margin=1.25
    )
    return save(tmp_path_factory.mktemp("weights") / "tiny.safetensors", net, card)


def action_of(result: Result) -> np.ndarray:
    action = result.people[0].action
    assert action is not None
    return action


def noise(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


# ------------------------------------------------------------------------------- the network


def test_with_a_fixed_box_the_predictor_is_the_model_on_the_whole_clip(weights: Path) -> None:
    predictor = Predictor(weights, detector="none", smooth=False, device="cpu")
    box = np.array([10.0, 5, 60, 55])
    clip = [Frame(t, t / 10, noise(t)) for t in range(4)]
    results = [result for _, result in predictor.video(clip, box=box)]
    matrix = crop_matrix(box, scale=1.25)
    crops = torch.from_numpy(np.stack([warp(f.rgb, matrix, (32, 32)) for f in clip]))
    frames = crops.permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        out = predictor.model(frames[None])
    for t, result in enumerate(results):
        (person,) = result.people
        uv = out.poses[-1][0, t, :, :2].numpy()
        np.testing.assert_allclose(person.xy, transform(np.linalg.inv(matrix), uv), atol=1e-3)
        np.testing.assert_allclose(person.score, out.scores[-1][0, t], atol=1e-5)
    action = out.actions[-1][0].softmax(-1)[0]
    np.testing.assert_allclose(action_of(results[-1]), action, atol=1e-5)
    assert results[-1].labels == LABELS
    assert [r.index for r in results] == [0, 1, 2, 3]


def test_the_mirror_image_gives_the_mirrored_person_with_flip(weights: Path) -> None:
    predictor = Predictor(weights, detector="none", flip=True)
    rgb = noise(0, 64, 64)
    box = np.array([0.0, 0, 64, 64])
    (person,) = predictor.image(rgb, box=box).people
    (mirrored,) = predictor.image(np.ascontiguousarray(rgb[:, ::-1]), box=box).people
    flip = list(PA17.flip)
    expected = (person.xy * [-1, 1] + [64, 0])[flip]
    np.testing.assert_allclose(mirrored.xy, expected, atol=0.02)
    np.testing.assert_allclose(mirrored.score, person.score[flip], atol=1e-4)
    assert person.xyz is not None and mirrored.xyz is not None
    np.testing.assert_allclose(mirrored.xyz, (person.xyz * [-1, 1, 1])[flip], atol=1.0)


def test_an_exit_gives_that_blocks_pose_and_no_action_before_the_first_action_block(
    weights: Path,
) -> None:
    whole = Predictor(weights, detector="none")
    cut = Predictor(weights, detector="none", exit=(1, 2))
    rgb = noise(1)
    with torch.inference_mode():
        look = whole.network.whole(rgb)
        crop = warp(rgb, np.linalg.inv(look.to_image), (32, 32))
        out = whole.model.frames(torch.from_numpy(crop).permute(2, 0, 1)[None] / 127.5 - 1)
    k = whole.model.exits.index((1, 2))
    np.testing.assert_allclose(cut.image(rgb).people[0].score, out.scores[k][0].numpy(), atol=1e-4)
    with pytest.raises(ValueError, match=r"no exit \(9, 9\).*\(1, 1\)"):
        Predictor(weights, exit=(9, 9))
    with pytest.raises(TypeError, match="array .* got str; .* reads a file"):
        whole.image("a.jpg")  # type: ignore[arg-type]


def test_a_network_without_actions_or_depth(tmp_path: Path) -> None:
    config = SPNetConfig(joints=14, levels=3, growth=16, image_div=4, pyramids=1, entry="light")
    card = Card(dataclasses.asdict(config), "LSP14", (), (32, 32))
    path = save(tmp_path / "flat.safetensors", SPNet(config), card)
    predictor = Predictor(path, detector="none")
    clip = [Frame(t, t / 25, noise(t)) for t in range(3)]
    for _, result in predictor.video(clip):
        assert result.labels == ()
        assert result.people[0].action is None and result.people[0].xyz is None
        assert result.people[0].xy.shape == (14, 2)


def test_actions_come_at_the_rate_of_the_model(weights: Path) -> None:
    predictor = Predictor(weights, detector="none", smooth=False)
    video = [Frame(t, t / 30, noise(t)) for t in range(12)]  # the model's clips have 10 a second
    actions = [result.people[0].action for _, result in predictor.video(video)]
    assert actions[:9] == [None] * 9  # a window is four frames
    assert actions[9] is not None and actions[-1] is actions[9]
    window = ActionWindow(predictor.network.model, 4)
    answers = [window.push(predictor.network.whole(f.rgb).features) for f in video[::3]]
    assert answers[-1] is not None and actions[-1] is not None
    np.testing.assert_allclose(actions[-1], answers[-1], atol=1e-6)


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), "1 x 1 px"),
        (np.zeros((50, 50), np.uint8), r"\(50, 50\)"),
        (np.zeros((50, 50, 3), np.float32), "float32"),
    ],
)
def test_a_picture_that_is_none_is_refused(weights: Path, rgb: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Predictor(weights).image(rgb)


def test_bad_options_are_refused(weights: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nonesuch"):
        Predictor("nonesuch")
    with pytest.raises(ValueError, match="device"):
        Predictor(weights, device="toaster")
    with pytest.raises(ValueError, match="threads"):
        Predictor(weights, threads=0)
    with pytest.raises(ValueError, match="action set 1"):
        Predictor(weights, action_set=1)
    with pytest.raises(ValueError, match="x0 y0 x1 y1"):
        Predictor(weights).image(noise(0), box=np.array([50.0, 0, 10, 10]))


def test_predict_walks_through_a_folder(weights: Path, tmp_path: Path) -> None:
    for n in range(2):
        write_image(tmp_path / f"{n}.png", noise(n))
    with VideoWriter(tmp_path / "z.mp4", fps=10, size=(80, 60)) as video:
        for n in range(3):
            video.write(noise(n))
    box = np.array([10.0, 5, 60, 55])
    results = list(predict(tmp_path, weights=weights, box=box))
    assert [r.index for r in results] == [0, 1, 0, 1, 2]
    names = [Path(r.source).name for r in results]
    assert names == ["0.png", "1.png", "z.mp4", "z.mp4", "z.mp4"]
    still = Predictor(weights).image(noise(1), box=box).people[0]
    np.testing.assert_allclose(results[1].people[0].xy, still.xy, atol=1e-4)


def test_predict_takes_one_picture_and_nothing_else(weights: Path) -> None:
    (result,) = predict(noise(0), weights=weights, box=np.array([10.0, 5, 60, 55]))
    assert result.people[0].xy.shape == (17, 2)
    for source, message in (
        (np.zeros((4, 60, 80, 3), np.uint8), r"uint8 RGB \(H, W, 3\), got uint8 \(4, 60, 80, 3\)"),
        (noise(0).astype(float), "got float64"),
        ([noise(0)], "got list; several pictures go to Predictor.batch"),
    ):
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            list(predict(source, weights=weights))  # type: ignore[arg-type]
        assert len(str(caught.value)) < 200


# ------------------------------------------------------------------------------- following

_HUES = np.array([[[10 * j, 255, 255] for j in range(17)]], np.uint8)
COLOURS = cv2.cvtColor(_HUES, cv2.COLOR_HSV2RGB)[0]  # one for each joint
STICK = np.array(
    [[50, 95], [50, 50], [50, 35], [50, 8], [30, 50], [70, 50], [22, 75], [78, 75], [12, 98],
     [88, 98], [40, 98], [60, 98], [37, 140], [63, 140], [33, 180], [67, 180], [50, 72]], float
)  # fmt: skip


class PaintReader(nn.Module):
    """Finds each joint by its colour: heat map = likeness, score = the best likeness."""

    config = SPNetConfig(joints=17)
    exits = ((1, 1),)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("colours", torch.from_numpy(COLOURS / 127.5 - 1.0).float())

    def frames(self, x: Tensor) -> FrameOutput:
        away = (x[:, None] - self.get_buffer("colours")[:, :, None, None]).norm(dim=2)  # N J H W
        likeness = torch.exp(-((away / 0.12) ** 2))
        total = likeness.sum((-2, -1)).clamp(min=1e-9)
        n = x.shape[-1]
        grid = (torch.arange(n) + 0.5) / n
        u = (likeness.sum(-2) * grid).sum(-1) / total
        v = (likeness.sum(-1) * grid).sum(-1) / total
        score = likeness.amax((-2, -1))
        return FrameOutput([torch.stack([u, v], -1)], [score], [likeness], (), [])


def painted(at: tuple[float, float], *, size: tuple[int, int] = (640, 360)) -> np.ndarray:
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    for colour, (x, y) in zip(COLOURS, STICK + at):
        cv2.circle(rgb, (round(x), round(y)), 4, colour.tolist(), -1)
    return rgb


def painted_people(rgb: np.ndarray) -> Detections:
    """A detector: a box around everything painted that hangs together."""
    marks = cv2.dilate((rgb.max(-1) > 60).astype(np.uint8), np.ones((61, 61), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(marks)
    boxes = [(x + 30, y + 30, x + w - 30, y + h - 30) for x, y, w, h, _ in stats[1:]]
    return Detections(np.array(boxes, float).reshape(-1, 4), np.full(count - 1, 0.5))


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[Predictor]:
    card = Card({}, "PA17", (), (256, 256), frames=4, fps=10.0, margin=1.25)
    model = cast(SPNet, PaintReader())
    monkeypatch.setattr(eager, "load", lambda name, device, exit: Loaded(model, card))
    yield Predictor(smooth=False, device="cpu", detector=painted_people, runtime="torch")


@pytest.mark.parametrize("at", [(5.0, 100.0), (280.0, 20.0), (540.0, 170.0)])
def test_a_person_is_found_anywhere_in_the_frame(
    reader: Predictor, at: tuple[float, float]
) -> None:
    (person,) = reader.image(painted(at)).people
    assert np.abs(person.xy - STICK - at - 0.5).max() < 1.0  # px
    assert person.box[2] - person.box[0] < 100  # close up, not the whole frame


def test_a_walking_person_is_followed(reader: Predictor) -> None:
    places = [(3.0 * t, 100 + 0.5 * t) for t in range(60)]
    clip = [Frame(t, t / 25, painted(place)) for t, place in enumerate(places)]
    for place, (_, result) in zip(places, reader.video(clip)):
        (person,) = result.people
        assert person.track == 0
        assert np.abs(person.xy - STICK - place - 0.5).max() < 1.5


def test_two_people_and_at_most_so_many(reader: Predictor) -> None:
    rgb = painted((20.0, 100.0)) + painted((400.0, 120.0))
    result = reader.image(rgb)
    assert [p.track for p in result.people] == [0, 1]
    spots = sorted(float(p.xy[0, 0] - STICK[0, 0]) for p in result.people)
    np.testing.assert_allclose(spots, [20.5, 400.5], atol=1.0)
    clip = [Frame(t, t / 25, rgb) for t in range(5)]
    assert [len(r.people) for _, r in reader.video(clip)] == [2] * 5
    one = Predictor(
        smooth=False, device="cpu", detector=painted_people, people="one", runtime="torch"
    )
    assert [[p.track for p in r.people] for _, r in one.video(clip)] == [[0]] * 5
    assert len(one.image(rgb).people) == 1
    with pytest.raises(ValueError, match="people"):
        Predictor(people=0)


@pytest.mark.parametrize("seconds, track", [(0.5 * KEEP_S, 0), (1.5 * KEEP_S, 1)])
def test_somebody_who_comes_back_soon_keeps_the_number(
    reader: Predictor, seconds: float, track: int
) -> None:
    empty = np.zeros((360, 640, 3), np.uint8)
    here = painted((200.0, 100.0))
    gone = round(seconds * 25)
    frames = [here] * 4 + [empty] * gone + [here] * 10
    results = [r for _, r in reader.video(Frame(t, t / 25, rgb) for t, rgb in enumerate(frames))]
    assert all(len(r.people) == 1 for r in results[:4])
    assert all(r.people == () for r in results[4 : 4 + gone])
    assert [p.track for p in results[-1].people] == [track]


def test_a_batch_is_its_pictures_one_by_one(reader: Predictor) -> None:
    pictures = [
        painted((20.0, 100.0)) + painted((400.0, 120.0)),
        np.zeros((90, 160, 3), np.uint8),
        painted((300.0, 40.0), size=(480, 270)),
    ]
    results = reader.batch(pictures)
    assert [(r.index, len(r.people)) for r in results] == [(0, 2), (1, 0), (2, 1)]
    for result, rgb in zip(results, pictures):
        for person, alone in zip(result.people, reader.image(rgb).people, strict=True):
            np.testing.assert_allclose(person.xy, alone.xy, atol=1e-3)
            np.testing.assert_allclose(person.box, alone.box, atol=1e-3)
    assert reader.batch([]) == []
    with pytest.raises(ValueError, match="too small"):
        reader.batch([pictures[0], pictures[0][:4]])


def test_frames_pushed_from_anywhere_are_a_video(reader: Predictor) -> None:
    clip = [Frame(t, t / 25, painted((3.0 * t, 100.0))) for t in range(6)]
    session = reader.session()
    for frame, result in reader.video(clip):
        pushed = session.push(frame.rgb, 1000 + frame.time_s)
        assert (pushed.index, pushed.time_s) == (frame.index, 1000 + frame.time_s)
        np.testing.assert_allclose(pushed.people[0].xy, result.people[0].xy, atol=1e-6)
    assert session.push(clip[-1].rgb, 1001.0, index=20).index == 20
    assert session.push(clip[-1].rgb, 1001.1).index == 21


def test_a_blank_frame_shows_nobody(weights: Path) -> None:
    blank = np.full((90, 160, 3), 90, np.uint8)
    predictor = Predictor()
    assert predictor.image(blank).people == ()
    clip = [Frame(t, t / 25, blank) for t in range(3)]
    assert [r.people for _, r in predictor.video(clip)] == [(), (), ()]


def test_a_box_that_is_given_holds_its_person(reader: Predictor) -> None:
    rgb = painted((20.0, 100.0)) + painted((400.0, 120.0))
    box = np.array([*STICK.min(0) + (400, 120), *STICK.max(0) + (400, 120)])
    for _, result in reader.video([Frame(t, t / 25, rgb) for t in range(5)], box=box):
        (person,) = result.people
        assert np.abs(person.xy - STICK - (400.5, 120.5)).max() < 1.0


def test_a_frame_without_a_time_is_refused(reader: Predictor) -> None:
    with pytest.raises(ValueError, match="frame 3 has the time nan"):
        reader.session().push(painted((20.0, 100.0)), np.nan, index=3)


def test_smoothing_calms_a_trembling_person(
    reader: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    places = 100 + rng.integers(-2, 3, (40, 2))
    clip = [Frame(t, t / 25, painted((float(x), float(y)))) for t, (x, y) in enumerate(places)]

    def spread() -> float:
        found = [result.people[0].xy for _, result in reader.video(clip)]
        return float(np.diff(found, axis=0).std())

    plain = spread()
    monkeypatch.setattr(reader, "smooth", True)
    assert spread() < 0.5 * plain
