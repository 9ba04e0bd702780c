"""The rows that the table of metrics is made of; the table itself is in `metrics`.

A row is the only place where a metric is described. The same row names it to Prometheus, gives the
`Metrics` object its typed attribute, and is checked against the table in `docs/operations.md`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

Value = TypeVar("Value", bound=StrEnum)
Other = TypeVar("Other", bound=StrEnum)
Built = TypeVar("Built")
Labelled = TypeVar("Labelled", Counter, Gauge, Histogram)

NAMES_LIMIT = 32
"""Different values that an open label takes at most; every further one is counted as `OTHER`."""

OTHER = "other"


class Kind(StrEnum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class HasRows(Protocol):
    """An object that has built its rows."""

    @property
    def built(self) -> Mapping[str, object]:
        """What each row built, by the row's name."""


class Registry(CollectorRegistry):
    """A registry of its own that leaves out the `_created` series.

    The library adds one such gauge to every counter and histogram, which would double the number
    of series for a moment that `process_start_time_seconds` tells as well.
    """

    def collect(self) -> Iterable[Metric]:
        """Every metric with its samples."""
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class Named(Generic[Built]):
    """One metric for each name of a set that is known only when the program runs.

    The set is expected to be small (the recipes in use, the networks of a model); should it not
    be, the names after the first `NAMES_LIMIT` share the series `OTHER`. Safe to use from several
    threads.
    """

    def __init__(self, make: Callable[[str], Built]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._known: dict[str, Built] = {}

    def __getitem__(self, name: str) -> Built:
        """The metric of `name`."""
        with self._lock:
            if name not in self._known and len(self._known) >= NAMES_LIMIT:
                name = OTHER
            if name not in self._known:
                self._known[name] = self._make(name)
            return self._known[name]


@dataclass(frozen=True, kw_only=True)
class Row(Generic[Built]):
    """One metric, and the descriptor that gives a `Metrics` object its attribute.

    Attributes:
        name: as Prometheus shows it, suffix and all.
        kind: its type.
        unit: what its number counts or measures.
        meaning: one sentence; becomes its `HELP` line.
        labels: each label's name with its values; none for one that can hold any short text.
        build: makes the metric in a registry.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: Mapping[str, tuple[str, ...]]
    build: Callable[[CollectorRegistry], Built]

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: HasRows, owner: type) -> Built: ...
    def __get__(self, instance: HasRows | None, owner: type) -> Self | Built:
        """The row itself of the class; what it built of an instance."""
        if instance is None:
            return self
        return instance.built[self.name]  # type: ignore[return-value]  # built by this very row


def counter(name: str, unit: str, meaning: str) -> Row[Counter]:
    """A count that only grows."""
    return Row(
        name=name,
        kind=Kind.COUNTER,
        unit=unit,
        meaning=meaning,
        labels={},
        build=lambda registry: Counter(name, meaning, registry=registry),
    )


def gauge(name: str, unit: str, meaning: str) -> Row[Gauge]:
    """A number that goes up and down."""
    return Row(
        name=name,
        kind=Kind.GAUGE,
        unit=unit,
        meaning=meaning,
        labels={},
        build=lambda registry: Gauge(name, meaning, registry=registry),
    )


def histogram(name: str, unit: str, meaning: str, buckets: tuple[float, ...]) -> Row[Histogram]:
    """Observations, sorted into buckets with the upper limits `buckets` (in `unit`)."""
    return Row(
        name=name,
        kind=Kind.HISTOGRAM,
        unit=unit,
        meaning=meaning,
        labels={},
        build=lambda registry: Histogram(name, meaning, buckets=buckets, registry=registry),
    )


def counters(
    name: str, unit: str, label: tuple[str, type[Value]], meaning: str
) -> Row[Mapping[Value, Counter]]:
    """One count for each value of a label, all there from the start."""
    return Row(
        name=name,
        kind=Kind.COUNTER,
        unit=unit,
        meaning=meaning,
        labels=_vocabulary(label),
        build=lambda registry: _each(
            Counter(name, meaning, [label[0]], registry=registry), label[1]
        ),
    )


def counter_grid(
    name: str,
    unit: str,
    label: tuple[str, type[Value]],
    other: tuple[str, type[Other]],
    meaning: str,
) -> Row[Mapping[tuple[Value, Other], Counter]]:
    """One count for each pair of values of two labels, all there from the start."""

    def build(registry: CollectorRegistry) -> Mapping[tuple[Value, Other], Counter]:
        parent = Counter(name, meaning, [label[0], other[0]], registry=registry)
        pairs = product(label[1], other[1])
        return MappingProxyType({pair: parent.labels(*(v.value for v in pair)) for pair in pairs})

    return Row(
        name=name,
        kind=Kind.COUNTER,
        unit=unit,
        meaning=meaning,
        labels=_vocabulary(label) | _vocabulary(other),
        build=build,
    )


def gauges(
    name: str, unit: str, label: tuple[str, type[Value]], meaning: str
) -> Row[Mapping[Value, Gauge]]:
    """One number for each value of a label, all there from the start."""
    return Row(
        name=name,
        kind=Kind.GAUGE,
        unit=unit,
        meaning=meaning,
        labels=_vocabulary(label),
        build=lambda registry: _each(Gauge(name, meaning, [label[0]], registry=registry), label[1]),
    )


def histograms(
    name: str,
    unit: str,
    label: tuple[str, type[Value]],
    meaning: str,
    buckets: tuple[float, ...],
) -> Row[Mapping[Value, Histogram]]:
    """One histogram for each value of a label, all there from the start."""
    return Row(
        name=name,
        kind=Kind.HISTOGRAM,
        unit=unit,
        meaning=meaning,
        labels=_vocabulary(label),
        build=lambda registry: _each(
            Histogram(name, meaning, [label[0]], buckets=buckets, registry=registry), label[1]
        ),
    )


def named_counters(name: str, unit: str, label: str, meaning: str) -> Row[Named[Counter]]:
    """One count for each name of an open set."""
    return Row(
        name=name,
        kind=Kind.COUNTER,
        unit=unit,
        meaning=meaning,
        labels={label: ()},
        build=lambda registry: Named(Counter(name, meaning, [label], registry=registry).labels),
    )


def named_histograms(
    name: str, unit: str, label: str, meaning: str, buckets: tuple[float, ...]
) -> Row[Named[Histogram]]:
    """One histogram for each name of an open set."""
    return Row(
        name=name,
        kind=Kind.HISTOGRAM,
        unit=unit,
        meaning=meaning,
        labels={label: ()},
        build=lambda registry: Named(
            Histogram(name, meaning, [label], buckets=buckets, registry=registry).labels
        ),
    )


def info(name: str, labels: tuple[str, ...], meaning: str) -> Row[Info]:
    """Facts in words, which hold as long as the process lives; its number is always 1."""
    return Row(
        name=name,
        kind=Kind.INFO,
        unit="1",
        meaning=meaning,
        labels=dict.fromkeys(labels, ()),
        build=lambda registry: Info(name.removesuffix("_info"), meaning, registry=registry),
    )


def _vocabulary(label: tuple[str, type[StrEnum]]) -> dict[str, tuple[str, ...]]:
    name, values = label
    return {name: tuple(value.value for value in values)}


def _each(parent: Labelled, values: type[Value]) -> Mapping[Value, Labelled]:
    return MappingProxyType({value: parent.labels(value.value) for value in values})
