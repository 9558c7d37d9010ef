"""Tool: turn a checkpoint of the authors of SA-HMR or METRO into our format, every entry accounted for.

The names inside say which file it is (``sahmr_rich_e30.pth``, ``sahmr_prox_e30.pth``, ``metro_3dpw_state_dict.bin``).
No code in the file is run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.stage import log, stage
from sahmr.errors import CheckpointError
from sahmr.files import file_sha256
from sahmr.network.checkpoint_keys import group_keys
from sahmr.training.checkpoint import (
    METRO,
    RELEASED,
    Checkpoint,
    behaviour_values,
    read_checkpoint,
    save_checkpoint,
)
from sahmr.training.restore import require_whole


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write the converted checkpoint; an existing file is never replaced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="file of the authors")
    parser.add_argument("--output", type=Path, required=True, help="file to write, e.g. data/models/released_rich.pt")
    arguments = parser.parse_args(argv)
    source, output = arguments.source, arguments.output
    if output.exists() or output.is_symlink():
        raise CheckpointError(f"{output}: exists already and is not replaced; remove it, or name another --output")
    made = convert(source)
    save_checkpoint(output, made)
    taken, left = len(made.network), len(made.dropped)
    names = ", ".join(group_keys(made.dropped, [*made.network, *made.dropped]))
    log.info(
        "%s: %d entries, %d taken, %d left out, as nothing reads them: %s", source, taken + left, taken, left, names
    )
    behaviour = ", ".join(f"{name} {value}" for name, value in behaviour_values(made.behaviour).items())
    log.info("%s: %s, epoch %d, size %s; %s", output, made.stage, made.epoch, made.size, behaviour)


def convert(source: Path) -> Checkpoint:
    """Read and check a file of the authors.

    Raises:
        CheckpointError: if it cannot be read, is damaged, is converted already, or any entry is missing, unknown,
            misshapen or not finite.
    """
    read = read_checkpoint(source)
    if read.stage not in (RELEASED, METRO) or read.source_sha256:
        raise CheckpointError(f"{source}: is a checkpoint of ours already (stage {read.stage}); use it as it is")
    return replace(require_whole(read, source=str(source)), source_sha256=file_sha256(source))


if __name__ == "__main__":
    main()
