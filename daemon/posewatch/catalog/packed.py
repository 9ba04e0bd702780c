"""A dictionary for a hundred thousand names and what little is known about each."""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Callable, ItemsView, Iterable, Iterator, MutableMapping
from struct import Struct
from typing import Any, Final, Generic, TypeVar, overload

Value = TypeVar("Value")
Other = TypeVar("Other")

LENGTH: Final = Struct("<I")
"""What stands before each name and each record in the block: how many bytes it has."""

GONE: Final = 2**64 - 1
"""In the place of an offset: the key was removed."""

FIRST: Final = 8
"""Slots of an empty table; a power of two."""


class Packed(MutableMapping[str, Value], Generic[Value]):
    """A dict from keys to records, all in one block of bytes.

    A `dict` takes for each key at least two objects, a hash, and pointers to them: 116 bytes for a
    name of 15. Here a name and its record take their own bytes, 16 for two lengths and an offset,
    and 6 to 12 for the slots of a hash table with open addressing. A look takes about a
    microsecond.

    Keys are given in the order in which they came. Unlike a dict it may be changed while it is
    iterated over: what was removed is not given any more, and what is new comes last. (Only `tidy`
    must not be called meanwhile.) Not thread-safe.

    Args:
        pack: makes a tuple of numbers, strings, bytes, None and tuples of such out of a value.
        unpack: makes a value, equal to the first one, out of such a tuple.
        items: to begin with.
    """

    def __init__(
        self,
        pack: Callable[[Value], tuple[Any, ...]],
        unpack: Callable[..., Value],
        items: Iterable[tuple[str, Value]] = (),
    ) -> None:
        self._pack = pack
        self._unpack = unpack
        self._clear()
        for key, value in items:
            self[key] = value

    def __getitem__(self, key: str) -> Value:
        """The value."""
        name = _named(key)
        row = self._row(name)
        if row is None:
            raise KeyError(key)
        return self._value(self._offsets[row] + len(name))

    @overload
    def get(self, key: str, default: None = None, /) -> Value | None: ...

    @overload
    def get(self, key: str, default: Value | Other, /) -> Value | Other: ...

    def get(self, key: str, default: Value | Other | None = None, /) -> Value | Other | None:
        """The value, or something else."""
        name = _named(key)
        row = self._row(name)
        return default if row is None else self._value(self._offsets[row] + len(name))

    def __setitem__(self, key: str, value: Value) -> None:
        """Set, or replace; what is replaced keeps its place in the order."""
        name, record = _named(key), marshal.dumps(self._pack(value))
        row = self._row(name)
        if row is None:
            self._add(name, record)
            return
        place = self._offsets[row] + len(name)
        (size,) = LENGTH.unpack_from(self._block, place)
        if size == len(record):
            place += LENGTH.size
            self._block[place : place + size] = record
        else:
            self._waste += len(name) + LENGTH.size + size
            self._offsets[row] = self._write(name, record)

    def __delitem__(self, key: str) -> None:
        """Remove."""
        name = _named(key)
        row = self._row(name)
        if row is None:
            raise KeyError(key)
        (size,) = LENGTH.unpack_from(self._block, self._offsets[row] + len(name))
        self._waste += len(name) + LENGTH.size + size
        self._offsets[row] = GONE
        self._count -= 1

    def __contains__(self, key: object) -> bool:
        """Whether there is such a key."""
        return isinstance(key, str) and self._row(_named(key)) is not None

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        """The keys, in the order in which they came."""
        for offset in self._offsets:
            if offset != GONE:
                yield self._key(offset)[0]

    def items(self) -> ItemsView[str, Value]:
        """Keys and values."""
        return _Items(self, self._items)

    def tidy(self) -> None:
        """Give back the memory of what was removed or replaced, once that is much."""
        if 4 * self._waste <= len(self._block):
            return
        old, offsets = self._block, self._offsets
        self._clear()
        for offset in offsets:
            if offset != GONE:
                place = offset + LENGTH.size + LENGTH.unpack_from(old, offset)[0]
                begin = place + LENGTH.size
                end = begin + LENGTH.unpack_from(old, place)[0]
                self._add(bytes(old[offset:place]), bytes(old[begin:end]))

    def _clear(self) -> None:
        self._block = bytearray()
        self._offsets = array("Q")  # of each row: where its name begins
        self._slots = array("I", bytes(4 * FIRST))  # a row and 1, or 0
        self._mask = FIRST - 1
        self._count = 0
        self._waste = 0

    def _row(self, name: bytes) -> int | None:
        """Where a name is."""
        slots, offsets, mask, found = self._slots, self._offsets, self._mask, self._block.startswith
        slot = hash(name) & mask
        while row := slots[slot]:
            if found(name, offsets[row - 1]):
                return row - 1
            slot = (slot + 1) & mask
        return None

    def _add(self, name: bytes, record: bytes) -> None:
        """Put a new row."""
        self._offsets.append(self._write(name, record))
        self._count += 1
        if 3 * len(self._offsets) > 2 * len(self._slots):
            self._grow()
        else:
            self._enter(name, len(self._offsets))

    def _write(self, name: bytes, record: bytes) -> int:
        offset = len(self._block)
        self._block += name + LENGTH.pack(len(record)) + record
        return offset

    def _enter(self, name: bytes, row: int) -> None:
        slots, mask = self._slots, self._mask
        slot = hash(name) & mask
        while slots[slot]:
            slot = (slot + 1) & mask
        slots[slot] = row

    def _grow(self) -> None:
        """Twice the slots; rows that were removed need none."""
        self._mask = 2 * len(self._slots) - 1
        self._slots = array("I", bytes(4 * (self._mask + 1)))
        for row, offset in enumerate(self._offsets, start=1):
            if offset != GONE:
                end = offset + LENGTH.size + LENGTH.unpack_from(self._block, offset)[0]
                self._enter(bytes(self._block[offset:end]), row)

    def _items(self) -> Iterator[tuple[str, Value]]:
        for offset in self._offsets:
            if offset != GONE:
                key, place = self._key(offset)
                yield key, self._value(place)

    def _key(self, offset: int) -> tuple[str, int]:
        """The key at an offset, and where its record begins."""
        begin = offset + LENGTH.size
        end = begin + LENGTH.unpack_from(self._block, offset)[0]
        return self._block[begin:end].decode("utf-8", "surrogatepass"), end

    def _value(self, place: int) -> Value:
        # What comes after the record is not read.
        with memoryview(self._block) as block:
            return self._unpack(*marshal.loads(block[place + LENGTH.size :]))  # noqa: S302 -- ours


class _Items(ItemsView[str, Value]):
    """Does not look for each key that it has just found."""

    def __init__(
        self, packed: Packed[Value], items: Callable[[], Iterator[tuple[str, Value]]]
    ) -> None:
        super().__init__(packed)
        self._items = items

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return self._items()


def _named(key: str) -> bytes:
    """A name as it stands in the block: no name is the beginning of another one."""
    name = key.encode("utf-8", "surrogatepass")
    return LENGTH.pack(len(name)) + name
