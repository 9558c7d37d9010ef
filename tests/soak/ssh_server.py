"""A loopback SSH server for tests: ``python -m tests.soak.ssh_server FOLDER`` makes keys there and prints its port.

It lets in whoever holds ``FOLDER/user`` and runs commands in a shell, as this user, in the root folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh


async def _pump(source: asyncio.StreamReader | None, target: Any) -> None:
    assert source is not None
    while chunk := await source.read(1 << 14):
        with suppress(BrokenPipeError):  # the client is gone; the command shall not notice
            target.write(chunk.decode(errors="replace"))


async def _serve(process: Any) -> None:
    """Run one command until it ends or the client goes; then nothing of it is left."""
    child = await asyncio.create_subprocess_shell(
        process.command, cwd="/", start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    done = asyncio.gather(_pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr), child.wait())
    gone = asyncio.ensure_future(process.wait_closed())
    await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await done
    with suppress(OSError):
        process.exit(child.returncode or 0)


async def _main(folder: Path) -> None:
    for name in ("host", "user"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(folder / name))
        (folder / f"{name}.pub").write_bytes(key.export_public_key())
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[str(folder / "host")], authorized_client_keys=str(folder / "user.pub"),
        process_factory=_serve,
    )  # fmt: skip
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
