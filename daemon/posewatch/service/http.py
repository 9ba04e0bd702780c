"""Metrics and health over HTTP, for whoever watches this machine.

Threads: one accepts connections, and each connection has a short-lived one of its own, so that a
slow client, or a check that hangs, delays nobody else; `Limits` bounds how many there are and how
long each may take. `close` stops the accepting thread, cuts the open connections and waits for
their threads. All are daemon threads: should a check hang for ever, the process can end all the
same.

Nothing is asked of callers, which is why it listens on loopback. A web page that somebody opens on
this machine could still reach it by DNS rebinding, so on loopback the `Host` header must name it.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
import socketserver
import threading
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from posewatch.base.clock import SystemClock
from posewatch.base.errors import SettingsError
from posewatch.base.logs import fields
from posewatch.service.pages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

Connection = Any
"""What socketserver hands around: a socket."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_POLL_SECONDS = 0.1  # how long `close` may wait until the accepting thread looks up


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may ask for.

    Attributes:
        connections: open at a time. A Prometheus, a few probes and a person need a handful.
        head_bytes: size of the request line and all headers.
        read_seconds: time that sending the request may take.
        write_seconds: time that receiving the answer may take.
        close_seconds: time that `close` waits for connections after it cut them.
    """

    connections: int = 16
    head_bytes: int = 8192
    read_seconds: float = 5.0
    write_seconds: float = 5.0
    close_seconds: float = 0.5


class HttpServer:
    """Serves `answer` until it is closed.

    Listens from the start, so that `/readyz` can say what is still being prepared.

    Args:
        answer: the page that is asked for (`Pages.answer`); called from several threads.
        host: address or name to listen on.
        port: port to listen on; 0 takes any free one.
        limits: what a client may ask for.

    Raises:
        SettingsError: it cannot listen there.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        host: str = "127.0.0.1",
        port: int = 9477,
        limits: Limits | None = None,
    ) -> None:
        self._server = _Server(answer, host, port, limits or Limits())
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _POLL_SECONDS},
            name="http",
            daemon=True,
        )
        self._thread.start()
        log.info("metrics and health are served", extra=fields(address=self.url))

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it really listens on."""
        host, port, *_ = self._server.socket.getsockname()
        return host, port

    @property
    def url(self) -> str:
        """Its root, for people."""
        host, port = self.address
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def close(self) -> None:
        """Stop listening and end all threads, in less than a second. Safe to call twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(socketserver.TCPServer):
    """Accepts connections, and keeps account of them."""

    allow_reuse_address = True  # restart at once, while old connections are in TIME_WAIT

    def __init__(
        self, answer: Callable[[Request], Answer], host: str, port: int, limits: Limits
    ) -> None:
        self.answer = answer
        self.limits = limits
        self.clock = SystemClock()  # the time of sockets' timeouts, which no test can own
        self._lock = threading.Lock()
        self._open: dict[Connection, threading.Thread] = {}
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self.address_family, _, _, _, address = found[0]
            super().__init__(address[:2], _Handler)  # type: ignore[arg-type]  # both are given
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        own = ipaddress.ip_address(self.socket.getsockname()[0])
        self.names = frozenset({host, "localhost"}) if own.is_loopback else None

    def process_request(self, request: Connection, client_address: object) -> None:
        """Give the connection a thread of its own, or cut it where there are too many."""
        thread = threading.Thread(
            target=self._work, args=(request, client_address), name="http-client", daemon=True
        )
        with self._lock:
            crowded = len(self._open) >= self.limits.connections
            if not crowded:
                self._open[request] = thread
        if crowded:
            log.debug("an HTTP client was refused, since too many are connected")
            self.shutdown_request(request)
        else:
            self._start(request, thread)

    def server_close(self) -> None:
        """Close the listening socket, and end every connection's thread."""
        super().server_close()
        with self._lock:
            connections = dict(self._open)
        for request in connections:
            with contextlib.suppress(OSError):  # it went by itself
                request.shutdown(socket.SHUT_RDWR)
        deadline = self.clock.monotonic() + self.limits.close_seconds
        for thread in connections.values():
            thread.join(max(0.0, deadline - self.clock.monotonic()))

    def _start(self, request: Connection, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # the machine allows no more threads
            log.warning("an HTTP client could not be served: %s", error)
            self._forget(request)

    def _work(self, request: Connection, client_address: object) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError as error:  # mostly a client that went away
            log.debug("an HTTP request was cut off: %s", error)
        except Exception:
            log.exception("an HTTP request could not be answered")
        finally:
            self._forget(request)

    def _forget(self, request: Connection) -> None:
        self.shutdown_request(request)
        with self._lock:
            del self._open[request]


class _Handler(BaseHTTPRequestHandler):
    """One connection: one request, one answer."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "posewatch"
    sys_version = ""

    def handle(self) -> None:
        """Read one request and answer it."""
        self.requestline = self.command = ""
        head = self._read_head()
        if head is None:
            return
        self.raw_requestline, _, headers = head.partition(b"\n")
        self.rfile = BytesIO(headers)
        if self.parse_request():  # else it has answered already, through send_error
            self._send(self._answer())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by the standard library for a request that it cannot parse."""
        self._send(Answer.text(HTTPStatus(code), message or explain or HTTPStatus(code).phrase))

    def version_string(self) -> str:
        """What the `Server` header says: no versions."""
        return self.server_version

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- inherited name
        """Called by the standard library for each request."""
        log.debug("HTTP: %s", format % args)

    def _read_head(self) -> bytes | None:
        """The request line and headers; None if there is none, or they have been refused."""
        limits = self.server.limits
        deadline = self.server.clock.monotonic() + limits.read_seconds
        head = b""
        while b"\r\n\r\n" not in head and b"\n\n" not in head:
            if len(head) >= limits.head_bytes:
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return None
            left = deadline - self.server.clock.monotonic()
            if left <= 0:
                return None
            self.connection.settimeout(left)
            try:
                piece = self.connection.recv(limits.head_bytes - len(head))
            except TimeoutError:
                return None
            if not piece:
                return None
            head += piece
        return head

    def _answer(self) -> Answer:
        if self.command not in {"GET", "HEAD"}:
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are possible.")
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 and self.request_version == "HTTP/1.1":  # RFC 9112, section 3.2
            return Answer.text(HTTPStatus.BAD_REQUEST, "One Host header is needed.")
        if self.server.names is not None and not all(
            is_local(host, self.server.names) for host in hosts
        ):
            return Answer.text(HTTPStatus.MISDIRECTED_REQUEST, "This host is not served here.")
        loopback = self.server.names is not None
        accept = ",".join(self.headers.get_all("Accept") or ["*/*"])
        return self.server.answer(Request(urlsplit(self.path).path, accept, loopback))

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(self.server.limits.write_seconds)
        # Without it, the standard library would answer what it cannot parse without any header.
        self.request_version = self.protocol_version
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Security-Policy", answer.policy)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def is_local(host: str, names: frozenset[str]) -> bool:
    """Whether a `Host` header names this machine's loopback.

    Args:
        host: the header: a name or an address, with or without a port.
        names: the names that are right beside loopback addresses.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in names:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    if isinstance(error, socket.gaierror):
        return SettingsError(
            f"http.host: {host!r} is not an address of this machine ({error.strerror})",
            hint="Set it to 127.0.0.1, or set http.enabled = false",
        )
    if error.errno == errno.EADDRINUSE:
        return SettingsError(
            f"http.port: something else listens on {host} port {port} already",
            hint="Set another port, or 0 for any free one, or http.enabled = false",
        )
    return SettingsError(
        f"cannot listen on http.host {host!r}, http.port {port}: {error.strerror}",
        hint="Set others, or http.enabled = false",
    )
