"""The card that lies beside the pre-trained weights: what they are, and how they are remade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One of the two trainings.

    Attributes:
        title: what was trained.
        epochs, batch_size, steps: its length; ``steps`` of all epochs.
        rate: the largest learning rate, per 32 images.
        seed: of weights, order and augmentation.
        seconds: that it took.
    """

    title: str
    epochs: int
    batch_size: int
    steps: int
    rate: float
    seed: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """All that the card says.

    Attributes:
        file: name of the weights file, its bytes and SHA-256 (hexadecimal).
        command: that remakes it.
        seed: of rooms, people, poses and cameras.
        rooms, held_out: how many rooms, and how many of them nothing is trained on.
        crops: of each room.
        render_seconds: that the crops took.
        trainings: in their order.
        start: what they start from.
        machine: processor, cores, torch.
        scores: on the held-out rooms, by the names of the metrics.
    """

    file: str
    size: int
    sha256: str
    command: str
    seed: int
    rooms: int
    held_out: int
    crops: int
    render_seconds: float
    trainings: tuple[Training, ...]
    start: str
    machine: str
    scores: Mapping[str, float]


def card_text(card: Card) -> str:
    """The card as Markdown."""
    parts = (_head(card), _data(card), _trainings(card), _scores(card))
    return "\n".join(parts)


def _head(card: Card) -> str:
    megabytes = f"{card.size / 1e6:.1f} MB"
    return f"""# Pre-trained weights of the demo's networks

`{card.file}` ({megabytes}) is to the demo what METRO's weights are to the paper: both networks at demo size, trained on
made-up people who are in no split of the demo.
SHA-256 `{card.sha256}`.
Made on {card.machine}; on others the last bits differ. Remade with

    {card.command}

which can be stopped and started again.
"""


def _data(card: Card) -> str:
    total, kept = card.rooms * card.crops, card.held_out * card.crops
    rate = total / max(card.render_seconds, 0.1)
    return f"""## Data

{total} crops: {card.rooms} rooms, {card.crops} crops of each; {card.held_out} rooms with {kept} crops are held out.
Every crop has a person, clothes, a pose, a spot and a camera of its own, drawn with seed {card.seed}; only the crop is
rendered, from no licensed file. `tests/demo/test_pretraining_apart.py`: no room, person or pose of the demo's splits is
among them. Rendering took {_time(card.render_seconds)} ({rate:.1f} crops a second).
"""


def _trainings(card: Card) -> str:
    rows = [
        f"| {each.title} | {each.epochs} | {each.batch_size} | {each.steps} | {each.rate:g} | {each.seed} "
        f"| {_time(each.seconds)} |"
        for each in card.trainings
    ]
    head = "| training | epochs | batch | steps | rate per 32 images | seed | time |\n|---|--:|--:|--:|--:|--:|--:|"
    return "\n".join(["## Trainings", "", f"From {card.start}.", "", head, *rows, ""])


def _scores(card: Card) -> str:
    rows = [f"| {name} | {value:.4g} |" for name, value in card.scores.items()]
    return "\n".join(["## Scores on the held-out rooms", "", "| metric | mean |\n|---|--:|", *rows, ""])


def _time(seconds: float) -> str:
    """Hours and minutes; seconds if it is less than a minute."""
    minutes = round(seconds / 60)
    if minutes == 0:
        return f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
