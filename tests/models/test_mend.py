"""Each mend leaves what a network computes as it was, and does what it is there for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from models.graphs import Builder, pictures, run
from posewatch.models.convert import convert
from posewatch.models.mend import MENDS, mend
from posewatch.models.mend.channels import drop_constant_channels
from posewatch.models.mend.clips import attach_clips
from posewatch.models.mend.inputs import read_interleaved
from posewatch.models.mend.pads import fold_borders, lower_channel_pads
from posewatch.models.mend.prelus import lower_prelus
from posewatch.models.mend.resizes import swap_resizes
from posewatch.models.mend.shuffles import fold_depth_to_space
from posewatch.models.mend.widths import widen_channels

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.models.graph import Net


def mended(builder: Builder, *outputs: int, mends: tuple[Callable[[Net], None], ...]) -> Net:
    """The graph after these mends, of which we have seen that it computes the same."""
    net = convert(builder.graph(*outputs), builder.network(*outputs))
    batch = pictures(builder.size)
    wanted = builder.expected(batch, *outputs)
    for one in mends:
        one(net)
        net.prune()
        check_shapes(net)
        for found, value in zip(run(net, batch), wanted, strict=True):
            np.testing.assert_allclose(found, value, rtol=2e-4, atol=2e-4)
    return net


def check_shapes(net: Net) -> None:
    """The shapes that the net notes are those that ONNX infers, or the checker would complain."""
    outputs = net.outputs
    made = net.makers()
    net.outputs = {name: shape for name, shape in net.shapes.items() if name in made}
    net.to_onnx()
    net.outputs = outputs


def kinds(net: Net) -> list[str]:
    return [node.kind for node in net.nodes]


class TestInputs:
    @pytest.mark.parametrize("low", [0.0, -1.0])
    @pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 2), (3, 1), (1, 1)])
    def test_convolutions_read_the_bytes_as_they_lie(
        self, kernel: int, stride: int, low: float
    ) -> None:
        builder = Builder(size=9, low=low)
        outputs = [builder.conv(0, 4, kernel, stride=stride), builder.conv(0, 5, 3, stride=2)]
        net = mended(builder, *outputs, mends=(read_interleaved,))
        assert kinds(net)[:2] == ["Reshape", "Cast"]
        assert "Mul" not in kinds(net)
        assert ("Add" in kinds(net)) == (low != 0)

    def test_a_picture_that_something_else_reads_is_left_alone(self) -> None:
        builder = Builder()
        net = mended(builder, builder.apply("LOGISTIC", [0]), mends=(read_interleaved,))
        assert "Mul" in kinds(net)


class TestPads:
    def test_borders_go_into_every_convolution_that_reads_them(self) -> None:
        builder = Builder()
        padded = builder.pad(builder.conv(0, 4), (1, 2), (0, 3))
        outputs = [
            builder.conv(padded, 5, 3, stride=2, padding="VALID"),
            builder.depthwise(padded, 3, padding="SAME"),
        ]
        net = mended(builder, *outputs, mends=(fold_borders,))
        assert "Pad" not in kinds(net)

    def test_a_border_that_something_else_reads_stays(self) -> None:
        builder = Builder()
        padded = builder.pad(builder.conv(0, 4), (1, 1), (1, 1))
        outputs = [builder.conv(padded, 2), builder.apply("RELU", [padded])]
        assert "Pad" in kinds(mended(builder, *outputs, mends=(fold_borders,)))

    @pytest.mark.parametrize("channels", [(0, 4), (3, 0), (1, 2)])
    def test_channels_are_added_by_a_convolution(self, channels: tuple[int, int]) -> None:
        builder = Builder()
        padded = builder.pad(builder.conv(0, 4), (0, 0), (0, 0), channels)
        assert "Pad" not in kinds(mended(builder, padded, mends=(lower_channel_pads,)))


class TestShuffles:
    @given(
        kernel=st.integers(1, 5),
        size=st.integers(2, 6),
        pads=st.tuples(*[st.integers(0, 3)] * 4),
        heads=st.integers(1, 2),
    )
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_depth_to_space_goes_away(
        self, kernel: int, size: int, pads: tuple[int, int, int, int], heads: int
    ) -> None:
        top, bottom, left, right = pads
        assume(2 * size + top + bottom >= kernel)
        assume(2 * size + left + right >= kernel)
        builder = Builder(size=size)
        wide = builder.apply("DEPTH_TO_SPACE", [builder.conv(0, 8)], BlockSize=2)
        padded = builder.pad(wide, (top, bottom), (left, right))
        outputs = [
            builder.conv(builder.depthwise(padded, kernel, stride=2, padding="VALID"), 3)
            for _ in range(heads)
        ]
        net = mended(builder, *outputs, mends=(fold_borders, fold_depth_to_space))
        assert "DepthToSpace" not in kinds(net)

    @pytest.mark.parametrize("obstacle", ["stride", "activation", "other"])
    def test_it_stays_where_the_sum_cannot_wait(self, obstacle: str) -> None:
        builder = Builder(size=4)
        wide = builder.apply("DEPTH_TO_SPACE", [builder.conv(0, 8)], BlockSize=2)
        deep = builder.depthwise(
            wide,
            stride=1 if obstacle == "stride" else 2,
            activation="RELU" if obstacle == "activation" else "NONE",
        )
        outputs = [builder.conv(deep, 3)]
        if obstacle == "other":
            outputs.append(builder.apply("RELU", [wide]))
        assert "DepthToSpace" in kinds(mended(builder, *outputs, mends=(fold_depth_to_space,)))


class TestChannels:
    def block(self, builder: Builder, dead: int, *, first: float = -1.0) -> tuple[int, Net]:
        """Expand to 48 channels, the first `dead` of which have lost their weights, and mix."""
        weights = builder.noise(48, 1, 1, 3)
        weights[:dead] = 0
        bias = builder.noise(48)
        bias[:dead] = first
        wide = builder.conv(0, 48, weights=weights, bias=bias, activation="RELU6")
        deep = builder.depthwise(wide, 3, activation="RELU6")
        mixed = builder.conv(deep, 5)
        net = mended(builder, mixed, mends=(drop_constant_channels,))
        return mixed, net

    def test_channels_without_weights_go_away(self) -> None:
        _, net = self.block(Builder(), dead=32)
        assert max(value.shape[0] for value in net.constants.values() if value.ndim == 4) == 16

    def test_blocks_stay_whole(self) -> None:
        _, net = self.block(Builder(), dead=20)
        assert max(value.shape[0] for value in net.constants.values() if value.ndim == 4) == 32

    def test_a_constant_that_the_border_changes_is_none(self) -> None:
        _, net = self.block(Builder(), dead=32, first=3.0)
        assert max(value.shape[0] for value in net.constants.values() if value.ndim == 4) == 48

    def test_channels_that_are_always_clipped_go_away(self) -> None:
        builder = Builder()
        wide = builder.conv(0, 32, activation="RELU6")
        weights = builder.noise(1, 3, 3, 32)
        bias = builder.noise(32)
        bias[:16] = -6 * np.maximum(weights, 0).sum(axis=(1, 2))[0, :16] - 0.1  # below zero
        deep = builder.depthwise(wide, weights=weights, bias=bias, activation="RELU6")
        net = mended(builder, builder.conv(deep, 5), mends=(drop_constant_channels,))
        assert max(value.shape[0] for value in net.constants.values() if value.ndim == 4) == 16

    def test_their_constants_reach_a_fully_connected_head(self) -> None:
        builder = Builder()
        weights = builder.noise(1, 3, 3, 32)
        weights[..., :16] = 0
        wide = builder.conv(0, 32, activation="RELU6")
        deep = builder.depthwise(wide, weights=weights, activation="RELU6")
        mean = builder.apply(
            "MEAN", [deep, builder.constant(np.array([1, 2], np.int32))], KeepDims=False
        )
        heads = [
            builder.apply(
                "FULLY_CONNECTED",
                [mean, builder.constant(builder.noise(n, 32)), builder.constant(builder.noise(n))],
                FusedActivationFunction="NONE",
            )
            for n in (1, 4)
        ]
        net = mended(builder, *heads, mends=(drop_constant_channels,))
        assert max(value.shape[0] for value in net.constants.values() if value.ndim == 4) == 16

    def test_a_block_that_somebody_else_looks_into_is_left_alone(self) -> None:
        builder = Builder()
        weights = builder.noise(32, 1, 1, 3)
        weights[:16] = 0
        bias = np.full(32, -1, np.float32)
        wide = builder.conv(0, 32, weights=weights, bias=bias, activation="RELU6")
        mixed = builder.conv(builder.depthwise(wide, activation="RELU6"), 5)
        net = mended(builder, mixed, wide, mends=(drop_constant_channels,))
        assert max(value.shape[0] for value in net.constants.values() if value.ndim == 4) == 32


class TestResizes:
    def test_channels_are_mixed_before_enlarging(self) -> None:
        builder = Builder(size=4)
        large = builder.conv(builder.resize(builder.conv(0, 8)), 5, activation="RELU6")
        net = mended(builder, large, mends=(swap_resizes,))
        assert kinds(net).index("Resize") > max(
            place for place, kind in enumerate(kinds(net)) if kind == "Conv"
        )

    @pytest.mark.parametrize(("channels", "kernel"), [(9, 1), (5, 3)])
    def test_not_where_that_is_more_work_or_not_the_same(self, channels: int, kernel: int) -> None:
        builder = Builder(size=4)
        large = builder.conv(builder.resize(builder.conv(0, 8)), channels, kernel)
        net = mended(builder, large, mends=(swap_resizes,))
        assert kinds(net)[-2:] == ["Transpose", "Identity"]
        assert kinds(net).index("Resize") < len(kinds(net)) - 3


SLOPES = st.lists(st.sampled_from([-1.5, -0.2, 0.0, 0.3, 1.0, 1.4]), min_size=4, max_size=4)


class TestPRelus:
    @given(slopes=st.lists(SLOPES, min_size=3, max_size=3), pooled=st.booleans())
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_through_residuals_and_pooling(self, slopes: list[list[float]], pooled: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        builder = Builder()
        first, second, third = (np.array(values, np.float32) for values in slopes)
        value = builder.prelu(builder.conv(0, 4, 3), first)
        value = builder.prelu(builder.add(value, builder.conv(builder.depthwise(value), 4)), second)
        value = builder.prelu(builder.add(value, builder.conv(builder.depthwise(value), 4)), third)
        last = builder.max_pool(value) if pooled else builder.conv(value, 3, 3)
        net = mended(builder, last, mends=(lower_prelus,))
        assert "PRelu" not in kinds(net)

    @given(slopes=SLOPES, scale=SLOPES)
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_an_affine_step_that_follows_is_taken_in(
        self, slopes: list[float], scale: list[float]
    ) -> None:
        builder = Builder()
        bent = builder.prelu(builder.conv(0, 4), np.array(slopes, np.float32))
        moved = builder.depthwise(bent, 1, weights=np.array(scale, np.float32).reshape(1, 1, 1, 4))
        net = mended(builder, builder.depthwise(moved), mends=(lower_prelus,))
        # Two for the PRelu, and the ones before and after it.
        assert kinds(net).count("Conv") == 4

    def test_a_wrong_sign_costs_nothing_where_convolutions_read_it(self) -> None:
        builder = Builder()
        bent = builder.prelu(builder.conv(0, 4), np.full(4, 1.5, np.float32))
        summed = builder.add(bent, builder.conv(builder.depthwise(bent), 4))
        net = mended(builder, builder.conv(summed, 2), mends=(lower_prelus,))
        assert kinds(net).count("Conv") == 6

    def test_a_wrong_sign_is_put_right_where_somebody_would_see_it(self) -> None:
        builder = Builder()
        bent = builder.prelu(builder.conv(0, 4), np.full(4, 1.5, np.float32))
        outputs = [bent, builder.conv(bent, 2)]
        mended(builder, *outputs, mends=(lower_prelus,))

    def test_two_values_with_wrong_signs_are_added(self) -> None:
        builder = Builder()
        slopes = np.array([1.5, 0.5, 1.5, 0.5], np.float32)
        first = builder.prelu(builder.conv(0, 4), slopes)
        second = builder.prelu(builder.conv(0, 4), slopes[::-1].copy())
        mended(builder, builder.conv(builder.add(first, second), 2), mends=(lower_prelus,))


class TestWidths:
    @pytest.mark.parametrize("channels", [6, 12, 20])
    def test_what_is_pooled_fills_its_blocks(self, channels: int) -> None:
        builder = Builder()
        value = builder.conv(0, channels, activation="RELU")
        value = builder.depthwise(builder.max_pool(value))
        net = mended(builder, builder.conv(value, 5), mends=(widen_channels,))
        (pool,) = [node for node in net.nodes if node.kind == "MaxPool"]
        assert net.shapes[pool.output][0] % 16 == 0

    def test_a_pad_that_adds_as_many_goes_away(self) -> None:
        builder = Builder()
        value = builder.conv(0, 8)
        wide = builder.pad(builder.max_pool(value), (0, 0), (0, 0), (0, 8))
        summed = builder.add(wide, builder.conv(builder.depthwise(value, stride=2), 16))
        net = mended(builder, builder.conv(summed, 3), mends=(widen_channels,))
        assert "Pad" not in kinds(net)

    def test_a_pad_that_makes_it_grows(self) -> None:
        builder = Builder()
        wide = builder.pad(builder.conv(0, 4), (0, 0), (0, 0), (2, 3))
        net = mended(builder, builder.conv(builder.max_pool(wide), 3), mends=(widen_channels,))
        (pool,) = [node for node in net.nodes if node.kind == "MaxPool"]
        assert net.shapes[pool.output][0] == 16

    @pytest.mark.parametrize("obstacle", ["output", "concatenation", "pad"])
    def test_where_somebody_would_see_it_nothing_is_added(self, obstacle: str) -> None:
        builder = Builder()
        pooled = builder.max_pool(builder.conv(0, 8))
        options = {"Axis": 3, "FusedActivationFunction": "NONE"}
        last = {
            "output": lambda: pooled,
            "concatenation": lambda: builder.apply("CONCATENATION", [pooled, pooled], **options),
            "pad": lambda: builder.conv(builder.pad(pooled, (0, 0), (0, 0), (0, 4)), 3),
        }[obstacle]()
        net = mended(builder, last, mends=(widen_channels,))
        (pool,) = [node for node in net.nodes if node.kind == "MaxPool"]
        assert net.shapes[pool.output][0] == 8


class TestClips:
    def test_a_clip_after_an_addition_gets_a_convolution(self) -> None:
        builder = Builder()
        summed = builder.add(builder.conv(0, 4), builder.conv(0, 4), "RELU6")
        net = mended(builder, summed, mends=(attach_clips,))
        makers = net.makers()
        assert all(
            makers[node.inputs[0]].kind == "Conv" for node in net.nodes if node.kind == "Clip"
        )


def test_all_together() -> None:
    builder = Builder(size=16, low=-1.0)
    stem = builder.conv(builder.pad(0, (0, 1), (0, 1)), 6, 3, stride=2, padding="VALID")
    bent = builder.prelu(stem, np.array([-1, 0.2, 1.2, 0.5, 0, 1], np.float32))
    pooled = builder.pad(builder.max_pool(bent), (0, 0), (0, 0), (0, 10))
    deep = builder.conv(builder.depthwise(bent, stride=2), 16)
    summed = builder.add(pooled, deep, "RELU6")
    large = builder.conv(builder.resize(summed), 8, activation="RELU6")
    wide = builder.apply("DEPTH_TO_SPACE", [large], BlockSize=2)
    head = builder.conv(builder.depthwise(wide, stride=2), 4)
    shape = builder.constant(np.array([-1, 128, 2], np.int32))
    net = mended(builder, builder.apply("RESHAPE", [head, shape]), mends=MENDS)
    assert not {"PRelu", "Pad", "DepthToSpace", "Mul"} & set(kinds(net))


def test_mending_twice_changes_nothing() -> None:
    builder = Builder()
    bent = builder.prelu(builder.conv(0, 6, 3), builder.noise(6))
    last = builder.conv(builder.max_pool(bent), 3)
    net = convert(builder.graph(last), builder.network(last))
    mend(net)
    once = net.to_onnx()
    mend(net)
    assert net.to_onnx() == once
