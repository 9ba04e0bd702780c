"""An S3 server of which every answer is written down beforehand."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Canned:
    """One answer.

    Attributes:
        status: of HTTP.
        body: what follows the headers.
        headers: of it.
        cut: how many bytes of the body are held back, though announced.
        reset: whether the connection is broken then, not closed.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    reset: bool = False


def break_off(connection: socket.socket) -> None:
    """Reset a connection, rather than end it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def error(status: int, code: str, more: str = "", **headers: str) -> Canned:
    """An error as S3 words it."""
    text = f"<Error><Code>{code}</Code><Message>as it says</Message>{more}</Error>"
    return Canned(status, text.encode(), {k.replace("_", "-"): v for k, v in headers.items()})


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class CannedServer:
    """See above.

    Attributes:
        answers: the next ones; when there is one left, it is given again and again.
        asked: what was asked for.
    """

    def __init__(self) -> None:
        self.answers: deque[Canned] = deque()
        self.asked: list[Asked] = []
        self._lock = threading.Lock()

    @contextmanager
    def running(self) -> Iterator[str]:
        """Its endpoint."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with outer._lock:
                    outer.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                    more = len(outer.answers) > 1
                    canned = outer.answers.popleft() if more else outer.answers[0]
                self.send_response(canned.status)
                for name, value in canned.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(canned.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(canned.body[: len(canned.body) - canned.cut])
                if canned.cut:
                    self.close_connection = True
                if canned.reset:
                    break_off(self.connection)

            do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 -- http.server's names

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
