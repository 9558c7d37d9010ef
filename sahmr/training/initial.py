"""First weights: from a METRO checkpoint, or, without one, a network that starts out as the template body."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sahmr.body.topology import load_tables
from sahmr.dimensions import NUM_PARTS
from sahmr.errors import CheckpointError
from sahmr.network.checkpoint_keys import compare_keys, group_keys, metro_sources
from sahmr.network.mesh import MeshNet, TransformerBlock
from sahmr.network.root_contact import RootContactNet
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, BodyTopology
from sahmr.targets import target_pelvis
from sahmr.training.checkpoint import METRO, Checkpoint, load_state

log = logging.getLogger("sahmr")

_NEIGHBOURS = 6  # coarse vertices each finer vertex is interpolated from
_BLUR_M = 0.12  # standard deviation
_RIDGE = 1e-3  # share of the trace added to the local Gram matrix; six neighbours of a plane are degenerate


def load_initial(network: SahmrNet, checkpoint: Checkpoint, *, size: str, under: str, source: str) -> None:
    """Start a part of the network from ``network.initial_checkpoint``.

    Args:
        network: freshly made.
        checkpoint: as read from the file: METRO's, or a whole SA-HMR network.
        size: name of the network's size.
        under: load only the part of that name, e.g. ``rcnet.``.
        source: the file.

    Raises:
        CheckpointError: if it is of another size, or does not fill that part.
    """
    if checkpoint.size != size:
        raise CheckpointError(
            f"{source}: weights of size '{checkpoint.size}', the network is of size '{size}'; set network.size: "
            f"{checkpoint.size}, or network.initial_checkpoint: null"
        )
    if checkpoint.stage == METRO:
        load_metro(network, checkpoint, source=source, under=under)
        return
    load_state(network, checkpoint.network, source=source, under=under)
    count = sum(name.startswith(under) for name in checkpoint.network)
    log.info("%s: %d entries taken, trained before by '%s'", source, count, checkpoint.stage)


def load_metro(network: SahmrNet, metro: Checkpoint, *, source: str, under: str = "") -> None:
    """Start from METRO's 3DPW weights: both trunks and the mesh transformer.

    What is taken and what stays random is logged by name; with the published file random stay the sparse network, the
    root network's output layer and the layers SA-HMR added to the transformer (``linear_cp``, ``loftr``).

    Args:
        network: freshly made.
        metro: ``metro_3dpw_state_dict.bin``, or what convert_checkpoint made of it.
        source: that file.
        under: load only the part of that name, e.g. ``rcnet.``.

    Raises:
        CheckpointError: if nothing in it fits, or something does not fit.
    """
    own = network.state_dict()
    sources = metro_sources(own, metro.network)
    report = compare_keys(metro.network, {theirs: own[ours] for ours, theirs in sources.items()})
    if not report.used:
        raise CheckpointError(
            f"{source}: no entry fits; expected METRO's state dict ('backbone.conv1.weight', ...) and "
            "network.size: paper in params.yaml"
        )
    entries = report.require_complete(source)
    wanted = [name for name in own if name.startswith(under)]
    taken = {name: entries[sources[name]] for name in wanted if name in sources}
    network.load_state_dict(taken, strict=False)
    random = [name for name in wanted if name not in taken]
    for names, what in ((list(taken), "taken"), (random, "not in it, random")):
        log.info(
            "%s: %d of %d entries %s: %s", source, len(names), len(wanted), what, ", ".join(group_keys(names, own))
        )


def mean_scaled_depth(batches: Iterable[Batch], topology: BodyTopology) -> float:
    """Mean of depth x crop width / focal length of the pelvises of a split that is not empty."""
    total, count = 0.0, 0
    for batch in batches:
        depth = target_pelvis(batch, topology)[:, 2]
        total += float((depth * batch.camera.depth_scale).double().sum())
        count += len(depth)
    return total / count


@torch.no_grad()
def start_calmly(network: RootContactNet, scaled_depth: float) -> None:
    """Let heat-map and part maps start at 0 and the depth map at the training data's mean.

    Summed over whole maps, the random start of these channels would outweigh every other loss by orders of magnitude.
    Only where there is no METRO checkpoint; the voxels' feature channels stay random.
    """
    head = network.root_net.out_conv
    assert head.bias is not None
    for channels in (slice(0, 2), slice(1 - NUM_PARTS, None)):
        head.weight[channels] = 0
        head.bias[channels] = 0
    head.bias[1] = scaled_depth


@torch.no_grad()
def start_as_template(network: MeshNet, bodies: Path) -> None:
    """Make a random mesh network put out the template body, and every contact point as it was put in.

    The first three channels of each block carry the coordinates: its residual passes them on, its head adds nothing
    at first. The two up-sampling layers interpolate from neighbours on the template. Random numbers that differ from
    token to token (position codes, mixtures of the image's cells) are blurred over the body: neighbours start alike,
    and move alike, where independent ones leave a mesh crumpled. Only where there is no METRO checkpoint to start from;
    none of this changes the architecture.

    Args:
        network: freshly made.
        bodies: folder of the stage ``bodies``.
    """
    tables = load_tables(bodies)
    wanted = ("template_full", "middle_to_full", "coarse_to_full")
    template, middle, coarse = (torch.from_numpy(tables[name]) for name in wanted)
    for layer, fine, known in (
        (network.upsampling, template[middle], template[coarse]),
        (network.upsampling2, template, template[middle]),
    ):
        layer.weight.copy_(interpolation(fine, known))
        layer.bias.zero_()
    blur = _blur(network.template)
    network.conv_learn_tokens.weight.copy_((blur @ network.conv_learn_tokens.weight[:, :, 0])[..., None])
    for block in network.trans_encoder:
        assert isinstance(block, TransformerBlock)
        codes = block.bert.position_embeddings.weight
        codes[: len(blur)] = blur @ codes[: len(blur)]
        block.residual.weight[:3] = torch.eye(3, block.residual.in_features)
        block.residual.bias[:3] = 0
        block.cls_head.weight[:3] = 0
        block.cls_head.bias[:3] = 0


def _blur(template: Float[Tensor, "tokens 3"]) -> Float[Tensor, "tokens tokens"]:
    """Gaussian weights over the template; independent numbers of equal variance keep that variance."""
    weight = torch.exp(-(torch.cdist(template.double(), template.double()) ** 2) / (2 * _BLUR_M**2))
    blur: Tensor = weight / weight.norm(dim=1, keepdim=True)
    return blur.float()


@torch.no_grad()
def share_trunk(network: SahmrNet) -> None:
    """Let the mesh network's backbone start as the trained trunk of the root network.

    Both trunks of the reference start from the same METRO backbone; without METRO this is the nearest thing. The
    classification head stays random.
    """
    trunk = network.rcnet.root_net.hrnet.state_dict()
    own = network.metro_enhanced.backbone.state_dict()
    fitting = {name: value for name, value in trunk.items() if name in own and own[name].shape == value.shape}
    network.metro_enhanced.backbone.load_state_dict(fitting, strict=False)


def interpolation(fine: Float[Tensor, "fine 3"], known: Float[Tensor, "known 3"]) -> Float[Tensor, "fine known"]:
    """Matrix whose rows sum to 1 and rebuild each fine point from its six nearest known ones.

    Weights are those of local linear embedding (Roweis and Saul, Science 2000): least squared error under the sum of 1.

    Args:
        fine, known: points on the template, metres.
    """
    nearest: Int[Tensor, "fine 6"] = torch.cdist(fine.double(), known.double()).topk(_NEIGHBOURS, largest=False).indices
    difference = known.double()[nearest] - fine.double()[:, None]
    gram = difference @ difference.transpose(1, 2)
    trace = gram.diagonal(dim1=1, dim2=2).sum(dim=1).clamp(min=1e-12)
    gram = gram + torch.eye(_NEIGHBOURS, dtype=torch.double) * (_RIDGE * trace)[:, None, None]
    weight = torch.linalg.solve(gram, torch.ones(len(fine), _NEIGHBOURS, 1, dtype=torch.double))[..., 0]
    weight = weight / weight.sum(dim=1, keepdim=True)
    return torch.zeros(len(fine), len(known), dtype=torch.double).scatter(1, nearest, weight).float()
