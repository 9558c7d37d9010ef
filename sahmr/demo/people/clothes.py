"""Colors of skin, hair and clothes per SMPL-X vertex."""

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.bodies.mesh import REGIONS, region_labels

Array = NDArray[np.float64]

_SKIN = ((0.72, 0.45, 0.33), (0.80, 0.55, 0.42), (0.40, 0.23, 0.14), (0.25, 0.14, 0.08), (0.58, 0.36, 0.23))
_HAIR = ((0.03, 0.025, 0.02), (0.12, 0.06, 0.03), (0.40, 0.26, 0.12), (0.22, 0.20, 0.19))


def dress(rest: Array, rng: np.random.Generator) -> Array:
    """Linear RGB [10475, 3] of one person's outfit.

    Args:
        rest: neutral T-pose vertices [10475, 3], body frame.
        rng: decides on skin, hair and clothes.
    """
    label = region_labels(rest)
    x, y = np.abs(rest[:, 0]), rest[:, 1]
    skin = _SKIN[rng.integers(len(_SKIN))]
    shirt = _cloth(rng, skin)
    trousers = _cloth(rng, skin, shirt)
    shoes = (0.7, 0.7, 0.7) if rng.random() < 0.4 else (0.05, 0.05, 0.06)
    table = dict.fromkeys(REGIONS, np.array(skin))
    table |= {"hair": np.array(_HAIR[rng.integers(len(_HAIR))]), "shirt": shirt, "trousers": trousers}
    table |= {"shoes": np.array(shoes), "eyes": np.array((0.06, 0.05, 0.05)), "lips": np.array(skin) * (0.9, 0.6, 0.6)}
    color = np.stack([table[name] for name in REGIONS])[label]
    arms = (x > 0.2) & (y > 0.1)
    if rng.random() < 0.45:
        color[arms & (x < 0.68)] = shirt  # long sleeves
    if rng.random() < 0.3:
        color[(label == REGIONS.index("trousers")) & (y < -0.62)] = skin  # shorts
    if rng.random() < 0.35:
        color[(label == REGIONS.index("shirt")) & (np.mod(y, 0.09) < 0.04)] = _cloth(rng, skin)  # stripes
    return np.asarray(color)


def _cloth(rng: np.random.Generator, *others: Sequence[float] | Array) -> Array:
    """A color that differs from the others."""
    while True:
        hue, saturation, value = rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.06, 0.7)
        color = np.array(colorsys.hsv_to_rgb(hue, saturation, value))
        if all(np.abs(color - np.array(other)).max() > 0.18 for other in others):
            return color
