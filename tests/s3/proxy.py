"""A proxy between daemons and an S3 server that misbehaves as told, and keeps account of it.

Each daemon gets a door of its own, so that every request can be put down to who sent it. What is to
go wrong is decided by a plan, for each request anew; what became of each is counted in the words of
the metric `posewatch_storage_requests_total`.
"""

from __future__ import annotations

import http.client
import sys
import threading
import traceback
import zlib
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from posewatch.base.requests import Answer, Request
from s3.canned import Canned, break_off, error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

STALL = 2.0
"""Seconds that a stalled request waits."""

SERVER_TIMEOUT = 60.0
"""Seconds until the server itself is given up."""

OF_ONE_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "expect", "proxy-connection"}
)
"""Headers that are not passed on."""

CONDITIONS = frozenset({"if-match", "if-none-match"})
"""A store that never gets these ignores them."""


class Fault(StrEnum):
    """What can be done to a request."""

    ERROR = "500 instead of acting"
    ERROR_AFTER = "500 after the server has acted"
    UNAVAILABLE = "503 instead of acting"
    SLOW_DOWN = "503 SlowDown instead of acting"
    RESET = "the connection closed instead of acting"
    LOST = "the connection closed after the server has acted"
    CUT = "half of the body, then the connection closed"
    STALL = "two seconds late"
    TWICE = "sent to the server twice"
    LATE = "sent to the server once more, up to a second later"
    HANG = "no answer after the server has acted, until the caller gives up"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request.

    Attributes:
        door: which it came through.
        method: of HTTP.
        path: with the query, as it was sent.
        headers: of it, names in small letters.
        body: of it.
    """

    door: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """Of the object; empty for a request about the bucket. The bucket is in the path."""
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    @property
    def request(self) -> Request:
        """What it asks for, in the words of the metric."""
        if self.method == "GET" and not self.key:
            return Request.LIST
        return Request(self.method.lower())


@dataclass(frozen=True, slots=True)
class Write:
    """A write that the server has done."""

    key: str
    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


ANSWERS: Mapping[int, Answer] = {
    200: Answer.OK,
    204: Answer.OK,
    206: Answer.OK,
    404: Answer.MISSING,
    409: Answer.FAILED,
    412: Answer.REFUSED,
    416: Answer.REFUSED,
    429: Answer.THROTTLED,
    503: Answer.THROTTLED,
}

INSTEAD: Mapping[Fault | None, Canned] = {
    Fault.ERROR: error(500, "InternalError"),
    Fault.UNAVAILABLE: error(503, "ServiceUnavailable"),
    Fault.SLOW_DOWN: error(503, "SlowDown"),
}


class Chaos:
    """A plan: each request meets a fault with some probability.

    Args:
        seed: with which the same requests in the same order meet the same faults.
        share: how many of 1 are disturbed.
        weights: of the faults among these.
    """

    USUAL: Mapping[Fault, float] = {
        Fault.ERROR: 2,
        Fault.ERROR_AFTER: 2,
        Fault.UNAVAILABLE: 1,
        Fault.SLOW_DOWN: 2,
        Fault.RESET: 2,
        Fault.LOST: 3,
        Fault.CUT: 2,
        Fault.STALL: 1,
        Fault.TWICE: 3,
        Fault.LATE: 2,
    }

    def __init__(
        self, seed: int, share: float, weights: Mapping[Fault, float] | None = None
    ) -> None:
        self._random = Random(seed)
        self._share = share
        self._weights = dict(weights or self.USUAL)
        self._lock = threading.Lock()
        self.done: Counter[Fault] = Counter()

    def __call__(self, _seen: Seen) -> Fault | None:
        with self._lock:
            if self._random.random() >= self._share:
                return None
            fault = self._random.choices(list(self._weights), list(self._weights.values()))[0]
            self.done[fault] += 1
            return fault


def faithful(_seen: Seen) -> Fault | None:
    """A plan by which nothing goes wrong."""
    return None


@dataclass
class Proxy:
    """See above; to be used as a context.

    Attributes:
        server: URL of the server.
        plan: what is to be done with each request; may be replaced at any time.
        strip: names of headers that never arrive, in small letters.
        counts: (door, request, answer): how many the daemon behind the door must have counted.
        writes: what the server has written, in this order.
        failures: what went wrong in the proxy itself: nothing must.
    """

    server: str
    plan: Callable[[Seen], Fault | Canned | None] = faithful
    strip: frozenset[str] = frozenset()
    counts: Counter[tuple[str, Request, Answer]] = field(default_factory=Counter)
    writes: list[Write] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _doors: dict[str, ThreadingHTTPServer] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)
    _local: threading.local = field(default_factory=threading.local)
    _state: threading.Condition = field(default_factory=threading.Condition)
    _inside: int = 0
    _disturbed: int = 0
    _closed: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def door(self, name: str) -> str:
        """The endpoint of one daemon; the same one whenever it is asked for."""
        if name not in self._doors:
            self._doors[name] = self._listen(name)
        return f"http://127.0.0.1:{self._doors[name].server_port}"

    def counted(self, *doors: str) -> Counter[tuple[Request, Answer]]:
        """What came through some doors."""
        found: Counter[tuple[Request, Answer]] = Counter()
        with self._state:
            for (door, request, answer), count in self.counts.items():
                if door in doors:
                    found[request, answer] += count
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody is inside: who asks now waits, uncounted, until this is over.

        Must not be for long, lest the daemons stop waiting. So nothing goes wrong from now on, and
        what goes wrong already is waited for first.
        """
        self.plan = faithful
        with self._state:
            assert self._state.wait_for(lambda: not self._disturbed, SERVER_TIMEOUT)
            self._closed = True
            assert self._state.wait_for(lambda: not self._inside, SERVER_TIMEOUT)
        try:
            yield
        finally:
            with self._state:
                self._closed = False
                self._state.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        with self._state:
            self._closed = False
            self._state.notify_all()
        for door in self._doors.values():
            door.shutdown()
            door.server_close()
        for thread in self._threads:
            thread.join()

    def _listen(self, name: str) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 1 << 16

            def log_message(self, *_arguments: object) -> None:
                pass

            def handle_expect_100(self) -> bool:
                super().handle_expect_100()
                self.wfile.flush()
                return True

            def finish(self) -> None:
                outer._hang_up()
                super().finish()

            def send_error(self, code: int, *_arguments: object) -> None:
                outer.failures.append(f"{code} for {self.requestline!r}")
                self.close_connection = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {header.lower(): value for header, value in self.headers.items()}
                outer._serve(self, Seen(name, self.command, self.path, headers, body))

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815 -- http.server's

        server = _Server(("127.0.0.1", 0), Handler)
        server.failures = self.failures
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self._threads.append(thread)
        return server

    def _serve(self, caller: BaseHTTPRequestHandler, seen: Seen) -> None:
        with self._state:
            self._state.wait_for(lambda: not self._closed)
            fault = self.plan(seen)
            self._inside += 1
            self._disturbed += fault is not None
        try:
            reply, kept = self._act(seen, fault)
            with self._state:
                self.counts[seen.door, seen.request, _answer(reply, kept, seen.request)] += 1
            _send(caller, reply, kept)
        except OSError:  # the caller is gone: nobody has counted this
            caller.close_connection = True
        finally:
            with self._state:
                self._inside -= 1
                self._disturbed -= fault is not None
                self._state.notify_all()

    def _act(self, seen: Seen, fault: Fault | Canned | None) -> tuple[_Reply | None, int]:
        """What to answer, if at all, and how much of the body."""
        if isinstance(fault, Canned):
            return _whole(_canned(fault))
        if fault in INSTEAD:
            return _whole(_canned(INSTEAD[fault]))
        if fault is Fault.RESET:
            return None, 0
        try:
            self._before(seen, fault)
            reply = self._ask(seen)
        except OSError:  # the server is gone
            return None, 0
        return self._after(seen, fault, reply)

    def _before(self, seen: Seen, fault: Fault | None) -> None:
        if fault is Fault.STALL:
            self._over.wait(STALL)
        elif fault is Fault.TWICE:
            self._ask(seen)
        elif fault is Fault.LATE:
            delay = (zlib.crc32(seen.path.encode()) % 1000) / 1000
            late = threading.Timer(delay, self._late, (seen,))
            late.daemon = True
            late.start()

    def _after(self, seen: Seen, fault: Fault | None, reply: _Reply) -> tuple[_Reply | None, int]:
        if fault is Fault.ERROR_AFTER:
            return _whole(_canned(error(500, "InternalError")))
        if fault is Fault.HANG:
            self._over.wait(SERVER_TIMEOUT / 2)
        if fault in {Fault.HANG, Fault.LOST}:
            return None, 0
        if fault is Fault.CUT:
            has_body = reply.body and seen.method != "HEAD"
            return (reply, len(reply.body) // 2) if has_body else (None, 0)
        return _whole(reply)

    def _late(self, seen: Seen) -> None:
        if not self._over.is_set():
            with suppress(OSError):
                self._ask(seen)
        self._hang_up()

    def _hang_up(self) -> None:
        connection: http.client.HTTPConnection | None = getattr(self._local, "server", None)
        if connection is not None:
            connection.close()

    def _ask(self, seen: Seen) -> _Reply:
        """Ask the server; each thread has one connection to it."""
        target = urlsplit(self.server)
        for fresh in (False, True):
            connection: http.client.HTTPConnection | None = getattr(self._local, "server", None)
            if fresh or connection is None:
                assert target.hostname is not None
                connection = http.client.HTTPConnection(
                    target.hostname, target.port, timeout=SERVER_TIMEOUT
                )
                self._local.server = connection
            try:
                connection.putrequest(
                    seen.method, seen.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in seen.headers.items():
                    if name not in OF_ONE_HOP | self.strip:
                        connection.putheader(name, value)
                connection.endheaders(seen.body or None)
                answer = connection.getresponse()
                reply = _Reply(answer.status, tuple(answer.getheaders()), answer.read())
                break
            except (http.client.HTTPException, OSError):
                # A connection that was kept open may have been closed by the server meanwhile.
                connection.close()
                if fresh:
                    raise
        if seen.method == "PUT" and reply.status == 200:
            etag = dict(reply.headers).get("ETag", "").strip('"')
            with self._state:
                self.writes.append(Write(seen.key, seen.body, etag))
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    failures: list[str]

    def handle_error(self, *_arguments: object) -> None:
        """Connections end in all ways when daemons are killed; anything else is the proxy's own."""
        if not isinstance(sys.exception(), OSError):
            self.failures.append(traceback.format_exc())


def _whole(reply: _Reply) -> tuple[_Reply, int]:
    return reply, len(reply.body)


def _canned(canned: Canned) -> _Reply:
    return _Reply(canned.status, tuple(canned.headers.items()), canned.body)


def _send(caller: BaseHTTPRequestHandler, reply: _Reply | None, kept: int) -> None:
    if reply is None:
        caller.close_connection = True
        return
    caller.send_response_only(reply.status)
    length = str(len(reply.body))
    for name, value in reply.headers:
        if name.lower() == "content-length":
            length = value  # that of HEAD tells of a body that does not follow
        elif name.lower() not in OF_ONE_HOP:
            caller.send_header(name, value)
    if reply.status not in {204, 304}:
        caller.send_header("Content-Length", length)
    caller.end_headers()
    if caller.command != "HEAD":
        caller.wfile.write(reply.body[:kept])
    caller.wfile.flush()
    if kept < len(reply.body):
        caller.close_connection = True
        # Of an error that ends early, some versions of botocore make what its status says.
        if reply.status >= 300:
            break_off(caller.connection)


def _answer(reply: _Reply | None, kept: int, request: Request) -> Answer:
    """What a daemon must take an answer for."""
    if reply is None:
        return Answer.LOST
    if kept < len(reply.body) and request is not Request.HEAD:
        return Answer.LOST
    if reply.status == 404 and b"NoSuchBucket" in reply.body:
        return Answer.DENIED
    return ANSWERS.get(reply.status, Answer.FAILED if reply.status >= 500 else Answer.DENIED)
