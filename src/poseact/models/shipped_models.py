"""The shipped models in words."""

from __future__ import annotations

from poseact.models.cards import Card, available, read_card


def describe() -> list[str]:
    """A paragraph for each shipped model: size, what it reads and gives, actions, file."""
    texts = []
    for name, path in available().items():
        card = read_card(path)
        lines = [
            f"{name}  {path.stat().st_size / 2**20:.1f} MiB, {card.architecture}, {_reads(card)}",
            *(f"  {len(names)} actions: {', '.join(names)}" for names in card.labels),
            *([f"  clips of {card.frames} frames at {card.fps:g} a second"] if card.labels else []),
            f"  {path}",
        ]
        texts.append("\n".join(lines))
    return texts


def _reads(card: Card) -> str:
    height, width = card.size
    if card.architecture == "lifter":
        return (
            f"2D joints to 3D, layout {card.layout}, scaled to the {card.config['normalisation']}"
        )
    if card.architecture == "multipose":
        return "boxes of everyone in a frame"
    if card.architecture == "enas":
        dims, persons = 2 if card.config["flat"] else 3, card.config["persons"]
        who = "one person" if persons == 1 else f"{persons} persons"
        return f"{dims}D skeletons of {who} as pictures of {width} px, layout {card.layout}"
    return f"{width}x{height} px, {card.config.get('dim', 2)}D, layout {card.layout}"
