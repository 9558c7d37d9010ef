"""What no network can work with is refused before it spreads through the whole batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sahmr.dimensions import CROP_SIZE
from sahmr.errors import SahmrError
from sahmr.structures import Batch

FARTHEST_M = 1000.0  # of a scene point from the camera, per axis; the viewing frustum ends at 12.5 m


class BatchError(SahmrError, ValueError):
    """A batch holds what the network cannot work with; the message names the sample."""


def check_batch(batch: Batch) -> None:
    """Refuse batches that would give nonsense or NaN. Ground truth is not looked at: the trainer checks the losses.

    Raises:
        BatchError: if sizes do not fit together; or naming the first sample with NaN or infinity in its image,
            camera or scene points, with a crop box or focal length that is not positive, or with a scene point more
            than a kilometre away.
    """
    _check_sizes(batch)
    camera, xyz, sample = batch.camera, batch.scene.xyz, batch.scene.sample
    count = len(batch.keys)
    found = {
        "image": _not_finite(batch.image),
        "intrinsics": _not_finite(camera.intrinsics),
        "camera_from_world": _not_finite(camera.camera_from_world),
        "crop_box": _not_finite(camera.crop_box),
    }
    far = torch.zeros_like(found["image"])
    if not _all_near(xyz):
        found["scene points"] = _any_per_sample(~xyz.isfinite().all(dim=1), sample, count)
        far = _any_per_sample((xyz.abs() > FARTHEST_M).any(dim=1), sample, count)
    advice = "NaN or infinity; drop the sample, or rebuild its shard or scene"
    faults = {f"{name} with {advice}": bad for name, bad in found.items()}
    focal = camera.intrinsics.diagonal(dim1=1, dim2=2)[:, :2]
    faults |= {
        "a crop box without area (right must exceed left, bottom top); rebuild the shard": (
            camera.crop_box[:, 2:] <= camera.crop_box[:, :2]
        ).any(dim=1),
        "a focal length that is not positive; rebuild the shard": (focal <= 0).any(dim=1),
        f"a scene point more than {FARTHEST_M:g} m away; are its points in metres, camera frame?": far,
    }
    _raise_first(batch.keys, faults)


def require_finite(keys: Sequence[str], **results: Float[Tensor, "batch ..."]) -> None:
    """Refuse to hand on NaN or infinity that a network made of finite input.

    Raises:
        BatchError: naming the first sample and result.
    """
    advice = "the weights are damaged or far from any training; use another checkpoint"
    _raise_first(
        keys, {f"finite input, but its {name} is not: {advice}": _not_finite(x) for name, x in results.items()}
    )


def _check_sizes(batch: Batch) -> None:
    """Sizes of the batch's parts, and every scene point's sample number."""
    count = len(batch.keys)
    if batch.image.shape != (count, 3, CROP_SIZE, CROP_SIZE) or count == 0:
        raise BatchError(
            f"{count} keys and images of shape {list(batch.image.shape)}; allowed are at least one key and as many RGB "
            f"crops of {CROP_SIZE} x {CROP_SIZE} pixels"
        )
    lengths = {len(batch.camera.intrinsics), len(batch.camera.camera_from_world), len(batch.camera.crop_box)}
    if lengths != {count}:
        raise BatchError(f"{count} keys, but cameras for {sorted(lengths)} samples; give one camera per key")
    sample = batch.scene.sample
    if len(sample) == 0:
        return
    lowest, highest = (int(end) for end in sample.aminmax())
    if lowest < 0 or highest >= count:
        raise BatchError(f"scene points belong to samples {lowest}..{highest}, the batch has 0..{count - 1}")
    if bool((sample[1:] < sample[:-1]).any()):
        raise BatchError("scene points are not sorted by sample; pack them with pack_points")


def _all_near(xyz: Float[Tensor, "points 3"]) -> bool:
    """Whether all points are finite and near, in one pass over them: there are hundreds of thousands."""
    if len(xyz) == 0:
        return True
    low, high = xyz.aminmax()  # NaN if any is
    return bool((low >= -FARTHEST_M) & (high <= FARTHEST_M))


def _not_finite(value: Float[Tensor, "batch ..."]) -> Bool[Tensor, " batch"]:
    return ~value.detach().flatten(1).isfinite().all(dim=1)


def _any_per_sample(bad: Bool[Tensor, " points"], sample: Tensor, count: int) -> Bool[Tensor, " batch"]:
    return torch.zeros(count, dtype=torch.long, device=bad.device).index_add(0, sample, bad.long()) > 0


def _raise_first(keys: Sequence[str], faults: Mapping[str, Bool[Tensor, " batch"]]) -> None:
    """One look at the device for all of them; then the first sample's first fault."""
    table = torch.stack(list(faults.values()), dim=1)
    if bool(table.any()):
        row, column = table.nonzero()[0].tolist()
        raise BatchError(f"sample {keys[row]!r} has {list(faults)[column]}")
