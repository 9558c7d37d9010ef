"""The two kinds of attention of the mesh network: BERT layers for tokens, linear attention for contact points."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

_BERT_EPS = 1e-12  # layer-norm epsilon of BERT
_LINEAR_EPS = 1e-6  # keeps the linear attention's denominator off zero


def _split_heads(x: Tensor, heads: int) -> Tensor:
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


class _Dense(nn.Module):
    """Linear, dropout, residual, layer norm: the end of both halves of a BERT layer."""

    def __init__(self, width_in: int, width_out: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, width_out)
        self.LayerNorm = nn.LayerNorm(width_out, eps=_BERT_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        result: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + skip)
        return result


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.heads, self.dropout = heads, dropout

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (_split_heads(layer(x), self.heads) for layer in (self.query, self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return mixed.transpose(1, 2).flatten(2)


class _Intermediate(nn.Module):
    def __init__(self, width: int, ffn: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, ffn)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class BertLayer(nn.Module):
    """Post-norm transformer layer with the parameter names of BERT.

    Args:
        width: of the tokens.
        heads: attention heads; must divide ``width``.
        ffn: inner width of the feed-forward half.
        dropout: probability on attention weights and on both halves' outputs.
    """

    def __init__(self, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": _SelfAttention(width, heads, dropout), "output": _Dense(width, width, dropout)}
        )
        self.intermediate = _Intermediate(width, ffn)
        self.output = _Dense(ffn, width, dropout)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Apply the layer."""
        x = self.attention["output"](self.attention["self"](x), x)
        result: Tensor = self.output(self.intermediate(x), x)
        return result


def linear_attention(
    query: Float[Tensor, "batch heads targets width"],
    key: Float[Tensor, "batch heads sources width"],
    value: Float[Tensor, "batch heads sources width"],
    mask: Bool[Tensor, "batch sources"],
) -> Float[Tensor, "batch heads targets width"]:
    """Attend with the kernel ``elu(x) + 1`` instead of softmax: linear in the number of tokens.

    Masked sources count nothing; if all are masked the result is zero.
    """
    # Katharopoulos et al., Transformers are RNNs, ICML 2020: phi(Q) (phi(K)^T V) / (phi(Q) sum phi(K)).
    query, key = F.elu(query) + 1, F.elu(key) + 1
    keep = mask[:, None, :, None].to(key.dtype)  # [batch, 1, sources, 1]
    key = key * keep
    scale = key.shape[2]  # the reference divides the values by it and multiplies back, against overflow
    summary = key.transpose(2, 3) @ (value * keep / scale)  # [batch, heads, width, width]
    weight = 1 / ((query * key.sum(dim=2, keepdim=True)).sum(dim=3, keepdim=True) + _LINEAR_EPS)
    return query @ summary * weight * scale


class LinearAttentionLayer(nn.Module):
    """Linear attention and a two-layer MLP on (token, message); the caller adds the result to the token.

    Args:
        width: of the tokens.
        heads: attention heads; must divide ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.merge = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(2 * width, 2 * width, bias=False), nn.ReLU(), nn.Linear(2 * width, width, bias=False)
        )
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(
        self,
        x: Float[Tensor, "batch targets width"],
        source: Float[Tensor, "batch sources width"],
        mask: Bool[Tensor, "batch sources"],
    ) -> Float[Tensor, "batch targets width"]:
        """Give each target token its message from the unmasked source tokens."""
        query = _split_heads(self.q_proj(x), self.heads)  # [batch, heads, targets, width / heads]
        key = _split_heads(self.k_proj(source), self.heads)
        value = _split_heads(self.v_proj(source), self.heads)
        message = self.norm1(self.merge(linear_attention(query, key, value, mask).transpose(1, 2).flatten(2)))
        result: Tensor = self.norm2(self.mlp(torch.cat([x, message], dim=2)))
        return result
