"""Real servers of a folder, in this process: HTTP with ranges, SFTP, S3. Each counts what it is asked for."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


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
    """

    url: str
    options: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, int]] = field(default_factory=list)
    refuse: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True

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
        data_sent = data[: self.served.cut.get(path, len(data))]
        self.served.requests.append((path, len(data_sent)))
        self.wfile.write(data_sent)
        if len(data_sent) < len(data):
            self.close_connection = True


@contextmanager
def http(folder: Path) -> Iterator[Served]:
    """A static server with ranges, as Apache or nginx are."""
    served = Served("")
    kind = type("Handler", (_Handler,), {"served": served})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: kind(*args, directory=str(folder)))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
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

    server = wait(
        asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[key], authorized_client_keys=str(home / "key.pub"),
            sftp_factory=lambda connection: asyncssh.SFTPServer(connection, chroot=str(folder).encode()),
        )
    )  # fmt: skip
    options = {"username": "team", "client_keys": [str(home / "key")], "known_hosts": None, "config": None}
    try:
        yield Served(f"ssh://127.0.0.1:{server.get_port()}", options)
    finally:
        server.close()
        wait(server.wait_closed())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def s3(folder: Path) -> Iterator[Served]:
    """A bucket with the folder's files."""
    import boto3
    from moto.server import ThreadedMotoServer

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
