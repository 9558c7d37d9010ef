"""The mesh network: METRO with contact points that talk to the vertex tokens (method 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sahmr.dimensions import CROP_SIZE, NUM_COARSE, NUM_JOINTS, NUM_MIDDLE, NUM_PARTS, NUM_VERTICES
from sahmr.network.attention import BertLayer, LinearAttentionLayer
from sahmr.network.hrnet import Hrnet, normalize_image
from sahmr.network.precision import float32_region, precisely
from sahmr.network.size import Behaviour, NetworkSize, TransformerSize
from sahmr.structures import BodyTopology, ContactPoints, MeshPrediction

_NUM_TOKENS = NUM_JOINTS + NUM_COARSE
_NUM_CELLS = (CROP_SIZE // 32) ** 2  # of the backbone's last map
_INIT_STD = 0.02  # of linear and embedding weights
_CROP_M = (0.2, 20.0)  # widths that the size head believes


def part_mean_matrix(part: Int[Tensor, " vertices"]) -> Float[Tensor, "8 vertices"]:
    """Matrix that averages vertex tokens per part; row 0 and rows of parts without a vertex are zero."""
    member = F.one_hot(part.long(), NUM_PARTS).t().float()  # [8, vertices]
    member[0] = 0
    return member / member.sum(dim=1, keepdim=True).clamp(min=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedRows:
    """Rows ``(xyz, weight @ cells)`` that are never written out: linear layers run on the few cells instead.

    Attributes:
        xyz: what each row starts with.
        weight: of each cell in each row.
        cells: image features.
    """

    xyz: Float[Tensor, "*batch rows 3"]
    weight: Float[Tensor, "*batch rows cells"]
    cells: Float[Tensor, "batch cells width"]

    def through(self, layer: nn.Linear) -> Float[Tensor, "batch rows width_out"]:
        """Apply a linear layer to every row."""
        # Exchanged sums: layer(weight @ cells) = weight @ layer(cells), 50 cells instead of 445 or up to 500 rows.
        of_xyz, of_cells = torch.split(layer.weight, [3, layer.in_features - 3], dim=1)
        return F.linear(self.xyz, of_xyz, layer.bias) + self.weight @ F.linear(self.cells, of_cells)


def _through(layer: nn.Linear, rows: Tensor | MixedRows) -> Tensor:
    if isinstance(rows, MixedRows):
        return rows.through(layer)
    result: Tensor = layer(rows)
    return result


class _Encoder(nn.Module):
    """The layers of one block, under the reference's names."""

    def __init__(self, width: int, size: TransformerSize) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(width, size.heads, size.ffn, size.dropout) for _ in range(size.layers))
        self.linear_cp = nn.ModuleList(LinearAttentionLayer(width, size.heads) for _ in range(size.point_layers))
        self.loftr_layer = LinearAttentionLayer(width, size.heads)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, tokens: Tensor, points: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layer:
            tokens = layer(tokens)
        for layer in self.linear_cp:
            points = points + layer(points, points, mask)
        return tokens + self.dropout(self.loftr_layer(tokens, points, mask)), points


class _Bert(nn.Module):
    """Input embedding, position codes and layers of one block."""

    def __init__(self, width_in: int, width: int, size: TransformerSize, *, shift_parts: bool) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(size.positions, width)
        self.img_embedding = nn.Linear(width_in, width)
        self.encoder = _Encoder(width, size)
        self.dropout = nn.Dropout(size.dropout)
        self.first_vertex = 0 if shift_parts else NUM_JOINTS

    def forward(
        self, tokens: Tensor | MixedRows, points: Tensor | MixedRows, part: Tensor, mask: Tensor, part_mean: Tensor
    ) -> tuple[Tensor, Tensor]:
        codes = self.position_embeddings.weight[:_NUM_TOKENS]
        part_codes = part_mean @ codes[self.first_vertex : self.first_vertex + NUM_COARSE]  # [8, width]
        tokens = self.dropout(_through(self.img_embedding, tokens) + codes)
        points = self.dropout(_through(self.img_embedding, points) + F.embedding(part, part_codes))
        hidden: tuple[Tensor, Tensor] = self.encoder(tokens, points, mask)
        return hidden


