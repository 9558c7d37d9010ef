"""SMPL parameters of several bodies to an npz file that ``smplx`` poses again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from sahmr.body.fit import SmplFit, SmplParams
from sahmr.body.posed import SmplTables
from sahmr.export.bodies import Frame
from sahmr.npz import save_npz


def write_smpl(path: Path, tables: SmplTables, keys: Sequence[str], fits: Sequence[SmplFit], frame: Frame) -> None:
    """Write the parameters under the names ``smplx.SMPL`` takes them by; equal input gives equal bytes.

    Arrays, a row for each body: ``betas`` [n, 10], ``global_orient`` [n, 3], ``body_pose`` [n, 69], ``transl`` [n, 3]:
    axis-angles, radians, metres. Beside them ``root_joint`` [n, 3], where the root joint is (``transl`` is not there),
    ``residual_mm`` [n], ``keys`` [n], and the texts ``model_type``, ``gender`` and ``frame``.

    Args:
        path: of the file.
        tables: of the model that was fitted.
        keys: one ``img_key`` per body.
        fits: of all bodies, in this order, however many to each.
        frame: of the parameters.
    """
    names = [field.name for field in fields(SmplParams)]
    params = {name: torch.cat([getattr(fit.params, name) for fit in fits]) for name in names}
    root = tables.joints[0] + params["betas"] @ tables.joint_shape_dirs[0].T + params["transl"]
    arrays = {name: value.numpy() for name, value in {**params, "root_joint": root}.items()}
    texts = {"model_type": "smpl", "gender": "neutral", "frame": frame}
    content = {
        **arrays,
        "residual_mm": torch.cat([fit.residual_mm for fit in fits]).numpy(),
        "keys": np.asarray(keys),
        **{name: np.asarray(text) for name, text in texts.items()},
    }
    save_npz(path, content)
