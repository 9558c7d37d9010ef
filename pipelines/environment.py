"""Numeric libraries as every conversion process must load them, so that bytes do not depend on the machine.

Importing this module sets the variables; it has to happen before numpy loads. ``dask worker --preload-nanny
pipelines.environment`` does so in a cluster: Dask itself loads numpy, but a nanny hands its variables to its worker.
"""

from __future__ import annotations

import os
import platform
import sys

# One thread, and kernels every x86-64 processor of the last ten years has: others add in another order.
PINNED = {"OPENBLAS_NUM_THREADS": "1"}
if platform.machine() in ("x86_64", "AMD64"):
    PINNED |= {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL"}

_was_late = "numpy" in sys.modules and any(os.environ.get(name) != value for name, value in PINNED.items())
os.environ.update(PINNED)
# Read when torch loads. OpenMP threads that spin while they wait for work slow a training down many times over as soon
# as anything else (a loader process, say) wants the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def is_pinned() -> bool:
    """Whether the variables stood when numpy was loaded in this process."""
    return not _was_late
