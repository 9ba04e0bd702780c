"""Where this machine gets Python packages from, and one pinned file from there.

The machine's own settings are followed as pip reads them, so that a mirror, a proxy or a private
certificate that works for pip works here too. Only the standard library is used: this runs on a
bare Debian or Ubuntu, before there is a pip.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PYPI = "https://pypi.org/simple"
TIMEOUT_S = 60.0
# No page or wheel that is asked for here comes near to it; what is longer is not ours.
MAX_BYTES = 64 * 1024 * 1024


class BootstrapError(Exception):
    """Something that the reader has to mend; the message says what and how."""


class FetchError(Exception):
    """One address did not give what was asked of it."""


@dataclass(frozen=True)
class Wheel:
    """A file on the package index.

    Attributes:
        project: its name on the index, normalised as in PEP 503.
        filename: the exact file.
        sha256: the digest that makes it trusted, wherever it came from; lower-case hex.
    """

    project: str
    filename: str
    sha256: str


@dataclass(frozen=True)
class Sources:
    """What pip's settings say about where packages come from.

    Attributes:
        indexes: addresses of simple indexes (PEP 503), the preferred one first.
        folders: local folders with wheels (`find-links`).
        cert: a file of certificates to trust instead of the system's.
        proxy: a proxy of pip's own; else the usual environment variables hold.
    """

    indexes: tuple[str, ...]
    folders: tuple[Path, ...] = ()
    cert: str | None = None
    proxy: str | None = None


def pip_config_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """List the files that pip would read, in its order: later ones win.

    See https://pip.pypa.io/en/stable/topics/configuration/. The one inside a virtual environment
    is left out: there is no environment yet.
    """
    override = environ.get("PIP_CONFIG_FILE", "")
    if override == os.devnull:
        return []
    shared = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    own = environ.get("XDG_CONFIG_HOME") or str(home / ".config")
    files = [Path(folder, "pip", "pip.conf") for folder in shared.split(os.pathsep)]
    files += [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", Path(own, "pip", "pip.conf")]
    if override:
        files.append(Path(override))
    return files


def read_sources(environ: Mapping[str, str], files: Sequence[Path]) -> Sources:
    """Merge pip's files and environment variables into one answer.

    Args:
        environ: the environment.
        files: what `pip_config_files` named; those that are missing or unreadable are passed over.

    Raises:
        BootstrapError: a file is no pip configuration.
    """
    parsers = [_parse(file) for file in files if file.is_file()]
    found: dict[str, str] = {}
    for section in ("global", "install"):  # pip lets the command's section win over all files
        for parser in parsers:
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value for key, value in parser[section].items()}
    for key in ("index-url", "extra-index-url", "find-links", "no-index", "cert", "proxy"):
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            found[key] = value
    indexes: list[str] = []
    if found.get("no-index", "").lower() not in {"1", "true", "yes", "on"}:
        indexes += [found.get("index-url") or PYPI, *found.get("extra-index-url", "").split()]
    # pip hands these two on to requests, which has them from its own variables otherwise.
    cert = found.get("cert") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    return Sources(
        indexes=tuple(indexes),
        folders=tuple(
            Path(link.removeprefix("file://")).expanduser()
            for link in found.get("find-links", "").split()
            if "://" not in link or link.startswith("file://")
        ),
        cert=cert,
        proxy=found.get("proxy"),
    )


def _parse(file: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"), source=str(file))
    except OSError:
        return configparser.RawConfigParser()
    except (UnicodeDecodeError, configparser.Error) as error:
        raise BootstrapError(f"{file} is not a pip configuration file: {error}") from error
    return parser


class _Links(HTMLParser):
    """Collects the addresses that a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for key, value in attrs if tag == "a" and key == "href" and value]


def find_link(page: str, base: str, filename: str) -> str | None:
    """Give the address of a file that an index page links to.

    Args:
        page: the HTML.
        base: the page's own address, for relative links.
        filename: the file's exact name.
    """
    links = _Links()
    links.feed(page)
    for href in links.found:
        url = urllib.parse.urldefrag(urllib.parse.urljoin(base, href)).url
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        if name == filename:
            return url
    return None


