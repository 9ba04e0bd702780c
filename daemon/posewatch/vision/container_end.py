"""Whether a file ends where its container says that it does.

FFmpeg reads a truncated file to its end and mostly reports success, so this is decided here, from
the sizes that containers write down: MP4 and MOV boxes, Matroska elements, RIFF chunks, FLV tags,
ASF's file size, Ogg's last page, GIF's trailer. MPEG-TS, MPEG-PS and DV declare no end.

Nothing is decoded, and little is read: headers, and for GIF and live Matroska one small read for
each block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadAt = Callable[[int, int], bytes]
    """Bytes at (offset, count); fewer at the end of the file."""


class End(Enum):
    """What the container says about the end of the file."""

    WHOLE = "whole"  # it ends where it should
    MISSING = "missing"  # it should go on
    UNKNOWN = "unknown"  # this container does not say


@dataclass(frozen=True, slots=True)
class Ending:
    """A verdict on the end of a file.

    Attributes:
        end: the verdict.
        reason: for `End.MISSING`, what is missing, in words that follow "the file ends too early:".
    """

    end: End
    reason: str = ""


_WHOLE = Ending(End.WHOLE)
_UNKNOWN = Ending(End.UNKNOWN)


def find_ending(read_at: ReadAt, size: int) -> Ending:
    """Judge the end of a file by its container's own sizes.

    Args:
        read_at: reads the file.
        size: of the file, in bytes.
    """
    head = read_at(0, 16)
    if head[4:8] in _BOXES:
        return _boxes(read_at, size)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _riff(read_at, size)
    judges = {
        b"\x1a\x45\xdf\xa3": _matroska,
        b"FLV": _flv,
        _ASF_HEADER: _asf,
        b"OggS": _ogg,
        b"GIF8": _gif,
    }
    judge = next((judges[m] for m in judges if head.startswith(m)), _transport_stream)
    return judge(read_at, size)


def _missing(what: str, end: int, size: int) -> Ending:
    return Ending(End.MISSING, f"{what} should end at byte {end:,}, the file has {size:,}")


# ISO/IEC 14496-12, 4.2: size (32 bit), type, and a 64-bit size where the first is 1; 0 means "to
# the end of the file". Only of these types is a box that is too long a box that is cut: cameras
# write others, and somebody may have appended bytes that are no box at all.
_BOXES = frozenset(
    b"ftyp moov mdat moof mfra free skip wide uuid sidx ssix styp emsg pdin meta udta pnot".split()
)
_INDEX = frozenset({b"moov", b"moof"})


def _boxes(read_at: ReadAt, size: int) -> Ending:
    position = 0
    seen: set[bytes] = set()
    while position + 8 <= size:
        header = read_at(position, 16)
        length, kind = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            (length,) = struct.unpack(">Q", header[8:])
        elif length == 0:
            length = size - position
        if length < 8 or (kind not in _BOXES and position + length > size):
            return _WHOLE if seen & _INDEX else _UNKNOWN
        seen.add(kind)
        position += length
        if position > size:
            return _missing(f'the "{kind.decode()}" box', position, size)
    if not seen & _INDEX:
        return Ending(End.MISSING, 'there is no "moov" box, which many cameras write last')
    return _WHOLE


# RFC 8794 (EBML) and RFC 9559 (Matroska): an element is an id, a size, and its content; a size of
# all ones means "unknown", which live recordings use for the Segment and its Clusters.
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675


def _matroska(read_at: ReadAt, size: int) -> Ending:
    position = 0
    inside_segment = False
    while position < size:
        header = read_at(position, 16)
        element, id_length = _vint(header, 0, keep_marker=True)
        length, size_length = _vint(header, id_length, keep_marker=False)
        if not id_length or not size_length:
            return Ending(End.MISSING, "its last element is cut")
        unknown = length == (1 << (7 * size_length)) - 1
        position += id_length + size_length
        if unknown and element in {_SEGMENT, _CLUSTER}:
            inside_segment = True
            continue
        position += length
        if position > size:
            return _missing("the last element", position, size)
        if element == _SEGMENT:
            return _WHOLE
    return _WHOLE if inside_segment else Ending(End.MISSING, "there is no segment")


def _vint(data: bytes, at: int, *, keep_marker: bool) -> tuple[int, int]:
    """A variable-size integer (RFC 8794, section 4) and its length, which is 0 for none."""
    if at >= len(data) or data[at] == 0:
        return 0, 0
    length = 9 - data[at].bit_length()
    if at + length > len(data):
        return 0, 0
    value = int.from_bytes(data[at : at + length])
    return (value if keep_marker else value & ((1 << (7 * length)) - 1)), length


# Some cameras count the eight bytes of the first header into the size that should leave them out.
_RIFF_SLACK = 8


def _riff(read_at: ReadAt, size: int) -> Ending:
    """AVI and its OpenDML extension: a file is one or more RIFF chunks, one after the other."""
    position = 0
    while position + 12 <= size:
        kind, length, _ = struct.unpack("<4sI4s", read_at(position, 12))
        if kind != b"RIFF":
            break
        if length in {0, 0xFFFFFFFF}:  # never filled in: a recorder that was switched off
            return _UNKNOWN
        end = position + 8 + length
        if end > size + _RIFF_SLACK:
            return _missing("a RIFF chunk", end, size)
        position = end + length % 2
    return _WHOLE


def _flv(read_at: ReadAt, size: int) -> Ending:
    """Each tag is followed by its own size, so the last four bytes point at the last tag."""
    if size < 13 + 15:
        return Ending(End.MISSING, "there is no tag")
    (length,) = struct.unpack(">I", read_at(size - 4, 4))
    start = size - 4 - length
    if length >= 11 and start >= 13:
        tag = read_at(start, 4)
        if tag[0] in {8, 9, 18} and int.from_bytes(tag[1:]) + 11 == length:
            return _WHOLE
    return Ending(End.MISSING, "its last tag is cut")


_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def _asf(read_at: ReadAt, size: int) -> Ending:
    """File Properties Object: file size at offset 40, broadcast flag (then unset) at 88."""
    at = read_at(0, 4096).find(_ASF_FILE_PROPERTIES)
    properties = read_at(at, 92) if at >= 0 else b""
    if len(properties) < 92:
        return _UNKNOWN
    (declared,) = struct.unpack_from("<Q", properties, 40)
    (flags,) = struct.unpack_from("<I", properties, 88)
    if flags & 1 or declared == 0:
        return _UNKNOWN
    return _missing("the file", declared, size) if declared > size else _WHOLE


_OGG_PAGE_MAX = 27 + 255 + 255 * 255


def _ogg(read_at: ReadAt, size: int) -> Ending:
    """RFC 3533: the last page must be complete and carry the "end of stream" flag (4)."""
    start = max(0, size - _OGG_PAGE_MAX)
    tail = read_at(start, size - start)
    at = tail.rfind(b"OggS")
    page = tail[at:] if at >= 0 else b""
    if len(page) < 27 or len(page) < 27 + page[26]:
        return Ending(End.MISSING, "its last page is cut")
    end = start + at + 27 + page[26] + sum(page[27 : 27 + page[26]])
    if end > size:
        return _missing("its last page", end, size)
    return _WHOLE if page[5] & 4 else Ending(End.MISSING, "its last page is not marked as the last")


def _gif(read_at: ReadAt, size: int) -> Ending:
    """GIF89a, section 17 and on: blocks up to the trailer, 0x3B."""
    flags = read_at(10, 1)
    position = 13 + _colour_table(flags)
    while position < size:
        (kind,) = read_at(position, 1)
        if kind == 0x3B:
            return _WHOLE
        if kind == 0x2C:
            position += 10 + _colour_table(read_at(position + 9, 1)) + 1
        elif kind == 0x21:
            position += 2
        else:
            return _UNKNOWN
        while (length := read_at(position, 1)) and length != b"\0":
            position += 1 + length[0]
        position += 1
    return Ending(End.MISSING, "there is no trailer")


def _colour_table(flags: bytes) -> int:
    """Bytes of the colour table that `flags` announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _transport_stream(read_at: ReadAt, size: int) -> Ending:
    """MPEG-TS has no end, but it is made of packets."""
    length = packet_length(read_at)
    if length and size % length:
        return Ending(End.MISSING, "its last packet is cut")
    return _UNKNOWN


def packet_length(read_at: ReadAt) -> int:
    """Length of the packets of an MPEG-TS file, found by the byte that each begins with.

    188, with a time code before each packet 192, with a correction code behind each 204; 0 for
    anything else. FFmpeg recognises short files only by their suffix, which it does not see here.
    """
    for length, sync in ((188, 0), (192, 4), (204, 0)):
        starts = [read_at(sync + i * length, 1) for i in range(5)]
        if starts[:2] == [b"\x47"] * 2 and set(starts) <= {b"\x47", b""}:
            return length
    return 0
