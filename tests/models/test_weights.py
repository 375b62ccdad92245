import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from poseact.models import weights
from poseact.models.spnet import SPNet
from poseact.models.weights import Card


def test_round_trip_gives_the_same_network_and_card(
    tiny: SPNet, tiny_card: Card, tmp_path: Path
) -> None:
    path = weights.save(tmp_path / "a.safetensors", tiny, tiny_card)
    model, card = weights.load(path)
    assert card == replace(tiny_card, config=asdict(tiny.config))
    assert model.config == tiny.config
    assert not model.training
    for name, value in tiny.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_half_precision_is_smaller_and_close(tiny: SPNet, tiny_card: Card, tmp_path: Path) -> None:
    full = weights.save(tmp_path / "full.safetensors", tiny, tiny_card)
    half = weights.save(tmp_path / "half.safetensors", tiny, tiny_card, half=True)
    assert half.stat().st_size < 0.75 * full.stat().st_size
    frames = torch.rand(1, 1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        a, b = tiny(frames).poses[-1], weights.load(half).model(frames).poses[-1]
    assert a == pytest.approx(b, abs=0.01)
    assert next(weights.load(half).model.parameters()).dtype == torch.float32


def test_a_cut_network_can_be_saved(tiny: SPNet, tiny_card: Card, tmp_path: Path) -> None:
    small = tiny.cut(1, 1)
    card = replace(tiny_card, config=asdict(small.config))
    assert weights.load(weights.save(tmp_path / "s.safetensors", small, card)).model.exits == (
        (1, 1),
    )


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_cut_file_is_named_and_refused(
    tiny: SPNet, tiny_card: Card, tmp_path: Path, kept: float
) -> None:
    path = weights.save(tmp_path / "half.safetensors", tiny, tiny_card)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ValueError, match="half.safetensors is not a whole"):
        weights.load(path)


def test_strangers_are_refused_with_the_reason(
    tiny: SPNet, tiny_card: Card, tmp_path: Path
) -> None:
    tensors = {k: v.contiguous() for k, v in tiny.state_dict().items()}
    path = tmp_path / "w.safetensors"

    def header(card: Card) -> dict[str, str]:
        return {"poseact": json.dumps(asdict(card))}

    save_file(tensors, path)
    with pytest.raises(ValueError, match="without a poseact card"):
        weights.load(path)
    save_file({k: v for k, v in tensors.items() if "act1" not in k}, path, header(tiny_card))
    with pytest.raises(ValueError, match="missing.*act1"):
        weights.load(path)
    wider = replace(tiny_card, config={**tiny_card.config, "joints": 16})
    save_file(tensors, path, header(wider))
    with pytest.raises(ValueError, match="shape"):
        weights.load(path)
    save_file(tensors, path, header(replace(tiny_card, architecture="resnet")))
    with pytest.raises(ValueError, match="resnet"):
        weights.load(path)
    save_file(tensors, path, header(replace(tiny_card, layout="MPII99")))
    with pytest.raises(ValueError, match="MPII99"):
        weights.load(path)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(FileNotFoundError, match="spnet-xl"):
        weights.load("spnet-xl")


def test_a_failed_write_leaves_nothing(
    tiny: SPNet, tiny_card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("poseact.core.files.os.replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        weights.save(tmp_path / "a.safetensors", tiny, tiny_card)
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_a_clear_line(
    tmp_path: Path, tiny: SPNet, tiny_card: weights.Card
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    path = weights.save(tmp_path / "a.safetensors", tiny, tiny_card)
    with pytest.raises(ValueError, match="device cuda cannot be used here"):
        weights.load(path, device="cuda")


@pytest.mark.parametrize("changes", [{"growth": 60000}, {"kernel": [5, 0.5]}, {"pyramids": "x"}])
def test_a_card_of_another_size_or_type_takes_no_memory(
    tmp_path: Path, tiny: SPNet, tiny_card: weights.Card, changes: dict
) -> None:
    card = replace(tiny_card, config={**tiny_card.config, **changes})
    path = weights.save(tmp_path / "a.safetensors", tiny, card)
    with pytest.raises(ValueError, match=r"a\.safetensors"):
        weights.load(path)
