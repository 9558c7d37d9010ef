"""What the frozen root-and-contact network says of crops that stay the same, so that it is asked once of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from sahmr.network.root_contact import RootContactNet
from sahmr.structures import Batch, ContactPoints, move_to
from sahmr.training.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class _Said:
    """Of one crop, on the CPU; camera frame, metres."""

    root: Float[Tensor, " 3"]
    xyz: Float[Tensor, "points 3"]
    part: UInt8[Tensor, " points"]


class Frozen:
    """Roots and contact points by data set and key: 13 bytes a contact point, so at most 8 kB a crop with all around.

    For validation, whose crops never change, and for trainings with ``fixed_crops``. Of another network nothing is
    known.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], _Said] = {}
        self._rcnet: RootContactNet | None = None

    def __len__(self) -> int:
        return len(self._said)

    def ask(self, rcnet: RootContactNet, batch: Batch) -> tuple[Float[Tensor, "batch 3"], ContactPoints]:
        """Root and contact points of each sample; the network runs if one of them is new.

        Raises:
            BatchError: as the network.
        """
        self._ask_of(rcnet)
        names = _names(batch)
        if not all(name in self._said for name in names):
            self._run(rcnet, batch, names)
        said = [self._said[name] for name in names]
        root, xyz = torch.stack([one.root for one in said]), torch.zeros(len(said), rcnet.max_contacts, 3)
        part = torch.zeros(xyz.shape[:2], dtype=torch.long)
        for row, one in enumerate(said):
            xyz[row, : len(one.xyz)], part[row, : len(one.part)] = one.xyz, one.part
        return root.to(batch.image), move_to(
            ContactPoints(xyz_camera=xyz, part=part, mask=part != 0), batch.image.device
        )

    def look_at(self, rcnet: RootContactNet, batches: Iterable[Batch], team: Team = ALONE) -> None:
        """Ask of every crop before the first step; each process has its share of the batches, and all know all.

        What is found depends on the batches alone, so that a training that is killed and resumed finds the same.
        """
        self._ask_of(rcnet)
        device = next(rcnet.parameters()).device
        rcnet.eval()
        for batch in tqdm(
            batches, desc="frozen network", unit="batch", disable=None if team.is_first else True, leave=False
        ):
            if batch.keys:
                self._run(rcnet, move_to(batch, device), _names(batch))
        for others in team.gather(self._said):
            self._said |= others

    def _ask_of(self, rcnet: RootContactNet) -> None:
        if rcnet is not self._rcnet:
            self._rcnet, self._said = rcnet, {}

    @torch.no_grad()
    def _run(self, rcnet: RootContactNet, batch: Batch, names: list[tuple[str, str]]) -> None:
        found = rcnet(batch)
        contacts = found.contacts
        for row, name in enumerate(names):
            real = contacts.mask[row]  # the others are padding, behind them
            self._said[name] = _Said(
                found.root[row].cpu().clone(),
                contacts.xyz_camera[row][real].cpu(),
                contacts.part[row][real].to("cpu", torch.uint8),
            )


def _names(batch: Batch) -> list[tuple[str, str]]:
    datasets = batch.datasets or ("",) * len(batch.keys)
    return list(zip(datasets, batch.keys, strict=True))
