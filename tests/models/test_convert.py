"""Each operator, converted, computes what it computes in TFLite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.graphs import Builder, pictures, run
from posewatch.base.errors import ModelError
from posewatch.models.convert import convert, same_padding


def check(builder: Builder, *outputs: int) -> None:
    batch = pictures(builder.size)
    net = convert(builder.graph(*outputs), builder.network(*outputs))
    for made, wanted in zip(run(net, batch), builder.expected(batch, *outputs), strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_a_picture_is_normalised(low: float) -> None:
    builder = Builder(low=low)
    check(builder, builder.apply("LOGISTIC", [0]))


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_convolution(kernel: int, stride: int, padding: str, activation: str) -> None:
    builder = Builder(size=7)
    kind = {"stride": stride, "padding": padding, "activation": activation}
    dense = builder.conv(0, 5, kernel, **kind)
    check(builder, dense, builder.depthwise(dense, kernel, **kind))


def test_a_depthwise_convolution_with_several_outputs_a_channel_is_refused() -> None:
    builder = Builder()
    made = builder.depthwise(0)
    _, weights, _ = builder.operators[-1].inputs
    doubled = np.repeat(builder.tensors[weights].data, 2, axis=3)
    builder.tensors[weights] = type(builder.tensors[weights])("weights", doubled.shape, doubled)
    with pytest.raises(ModelError, match="several outputs a channel"):
        convert(builder.graph(made), builder.network(made))


def test_an_addition_of_two_shapes_is_refused() -> None:
    builder = Builder()
    made = builder.add(builder.conv(0, 4), builder.conv(0, 1))
    with pytest.raises(ModelError, match="two shapes"):
        convert(builder.graph(made), builder.network(made))


def test_prelu_and_relu() -> None:
    builder = Builder()
    wide = builder.conv(0, 6)
    bent = builder.prelu(wide, builder.noise(6))
    check(builder, bent, builder.apply("RELU", [bent]))


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6"])
def test_addition(activation: str) -> None:
    builder = Builder()
    check(builder, builder.add(builder.conv(0, 4), builder.conv(0, 4), activation))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_max_pooling(kernel: int, stride: int, padding: str) -> None:
    builder = Builder(size=7)
    # Negative everywhere, so that a border of zeros would show.
    low = builder.conv(0, 4, bias=np.full(4, -9, np.float32))
    check(builder, builder.max_pool(low, kernel, stride, padding))


def test_padding_of_every_axis() -> None:
    builder = Builder()
    check(builder, builder.pad(0, (1, 2), (0, 3), (2, 1)))


def test_enlarging() -> None:
    builder = Builder(size=5)
    check(builder, builder.resize(0))


def test_depth_to_space() -> None:
    builder = Builder(size=3)
    check(builder, builder.apply("DEPTH_TO_SPACE", [builder.conv(0, 12)], BlockSize=2))


def test_reshape_sees_the_layout_of_tflite_and_concatenation_joins_it() -> None:
    builder = Builder(size=4)
    parts = []
    for channels in (6, 12):
        shape = builder.constant(np.array([-1, 4 * 4 * channels // 6, 6], np.int32))
        parts.append(builder.apply("RESHAPE", [builder.conv(0, channels), shape]))
    joined = builder.apply("CONCATENATION", parts, Axis=1, FusedActivationFunction="NONE")
    check(builder, joined)


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_pictures_are_concatenated_along_the_right_axis(axis: int) -> None:
    builder = Builder(size=4)
    parts = [builder.conv(0, 3), builder.conv(0, 3)]
    joined = builder.apply("CONCATENATION", parts, Axis=axis, FusedActivationFunction="NONE")
    check(builder, joined)


@pytest.mark.parametrize("keep", [True, False])
def test_mean_and_fully_connected(keep: bool) -> None:  # noqa: FBT001 - a parameter of the test
    builder = Builder()
    axes = builder.constant(np.array([1, 2], np.int32))
    mean = builder.apply("MEAN", [builder.conv(0, 8), axes], KeepDims=keep)
    if keep:
        check(builder, mean)
        return
    inputs = [mean, builder.constant(builder.noise(4, 8)), builder.constant(builder.noise(4))]
    check(builder, builder.apply("FULLY_CONNECTED", inputs, FusedActivationFunction="NONE"))


def test_slice() -> None:
    builder = Builder()
    wide = builder.conv(0, 8)
    check(builder, builder.slice(wide, [0, 1, 2, 3], [1, 5, 8, 8]))


def test_an_output_of_one_pixel_loses_its_empty_axes() -> None:
    builder = Builder(size=4)
    last = builder.conv(0, 5, 4, padding="VALID")
    network = builder.network(last)
    flat = network.outputs[0].model_copy(update={"shape": (5,)})
    network = network.model_copy(update={"outputs": (flat,)})
    batch = pictures(4)
    (made,) = run(convert(builder.graph(last), network), batch)
    assert made.shape == (2, 5)
    np.testing.assert_allclose(made, builder.expected(batch, last)[0][:, 0, 0], atol=1e-4)


def test_what_no_kept_output_needs_is_left_out() -> None:
    builder = Builder()
    kept, dropped = builder.conv(0, 4), builder.conv(0, 4, 3)
    net = convert(builder.graph(kept, dropped), builder.network(kept))
    assert [node.kind for node in net.nodes].count("Conv") == 1
    assert all(value.shape[-2:] != (3, 3) for value in net.constants.values())


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
)
@settings(deadline=None)
def test_same_padding_gives_as_many_outputs_as_steps_fit(
    size: int, kernel: int, stride: int, dilation: int
) -> None:
    before, after = same_padding(size, kernel, stride, dilation)
    assert 0 <= before <= after <= before + 1
    reach = (kernel - 1) * dilation + 1
    assert (size + before + after - reach) // stride + 1 >= -(-size // stride)


class TestRefusals:
    """A file that is not what we know is refused with its reason, not converted wrongly."""

    def test_an_operator_that_is_not_known(self) -> None:
        builder = Builder()
        made = builder.apply("LOGISTIC", [0])
        operator = builder.operators[-1]
        builder.operators[-1] = type(operator)("HARD_SWISH", operator.inputs, operator.output)
        with pytest.raises(ModelError, match="HARD_SWISH, which is not converted"):
            convert(builder.graph(made), builder.network(made))

    def test_an_activation_that_is_not_known(self) -> None:
        builder = Builder()
        made = builder.conv(0, 2)
        options = dict(builder.operators[-1].options) | {"FusedActivationFunction": "TANH"}
        operator = builder.operators[-1]
        builder.operators[-1] = type(operator)(
            operator.kind, operator.inputs, operator.output, options
        )
        with pytest.raises(ModelError, match="the activation TANH"):
            convert(builder.graph(made), builder.network(made))

    def test_a_picture_of_another_size(self) -> None:
        builder = Builder(size=8)
        made = builder.conv(0, 2)
        network = Builder(size=9).network()
        with pytest.raises(ModelError, match=r"other inputs than one of shape \(1, 9, 9, 3\)"):
            convert(builder.graph(made), network)

    def test_an_output_that_is_not_there(self) -> None:
        builder = Builder()
        first, second = builder.conv(0, 2), builder.conv(0, 2)
        with pytest.raises(ModelError, match="has no output 't"):
            convert(builder.graph(first), builder.network(second))

    def test_an_output_of_another_shape(self) -> None:
        builder = Builder()
        made = builder.conv(0, 2)
        network = builder.network(made)
        wrong = network.outputs[0].model_copy(update={"shape": (4, 4, 2)})
        network = network.model_copy(update={"outputs": (wrong,)})
        with pytest.raises(ModelError, match=r"has shape \(8, 8, 2\); expected \(4, 4, 2\)"):
            convert(builder.graph(made), network)
