"""The door to LiteRT: the detector's network, from the file beside this module."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from sahmr.detect.decode import INPUT_PX, Circles, decode
from sahmr.errors import RawDataError
from sahmr.untrusted.regular import read_regular

MODEL = Path(__file__).with_name("pose_detection.tflite")
SHA256 = "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85"  # NOTICE.txt says whence it is
PIP = 'pip install "sahmr-pipeline[detect]"'


class Network:
    """The detector, one thread."""

    def __init__(self) -> None:
        """Load it.

        Raises:
            RawDataError: if the extra is not installed, or the file is missing or damaged.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as problem:
            raise RawDataError(
                f"the person detector needs the extra 'detect' ({problem}); install it: {PIP} (in this folder: pip "
                "install '.[detect]'), or give --box"
            ) from None
        content = read_regular(MODEL)
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise RawDataError(f"{MODEL}: damaged: its SHA-256 is not {SHA256}; fetch it again (git checkout {MODEL})")
        with _quiet():
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        rows, logits = sorted(self._interpreter.get_output_details(), key=lambda found: -found["shape"][-1])
        self._rows, self._logits = rows["index"], logits["index"]

    def look(self, picture: UInt8[ndarray, f"{INPUT_PX} {INPUT_PX} 3"], least_score: float) -> Circles:
        """People in a picture (RGB); circles in shares of its side, from its corner."""
        self._interpreter.set_tensor(self._input, (picture.astype(np.float32) / 127.5 - 1)[None])
        self._interpreter.invoke()
        rows: Float[ndarray, "1 anchors 12"] = self._interpreter.get_tensor(self._rows)
        return decode(rows[0], self._interpreter.get_tensor(self._logits)[0, :, 0], least_score)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what LiteRT's native code says on standard error while it starts."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
