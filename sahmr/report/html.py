"""What every page that stands alone needs: templates that escape, and pictures inside the text."""

from __future__ import annotations

import base64
import io

import jinja2
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image


def templates_of(*packages: str) -> jinja2.Environment:
    """Templates in the folders ``templates`` of packages, the first that has a name; what they fill in is escaped."""
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip


def picture_uri(picture: UInt8[ndarray, "height width 3"], quality: int) -> str:
    """A picture as the address of itself: a JPEG without reduced colors."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="JPEG", quality=quality, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