class TransformerBlock(nn.Module):
    """One of the three blocks; embedding, output and residual layers are shared by tokens and points."""

    def __init__(self, width_in: int, width: int, width_out: int, size: TransformerSize, *, shift_parts: bool) -> None:
        super().__init__()
        self.bert = _Bert(width_in, width, size, shift_parts=shift_parts)
        self.cls_head = nn.Linear(width, width_out)
        self.residual = nn.Linear(width_in, width_out)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens width_in"] | MixedRows,
        points: Float[Tensor, "batch contacts width_in"] | MixedRows,
        part: Int[Tensor, "batch contacts"],
        mask: Bool[Tensor, "batch contacts"],
        part_mean: Float[Tensor, "8 431"],
    ) -> tuple[Float[Tensor, "batch tokens width_out"], Float[Tensor, "batch contacts width_out"]]:
        """Transform tokens and points; only unmasked points are listened to."""
        hidden_tokens, hidden_points = self.bert(tokens, points, part, mask, part_mean)
        with float32_region(part.device):
            new_tokens = precisely(self.cls_head, hidden_tokens) + _through(self.residual, tokens)
            new_points = precisely(self.cls_head, hidden_points) + _through(self.residual, points)
        return new_tokens, new_points


class SizeHead(nn.Module):
    """A factor for the whole mesh; 1 before any training.

    A crop is scaled to the person in it: of small and near or tall and far the pixels say nothing. How many metres wide
    it is where the root is, next to how much of it the person fills, does.

    Args:
        width: of the backbone's last map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width + 1, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(
        self, cells: Float[Tensor, "batch cells width"], crop_m: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """The factor, from the map's mean and the crop's width at the root, metres."""
        known = torch.cat([cells.mean(dim=1), crop_m.clamp(*_CROP_M).log()[:, None]], dim=1)
        factor: Tensor = self.linear(known)[:, 0].exp()
        return factor


class MeshNet(nn.Module):
    """Image and contact points in, SMPL-topology mesh out.

    Args:
        size: widths and depths.
        behaviour: of which it reads ``part_position_shift`` and ``size_head``.
        topology: template and part ids, held as buffers that are not saved.
    """

    template: Tensor
    part_mean: Tensor

    def __init__(self, size: NetworkSize, behaviour: Behaviour, topology: BodyTopology) -> None:
        super().__init__()
        transformer = size.transformer
        widths_in = (size.mesh_hrnet.head_width + 3, *transformer.output[:-1])
        # METRO: Lin et al., End-to-End Human Pose and Mesh Reconstruction with Transformers, CVPR 2021, plus points.
        shift = behaviour.part_position_shift
        blocks: Sequence[nn.Module] = [
            TransformerBlock(*widths, transformer, shift_parts=shift)
            for widths in zip(widths_in, transformer.hidden, transformer.output, strict=True)
        ]
        self.trans_encoder = nn.ModuleList(blocks)
        self.upsampling = nn.Linear(NUM_COARSE, NUM_MIDDLE)
        self.upsampling2 = nn.Linear(NUM_MIDDLE, NUM_VERTICES)
        self.conv_learn_tokens = nn.Conv1d(_NUM_CELLS, _NUM_TOKENS, 1)
        self.trans_encoder.apply(_initialize)
        self.backbone = Hrnet(size.mesh_hrnet, with_head=True)
        self.size_head = SizeHead(size.mesh_hrnet.head_width) if behaviour.size_head else None
        template = torch.cat([topology.template_joints, topology.template_coarse]).float()
        self.register_buffer("template", template, persistent=False)
        self.register_buffer("part_mean", part_mean_matrix(topology.part_coarse), persistent=False)
        self._folded: nn.Linear | None = None

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        root: Float[Tensor, "batch 3"],
        contacts: ContactPoints,
        crop_m: Float[Tensor, " batch"] | None = None,
    ) -> MeshPrediction:
        """Predict the mesh round a root.

        Args:
            image: RGB in 0..1, not normalised.
            root: camera frame, metres.
            contacts: contact points, camera frame; a sample may have none.
            crop_m: width of the crop at the root, metres; read by the size head alone.
        """
        # Padding becomes -root as in the reference; the mask keeps it from having any effect.
        contacts_anchor = contacts.xyz_camera - root[:, None]  # [batch, contacts, 3]
        vertices, points, _ = self.reconstruct(
            normalize_image(image), contacts_anchor, contacts.part.long(), contacts.mask, crop_m
        )
        return MeshPrediction(
            root=root,
            vertices_anchor=vertices,
            vertices_camera=vertices + root[:, None],
            contacts_anchor=points,
            contacts_input_anchor=contacts_anchor,
            contacts_mask=contacts.mask,
        )

    def reconstruct(
        self,
        image: Float[Tensor, "batch 3 height width"],
        contacts_anchor: Float[Tensor, "batch contacts 3"],
        part: Int[Tensor, "batch contacts"],
        mask: Bool[Tensor, "batch contacts"],
        crop_m: Float[Tensor, " batch"] | None = None,
    ) -> tuple[
        Float[Tensor, "batch 6890 3"], Float[Tensor, "batch contacts 3"], list[Float[Tensor, "batch 445 _width"]]
    ]:
        """Run backbone, transformer and up-sampling on a *normalised* image.

        Returns:
            Vertices and contact points, origin at the root, metres; and the tokens after each block (joints first).
        """
        outputs: list[Tensor] = []
        cells = self.backbone(image).flatten(2).transpose(1, 2)  # [batch, 49, head_width]
        with float32_region(cells.device):
            cells = cells.to(self.template.dtype)
            rows = self._embed(cells, contacts_anchor, part)
        first, *others = self.trans_encoder
        tokens, points = first(*rows, part, mask, self.part_mean)
        outputs.append(tokens)
        for block in others:
            tokens, points = block(tokens, points, part, mask, self.part_mean)
            outputs.append(tokens)
        # In one piece: else torch multiplies sample by sample, and reads the whole matrix for each.
        coarse = tokens[:, NUM_JOINTS:].transpose(1, 2).contiguous()  # [batch, 3, 431]
        if self._folded is None:
            vertices = precisely(self.upsampling2, precisely(self.upsampling, coarse))
        else:
            vertices = precisely(self._folded, coarse)
        if self.size_head is not None:
            assert crop_m is not None
            with float32_region(cells.device):
                vertices = vertices * self.size_head(cells, crop_m)[:, None, None]
        return vertices.transpose(1, 2), points, outputs

    def fold_upsampling(self) -> None:
        """Run the two up-sampling layers as one, a quarter of the products, from now on: for weights that stay."""
        first, second = self.upsampling, self.upsampling2
        folded = nn.Linear(NUM_COARSE, NUM_VERTICES, device=first.weight.device).requires_grad_(requires_grad=False)
        with torch.no_grad():
            folded.weight.copy_(second.weight @ first.weight)
            folded.bias.copy_(second(first.bias))
        object.__setattr__(self, "_folded", folded)  # no part of the module: neither trained nor saved

    def _embed(self, cells: Tensor, contacts_anchor: Tensor, part: Tensor) -> tuple[MixedRows, MixedRows]:
        """Tokens: a template position and a mixture of the map's cells; points: a position and their part's mean token.

        ``conv_learn_tokens`` does the mixing; its bias is the weight of one more cell, of ones.
        """
        mixer = self.conv_learn_tokens
        assert mixer.bias is not None
        cells = torch.cat([cells, cells.new_ones(len(cells), 1, cells.shape[2])], dim=1)  # [batch, 50, width]
        weight = torch.cat([mixer.weight[:, :, 0], mixer.bias[:, None]], dim=1)  # [445, 50]
        part_weight = self.part_mean @ weight[NUM_JOINTS:]  # [8, 50]
        tokens = MixedRows(xyz=self.template, weight=weight, cells=cells)
        return tokens, MixedRows(xyz=contacts_anchor, weight=F.embedding(part, part_weight), cells=cells)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=_INIT_STD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
