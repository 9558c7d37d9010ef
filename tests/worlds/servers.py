"""Real servers of a folder, in this process: HTTP with ranges, SFTP, S3. Each counts what it is asked for."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipelines.catalog import whole_manifest
from sahmr.files import publish_text, write_manifest
from tests.worlds import small

_PIECE = 1 << 16  # bytes


@dataclass
class Served:
    """A folder behind an address.

    Attributes:
        url: of the folder.
        options: what ``open_dataset`` takes besides.
        requests: path and bytes sent, in order (HTTP).
        refuse: paths whose requests are answered with a status (HTTP).
        cut: paths of whose content only so many bytes are sent, after which the connection ends (HTTP).
        ranges: whether parts of a file are served (HTTP).
        pause: paths before whose answer so many seconds pass (HTTP).
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, int]] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    pause: dict[str, float] = field(default_factory=dict)

    def sent(self, start: str = "/") -> int:
        return sum(count for path, count in self.requests if path.startswith(start))


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path
        if code := self.served.refuse.get(path):
            self.send_error(code)
            return
        file = Path(self.translate_path(path))
        if not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        total = len(data)
        time.sleep(self.served.pause.get(path, 0))
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found and self.served.ranges:
            start, end = int(found[1]), int(found[2] or total - 1)
            data = data[start : end + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        end = self.served.cut.get(path, len(data))
        at = 0
        try:
            while at < end:  # what a client hangs up on is not counted
                self.wfile.write(data[at : min(at + _PIECE, end)])
                at = min(at + _PIECE, end)
        except OSError:
            pass
        self.served.requests.append((path, at))
        self.close_connection = at < len(data)


def publish(world: Path, folder: Path) -> None:
    """Files of ``small.write_world`` as the catalog stage publishes them."""
    for part in ("frames", "scenes", "shards"):
        shutil.copytree(world / part, folder / part)
    publish_again(folder)


def publish_again(folder: Path) -> None:
    """Manifests of a published folder whose files were changed."""
    tables = ["rich.parquet", "rich_scenes.parquet"]
    write_manifest(folder / "frames/rich.manifest.json", tables, stage="frames", dataset="rich")
    write_manifest(folder / "scenes/rich.manifest.json", ["rich.zarr"], stage="scenes", dataset="rich")
    write_manifest(folder / "shards/rich/manifest.json", stage="shards", dataset="rich")
    publish_text(folder / "catalog/rich.manifest.json", whole_manifest("rich", small.paths_of(folder)))


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        """Connections that clients keep for later would still be served."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error."""


@contextmanager
def http(folder: Path, port: int = 0) -> Iterator[Served]:
    """A static server with ranges, as Apache or nginx are; ``port`` 0: any."""
    served = Served("")
    kind = type("Handler", (_Handler,), {"served": served})
    server = _Quiet(("127.0.0.1", port), lambda *args: kind(*args, directory=str(folder)))
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        thread.join()


@contextmanager
def sftp(folder: Path, home: Path) -> Iterator[Served]:
    """An SSH server on this machine that serves files and lets in one key, made for it."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    home.mkdir(parents=True, exist_ok=True)
    key.write_private_key(home / "key")
    key.write_public_key(home / "key.pub")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(task: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(task, loop).result(20)

    connections: list[Any] = []

    class Server(asyncssh.SSHServer):
        def connection_made(self, connection: Any) -> None:
            connections.append(connection)

    async def stop() -> None:
        server.close()
        for connection in connections:
            connection.abort()
        await server.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def listen() -> Any:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Server, server_host_keys=[key], authorized_client_keys=str(home / "key.pub"),
            sftp_factory=lambda connection: asyncssh.SFTPServer(connection, chroot=str(folder).encode()),
        )  # fmt: skip

    server = wait(listen())
    options = {"username": "team", "client_keys": [str(home / "key")], "known_hosts": None, "config": None}
    try:
        yield Served(f"ssh://127.0.0.1:{server.get_port()}", options)
    finally:
        wait(stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def s3(folder: Path) -> Iterator[Served]:
    """A bucket with the folder's files."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {"key": "team", "secret": "none"}
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="team", aws_secret_access_key="none"
    )
    client.create_bucket(Bucket="team")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.put_object(Bucket="team", Key=f"data/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())
    try:
        yield Served("s3://team/data", {**access, "endpoint_url": endpoint})
    finally:
        client.close()
        server.stop()
