"""A driver of NVIDIA that is none: libcuda's functions, for `posewatch.vision.gpus`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import ctypes

Reference: TypeAlias = Any
"""What `ctypes.byref` gives; its type is not public."""


@dataclass
class Driver:
    """What `ctypes.CDLL("libcuda.so.1")` would be.

    Attributes:
        gpus: name and compute capability of each.
        cuda: what the driver speaks, as it counts: 13000.
        failing: what a function answers instead of 0, by its name.
        pinned: addresses, and their sizes.
        contexts: how many are pushed.
    """

    gpus: tuple[tuple[str, tuple[int, int]], ...] = (("NVIDIA Toy", (9, 0)),)
    cuda: int = 13000
    failing: dict[str, int] = field(default_factory=dict)
    pinned: dict[int, int] = field(default_factory=dict)
    contexts: int = 0

    def load(self, name: str) -> Driver:
        assert name == "libcuda.so.1"
        return self

    def __getattr__(self, name: str) -> Reference:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Reference) -> int:
            return self.failing.get(name) or getattr(self, f"_{name}")(*arguments) or 0

        return call

    def _cuInit(self, flags: int) -> None:  # noqa: N802 -- NVIDIA's name
        assert flags == 0

    def _cuGetErrorString(self, code: int, words: Reference) -> None:  # noqa: N802 -- as above
        words._obj.value = {100: b"no CUDA-capable device is detected"}.get(code)

    def _cuDriverGetVersion(self, version: Reference) -> None:  # noqa: N802 -- as above
        version._obj.value = self.cuda

    def _cuDeviceGetCount(self, count: Reference) -> None:  # noqa: N802 -- as above
        count._obj.value = len(self.gpus)

    def _cuDeviceGet(self, device: Reference, number: int) -> None:  # noqa: N802 -- as above
        device._obj.value = number

    def _cuDeviceGetName(self, name: Reference, size: int, device: Reference) -> None:  # noqa: N802 -- as above
        assert size == len(name)
        name.value = self.gpus[device.value][0].encode()

    def _cuDeviceGetAttribute(self, value: Reference, which: int, device: Reference) -> None:  # noqa: N802 -- as above
        value._obj.value = self.gpus[device.value][1][(75, 76).index(which)]

    def _cuDevicePrimaryCtxRetain(self, context: Reference, device: Reference) -> None:  # noqa: N802 -- as above
        assert device.value < len(self.gpus)
        context._obj.value = 4711

    def _cuCtxPushCurrent_v2(self, context: ctypes.c_void_p) -> None:  # noqa: N802 -- as above
        assert context.value == 4711
        self.contexts += 1

    def _cuCtxPopCurrent_v2(self, _context: Reference) -> None:  # noqa: N802 -- as above
        self.contexts -= 1

    def _cuMemHostRegister_v2(  # noqa: N802 -- as above
        self, address: ctypes.c_void_p, size: ctypes.c_size_t, flags: int
    ) -> None:
        assert (self.contexts, flags) == (1, 1)
        self.pinned[address.value or 0] = size.value

    def _cuMemHostUnregister(self, address: ctypes.c_void_p) -> None:  # noqa: N802 -- as above
        assert self.contexts == 1
        del self.pinned[address.value or 0]
