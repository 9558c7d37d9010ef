"""Contact points: the scene points in voxels classified as contact, cut or padded to a fixed number (method 6)."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from sahmr.network.size import ContactSampling
from sahmr.structures import ContactPoints, PackedPoints, rank_in_sample


def select_contacts(
    points: PackedPoints,
    part: Int[Tensor, " points"],
    batch_size: int,
    max_contacts: int,
    sampling: ContactSampling,
    generator: torch.Generator,
) -> ContactPoints:
    """Collect the points in contact, per sample, in their order.

    Args:
        points: scene points, camera frame, metres.
        part: each point's part id, 0 = no contact.
        batch_size: number of samples; one without contact gets padding only.
        max_contacts: padded or cut to this many. ``seeded_without`` keeps a random subset in scene order;
            ``with_replacement`` draws that many points, repeats included, as the reference does.
        sampling: see :class:`Behaviour`.
        generator: source of the draws (CPU). A sample's draw does not depend on the others in the batch.
    """
    touching = (part != 0).nonzero()[:, 0]  # few of them
    order = touching[torch.argsort(points.sample[touching], stable=True)]
    sample = points.sample[order]
    rank = rank_in_sample(sample, batch_size)
    count = torch.bincount(sample, minlength=batch_size)
    longest = int(count.max()) if batch_size else 0
    if longest > max_contacts:
        # One sequence of draws for all samples, read from its start: independent of who else is in the batch.
        if sampling == "seeded_without":
            draw = torch.rand(longest, generator=generator).to(points.xyz.device)[rank]
            lowest = torch.argsort(sample + draw.double() * 0.999, stable=True)  # by sample, then by draw
            kept = lowest[rank_in_sample(sample[lowest], batch_size) < max_contacts].sort().values
            order, sample = order[kept], sample[kept]
        else:
            draws = torch.rand(max_contacts, generator=generator, dtype=torch.float64).to(points.xyz.device)
            start = count.cumsum(0) - count
            pick = (draws * count[:, None]).long() + start[:, None]  # [batch, max_contacts]
            slot = torch.arange(max_contacts, device=pick.device)
            in_order = start[:, None] + slot
            pick = torch.where((count > max_contacts)[:, None], pick, in_order)
            used = (slot < count[:, None]) | (count > max_contacts)[:, None]  # [batch, max_contacts]
            sample = torch.arange(batch_size, device=pick.device)[:, None].expand_as(pick)[used]
            order = order[pick[used]]
        rank = rank_in_sample(sample, batch_size)
    xyz = points.xyz.new_zeros(batch_size, max_contacts, 3)
    ids = part.new_zeros(batch_size, max_contacts)
    xyz[sample, rank], ids[sample, rank] = points.xyz[order], part[order]
    return ContactPoints(xyz_camera=xyz, part=ids, mask=ids != 0)