def split_credentials(url: str) -> tuple[str, str | None]:
    """Take `user:password@` out of an address, as the header that carries it.

    urllib does not understand them in the address.
    """
    parts = urllib.parse.urlsplit(url)
    credentials, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    token = base64.b64encode(urllib.parse.unquote(credentials).encode()).decode()
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), f"Basic {token}"


def _read(
    url: str, sources: Sources, authorization: str | None, context: ssl.SSLContext
) -> tuple[bytes, str]:
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    if sources.proxy:
        handlers.append(
            urllib.request.ProxyHandler({"http": sources.proxy, "https": sources.proxy})
        )
    request = urllib.request.Request(url, headers={"User-Agent": "posewatch-bootstrap"})  # noqa: S310 -- the index that the machine's owner chose; a file:// one is a local mirror
    if authorization:
        # Not sent on to another host that the server may redirect to.
        request.add_unredirected_header("Authorization", authorization)
    with urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_S) as response:
        content: bytes = response.read(MAX_BYTES)
        return content, response.geturl()


def fetch(url: str, sources: Sources, authorization: str | None = None) -> tuple[bytes, str]:
    """Read one address.

    A machine without the package ca-certificates can verify no server. What is read here is
    harmless even so: of the index only the link to the wheel is used, and the wheel is refused
    unless it has the digest that is written in this repository. So where a certificate cannot be
    verified, the read is repeated without; but never with a password in it.

    Args:
        url: the address, without credentials.
        sources: for the certificates and the proxy.
        authorization: the header that carries the credentials.

    Returns:
        The content, and the address that it came from after redirections.

    Raises:
        FetchError: it could not be read; the message says why.
    """
    try:
        try:
            verified = ssl.create_default_context(cafile=sources.cert)
            return _read(url, sources, authorization, verified)
        except urllib.error.URLError as error:
            if authorization or not isinstance(error.reason, ssl.SSLCertVerificationError):
                raise
            unverified = ssl._create_unverified_context()  # noqa: S323, SLF001 -- said above
            return _read(url, sources, None, unverified)
    except urllib.error.HTTPError as error:
        error.close()
        raise FetchError(f"it answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise FetchError(str(error.reason)) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise FetchError(str(error) or type(error).__name__) from error


def download(wheel: Wheel, sources: Sources) -> bytes:
    """Get a wheel from the first source that has it.

    Raises:
        BootstrapError: no source has it, or what a source gave is another file.
    """
    for folder in sources.folders:
        file = folder / wheel.filename
        if file.is_file():
            return _checked(file.read_bytes(), wheel, str(file))
    tried: list[str] = []
    for index in sources.indexes:
        plain, authorization = split_credentials(index)
        page_url = f"{plain.rstrip('/')}/{wheel.project}/"
        if page_url.startswith("file:"):  # as pip does: a folder's page is its index.html
            page_url += "index.html"
        try:
            page, base = fetch(page_url, sources, authorization)
            url = find_link(page.decode("utf-8", "replace"), base, wheel.filename)
            if url is None:
                tried.append(f"{page_url}: it has no {wheel.filename}")
                continue
            same_host = urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(plain).netloc
            content, _ = fetch(url, sources, authorization if same_host else None)
        except FetchError as error:
            tried.append(f"{page_url}: {error}")
        else:
            return _checked(content, wheel, url)
    raise BootstrapError(
        f"{wheel.filename} could not be downloaded.\n  "
        + "\n  ".join(tried or ["pip is configured to use no package index (no-index)"])
        + "\nIs there a network? A proxy is set with HTTPS_PROXY, another package index with"
        " PIP_INDEX_URL or in /etc/pip.conf."
    )


def _checked(content: bytes, wheel: Wheel, origin: str) -> bytes:
    digest = hashlib.sha256(content).hexdigest()
    if digest != wheel.sha256:
        raise BootstrapError(
            f"{origin} is not the {wheel.filename} that is expected here, and was not used.\n"
            f"  its sha256: {digest}\n  expected:   {wheel.sha256}"
        )
    return content


def default_sources() -> Sources:
    """Read this machine's settings."""
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home
        home = Path("/nonexistent")
    return read_sources(os.environ, pip_config_files(os.environ, home))
