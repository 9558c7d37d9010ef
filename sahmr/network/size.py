"""Every width, depth and behaviour switch of the network: the published size, a demo size, two behaviours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sahmr.sparse.kernel_map import Rounding

Vote = Literal["softmax_sigmoid", "softmax_logit"]
ContactSampling = Literal["with_replacement", "seeded_without"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HrnetSize:
    """One HRNet trunk.

    Attributes:
        stem: channels of the two stride-2 stem convolutions.
        bottleneck_planes, bottleneck_blocks: stage 1; its output has four times the planes.
        channels: widths of the four resolutions (stride 4, 8, 16, 32).
        modules: exchange modules in stages 2, 3 and 4.
        blocks: basic blocks per branch and module.
        head_planes: planes of the four classification-head bottlenecks (output four times that).
        head_width: channels of the 1x1 convolution that ends the head.
    """

    stem: int
    bottleneck_planes: int
    bottleneck_blocks: int
    channels: tuple[int, int, int, int]
    modules: tuple[int, int, int]
    blocks: int
    head_planes: tuple[int, int, int, int]
    head_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSize:
    """The sparse point-voxel network.

    Attributes:
        stem: channels at stride 1.
        down: channels of the encoder at strides 2, 4, 8, 16.
        up: channels of the decoder at strides 8, 4, 2, 1.
        dropout: probability on the two re-voxelised point features.
    """

    stem: int
    down: tuple[int, int, int, int]
    up: tuple[int, int, int, int]
    dropout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerSize:
    """The mesh transformer; its input width is the backbone's head width plus three coordinates.

    Attributes:
        hidden, output: widths inside and after each block; the last output is the three coordinates.
        ffn: inner width of the feed-forward layers, the same in every block.
        layers: BERT layers per block.
        point_layers: linear-attention layers on the contact points per block.
        heads: attention heads, of both kinds of attention.
        positions: rows of the position embedding (the sequence uses the first 445).
        dropout: probability on hidden values, attention and input embedding.
    """

    hidden: tuple[int, ...]
    output: tuple[int, ...]
    ffn: int
    layers: int
    point_layers: int
    heads: int
    positions: int
    dropout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSize:
    """Widths and depths of the whole network; vertex, joint and part counts are fixed by the topology.

    Attributes:
        root_hrnet, mesh_hrnet: the two trunks; only the second has a head.
        image_features: feature channels that the voxels sample from the root network's map.
        contact: the sparse network.
        transformer: the mesh network.
        max_contacts: how many contact points a sample is padded or cut to.
        voxel_size: side of the sparse network's voxels, metres.
    """

    root_hrnet: HrnetSize
    mesh_hrnet: HrnetSize
    image_features: int
    contact: ContactSize
    transformer: TransformerSize
    max_contacts: int
    voxel_size: float


_HRNET_W64 = HrnetSize(
    stem=64,
    bottleneck_planes=64,
    bottleneck_blocks=4,
    channels=(64, 128, 256, 512),
    modules=(1, 4, 3),
    blocks=4,
    head_planes=(32, 64, 128, 256),
    head_width=2048,
)

PAPER = NetworkSize(
    root_hrnet=_HRNET_W64,
    mesh_hrnet=_HRNET_W64,
    image_features=32,
    contact=ContactSize(stem=32, down=(32, 64, 128, 256), up=(256, 128, 96, 96), dropout=0.3),
    transformer=TransformerSize(
        hidden=(1024, 256, 128),
        output=(512, 128, 3),
        ffn=3072,  # the reference keeps the BERT default in all three blocks
        layers=4,
        point_layers=2,
        heads=4,
        positions=512,
        dropout=0.1,
    ),
    max_contacts=500,
    voxel_size=0.05,
)
"""The published network: names and shapes of the reference's checkpoints."""

_HRNET_DEMO = HrnetSize(
    stem=8,
    bottleneck_planes=4,
    bottleneck_blocks=1,
    channels=(16, 32, 48, 64),
    modules=(1, 1, 1),
    blocks=1,
    head_planes=(4, 8, 16, 32),
    head_width=96,
)

DEMO = NetworkSize(
    root_hrnet=_HRNET_DEMO,
    mesh_hrnet=_HRNET_DEMO,
    image_features=8,
    contact=ContactSize(stem=8, down=(8, 16, 24, 32), up=(32, 16, 8, 8), dropout=0.0),
    transformer=TransformerSize(
        hidden=(64, 48, 32),
        output=(48, 32, 3),
        ffn=128,
        layers=2,
        point_layers=1,
        heads=2,
        positions=512,
        dropout=0.0,
    ),
    max_contacts=100,
    voxel_size=0.1,
)
"""Small enough to train on two CPU cores in minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRegion:
    """Numbers of the region of interest and of the training-time substitutes (method 5 and 8.1), metres.

    Attributes:
        anchor_spacing: gap between the three anchors, along camera z.
        roi_radius: scene points nearer than this to an anchor are kept.
        substitution_distance: a predicted root farther than this from the truth is replaced in training.
        root_noise_std: standard deviation per camera axis added to the true root that replaces the anchor.
        mesh_root_noise_std: the same for the root that the mesh hangs on (stage B).
    """

    anchor_spacing: float = 0.5
    roi_radius: float = 1.25
    substitution_distance: float = 0.5
    root_noise_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    mesh_root_noise_std: tuple[float, float, float] = (0.08, 0.08, 0.08)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Where the reference is odd and one may decide otherwise (method 10).

    Attributes:
        rounding: how voxel coordinates are halved. ``floor`` is shift invariant; ``trunc`` rounds towards
            zero, as the pinned torch of the reference did when its weights were trained.
        vote: weight of a voxel's root vote: softmax of the sigmoid of its confidence, or of the confidence.
        part_position_shift: average the position codes of a part's vertices 14 places too early.
        contact_sampling: how too many contact points are cut to ``max_contacts``.
        size_head: scale the mesh by what the image and the crop's width in metres say; the reference does not.
        region: geometry of the region of interest.
    """

    rounding: Rounding
    vote: Vote
    part_position_shift: bool
    contact_sampling: ContactSampling
    size_head: bool = False
    region: RootRegion = field(default_factory=RootRegion)


REFERENCE = Behaviour(
    rounding="trunc", vote="softmax_sigmoid", part_position_shift=True, contact_sampling="with_replacement"
)
"""What weights trained with the reference code expect."""

OWN = Behaviour(rounding="floor", vote="softmax_logit", part_position_shift=False, contact_sampling="seeded_without")
"""What we train with."""
