"""Which NVIDIA GPUs there are, asked of their driver: libcuda, which every driver brings.

onnxruntime only says that CUDA cannot be used; the driver says why not. `CUDA_VISIBLE_DEVICES`
counts, as everywhere.
"""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

_LIBRARY = "libcuda.so.1"
_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_PORTABLE = 1  # CU_MEMHOSTREGISTER_PORTABLE: pinned for every context of the process


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        number: as CUDA counts them, from 0.
        name: such as `NVIDIA H100 80GB HBM3`.
        capability: its compute capability, such as (9, 0).
        cuda: the newest CUDA that its driver speaks, such as (13, 0).
    """

    number: int
    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]

    @property
    def has_tf32(self) -> bool:
        """Whether its tensor cores multiply in TF32: from Ampere on."""
        return self.capability >= (8, 0)

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name} (compute capability {major}.{minor})"


def find_gpus(load: Callable[[str], Any] = ctypes.CDLL) -> tuple[Gpu, ...]:
    """All GPUs of this machine that the process may use.

    Args:
        load: gives the driver's library.

    Raises:
        ModelError: there are none; the message says why.
    """
    cuda = _Driver(load)
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.call("cuDriverGetVersion", ctypes.byref(version))
    cuda.call("cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise ModelError("the driver shows no GPU", hint="Is CUDA_VISIBLE_DEVICES set?")
    speaks = version.value // 1000, version.value % 1000 // 10
    return tuple(cuda.gpu(number, speaks) for number in range(count.value))


def choose(gpus: Sequence[Gpu], numbers: Sequence[int]) -> tuple[Gpu, ...]:
    """The GPUs of these numbers; all of them where no number is given.

    Raises:
        ModelError: there is none of a number.
    """
    if not numbers:
        return tuple(gpus)
    if missing := sorted(set(numbers) - {gpu.number for gpu in gpus}):
        there = ", ".join(f"{gpu.number}: {gpu.name}" for gpu in gpus)
        raise ModelError(f"there is no GPU {missing[0]}", hint=f"There are: {there}")
    return tuple(gpu for gpu in gpus if gpu.number in numbers)


def pin(buffer: NDArray[np.uint8], gpu: Gpu, load: Callable[[str], Any] = ctypes.CDLL) -> None:
    """Lock an array into memory for as long as it lives, so that the GPU fetches it by itself.

    Raises:
        ModelError: the driver refuses.
    """
    cuda, device, context = _Driver(load), ctypes.c_int(), ctypes.c_void_p()
    address = ctypes.c_void_p(buffer.ctypes.data)
    # the context that onnxruntime uses as well; it is there until the process ends
    cuda.call("cuDeviceGet", ctypes.byref(device), gpu.number)
    cuda.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    cuda.call("cuCtxPushCurrent_v2", context)
    try:
        size = ctypes.c_size_t(buffer.nbytes)
        cuda.call("cuMemHostRegister_v2", address, size, _PORTABLE)
    finally:
        cuda.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
    weakref.finalize(buffer, cuda.unpin, address, context).atexit = False


class _Driver:
    """The driver's library, initialised.

    Raises:
        ModelError: it is not there, or does not work.
    """

    def __init__(self, load: Callable[[str], Any]) -> None:
        try:
            self._library = load(_LIBRARY)
        except OSError as error:
            raise ModelError(
                f"there is no NVIDIA driver: {error}", hint="Install it, or set device = cpu"
            ) from error
        self.call("cuInit", 0)

    def call(self, function: str, *arguments: object) -> None:
        """Call a function of CUDA's driver API.

        Raises:
            ModelError: with the driver's own words.
        """
        code = getattr(self._library, function)(*arguments)
        if code:
            words = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(words))
            said = (words.value or b"unknown error").decode(errors="replace")
            raise ModelError(f"the NVIDIA driver says: {said} ({function}: {code})")

    def unpin(self, address: ctypes.c_void_p, context: ctypes.c_void_p) -> None:
        """Let go of what `pin` has locked."""
        self.call("cuCtxPushCurrent_v2", context)
        try:
            self.call("cuMemHostUnregister", address)
        finally:
            self.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))

    def gpu(self, number: int, speaks: tuple[int, int]) -> Gpu:
        """All about one GPU."""
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        self.call("cuDeviceGet", ctypes.byref(device), number)
        self.call("cuDeviceGetName", name, len(name), device)
        major, minor = ctypes.c_int(), ctypes.c_int()
        for part, attribute in zip((major, minor), _CAPABILITY, strict=True):
            self.call("cuDeviceGetAttribute", ctypes.byref(part), attribute, device)
        return Gpu(number, name.value.decode(), (major.value, minor.value), speaks)
