"""Convolutions with torch's conventions: explicit padding, bias by default, weights (O, I, k,
k).
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from mindlong.ops.device import chip, use_native
from mindlong.ops.precision import Product
from mindlong.ops.weights import Draw, fill_uniform, zeros

Size = int | tuple[int, int]


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


class _Convolution(Product):
    """What the convolutions share: `kernel`, a C++ operator, or `plain`, MindSpore's."""

    def convolved(self, rows: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """The answer to the input `x`, given as `operands` of it."""
        if self.native:
            return self.native_product(rows, weight, x)
        return self.finished(x, self.plain(rows, weight))

    def native_product(self, rows: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """The same by the C++ operator."""
        if self.has_bias:
            return self.answer(x, self.kernel(rows, weight, self.offset(x), self.constant))
        return self.answer(x, self.kernel(rows, weight, self.constant))


class Conv2d(_Convolution):
    """(R, cin, H, W) -> (R, cout, H', W'). `weight` (cout, cin, kh, kw), `bias` (cout,); padding is
    symmetric, zeros.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel, stride, padding = _pair(kernel), _pair(stride), _pair(padding)
        self.fan_in, self.has_bias = cin * kernel[0] * kernel[1], bias
        self.kernel_size, self.stride, self.padding = kernel, stride, padding
        self.weight = zeros(cout, cin, *kernel)
        if bias:
            self.bias = zeros(cout)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = (
                functions.conv(stride, padding, bias),
                functions.conv_constant(stride, padding),
            )
        self.plain = ops.Conv2D(
            cout, kernel, pad_mode="pad", pad=(padding[0],) * 2 + (padding[1],) * 2, stride=stride
        )

    def init_weights(self, draw: Draw) -> None:
        """torch's default."""
        fill_uniform(self.weight, draw("weight"), self.fan_in)
        if self.has_bias:
            fill_uniform(self.bias, draw("bias"), self.fan_in)

    def construct(self, x: Tensor) -> Tensor:
        if self.native and self.whole and self.has_bias:
            y = self.kernel(x, self.weight, self.bias, self.constant)
        else:
            y = self.convolved(*self.operands(x), x)
        return y + self.lora(x) if self.adapted else y


class ConvInParts(Conv2d):
    """A 1 x 1 convolution without bias whose answer is read in `count` equal parts.

    In the plain form `parts` splits the weight and not the answer, so that no part is copied out of
    the whole.
    """

    def __init__(self, cin: int, cout: int, count: int) -> None:
        super().__init__(cin, cout, 1, bias=False)
        self.width = cout // count
        self.part = ops.Conv2D(self.width, 1, pad_mode="pad")

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """(R, cin, H, W) -> `count` of (R, cout / count, H, W)."""
        if self.native or self.adapted:
            return ops.split(self.construct(x), self.width, 1)
        rows, weight = self.operands(x)
        found = ()
        for part in ops.split(weight, self.width, 0):
            found += (self.finished(x, self.part(rows, part)),)
        return found


class ConvTranspose2d(_Convolution):
    """(R, cin, H, W) -> (R, cout, (H-1)*stride - 2*padding + kernel, ...). `weight` (cin, cout, kh,
    kw), `bias` (cout,).
    """

    def __init__(
        self, cin: int, cout: int, kernel: Size, stride: Size = 1, padding: Size = 0
    ) -> None:
        super().__init__()
        kernel, stride, padding = _pair(kernel), _pair(stride), _pair(padding)
        self.fan_in = (
            cout * kernel[0] * kernel[1]
        )  # torch takes axis 1 of the weight, here the output channels
        self.cout, self.kernel_size, self.stride, self.padding = cout, kernel, stride, padding
        self.weight, self.bias = zeros(cin, cout, *kernel), zeros(cout)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = (
                functions.deconv(stride, padding),
                functions.conv_constant(stride, padding),
            )
        self.plain = ops.Conv2DTranspose(
            cin, kernel, pad_mode="pad", pad=(padding[0],) * 2 + (padding[1],) * 2, stride=stride
        )

    def init_weights(self, draw: Draw) -> None:
        """torch's default."""
        fill_uniform(self.weight, draw("weight"), self.fan_in)
        fill_uniform(self.bias, draw("bias"), self.fan_in)

    def construct(self, x: Tensor) -> Tensor:
        if self.native and self.whole:
            return self.kernel(x, self.weight, self.bias, self.constant)
        rows, weight = self.operands(x)
        if self.native:
            return self.native_product(rows, weight, x)
        count, _, height, width = x.shape
        shape = (count, self.cout, self._grown(height, 0), self._grown(width, 1))
        return self.finished(x, self.plain(rows, weight, shape))

    def _grown(self, size: int, axis: int) -> int:
        return (size - 1) * self.stride[axis] - 2 * self.padding[axis] + self.kernel_size[axis]


class TemporalConv(_Convolution):
    """A convolution over frames only: (B, cin, F, H, W) -> (B, cout, F, H, W), zeros beyond both
    ends.

    `weight` (cout, cin, kernel), `bias` (cout,). It runs as a (kernel, 1) 2-D convolution on (B,
    cin, F, H*W).
    """

    def __init__(self, cin: int, cout: int, kernel: int = 3, bias: bool = True) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(
                f"TemporalConv: kernel is {kernel}; it must be odd to keep the number of frames"
            )
        self.cout, self.kernel_size, self.fan_in, self.has_bias = cout, kernel, cin * kernel, bias
        self.weight = zeros(cout, cin, kernel)
        if bias:
            self.bias = zeros(cout)
        padding = (kernel // 2, 0)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = (
                functions.conv((1, 1), padding, bias),
                functions.conv_constant((1, 1), padding),
            )
            self.fits = kernel == 3 and bias and cin % 16 == 0 and cout % 16 == 0
            self.folded_kernel = functions.frames_conv()
        self.plain = ops.Conv2D(
            cout, (kernel, 1), pad_mode="pad", pad=(kernel // 2, kernel // 2, 0, 0)
        )

    def init_weights(self, draw: Draw) -> None:
        """torch's default."""
        fill_uniform(self.weight, draw("weight"), self.fan_in)
        if self.has_bias:
            fill_uniform(self.bias, draw("bias"), self.fan_in)

    def construct(self, x_BCFHW: Tensor) -> Tensor:
        batch, channels, frames, height, width = x_BCFHW.shape
        x = x_BCFHW.reshape((batch, channels, frames, height * width))
        rows, weight = self.operands(x)
        y = self.convolved(rows, weight.expand_dims(-1), x)
        y = y.reshape((batch, self.cout, frames, height, width))
        return y + self.lora(x_BCFHW) if self.adapted else y

    def folded(self, x_RCHW: Tensor, frames: int) -> Tensor:
        """The same on frames folded behind the batch: (B*F, cin, H, W) -> (B*F, cout, H, W), moved
        in memory only if need be.
        """
        if self.native and self.fits:
            y = self._folded_natively(x_RCHW, _frames_constant(frames))
            return y + self.lora.folded(x_RCHW, frames) if self.adapted else y
        rows, channels, height, width = x_RCHW.shape
        x = x_RCHW.reshape((rows // frames, frames, channels, height, width)).transpose(
            (0, 2, 1, 3, 4)
        )
        return (
            self.construct(x).transpose((0, 2, 1, 3, 4)).reshape((rows, self.cout, height, width))
        )

    def _folded_natively(self, x: Tensor, frames: Tensor) -> Tensor:
        if self.whole:
            return self.folded_kernel(x, self.weight, self.bias, frames)
        rows, weight = self.operands(x)
        return self.answer(x, self.folded_kernel(rows, weight, self.offset(x), frames))


@ops.constexpr
def _frames_constant(frames: int) -> Tensor:
    return Tensor([frames], ms.int64)


def upsample_nearest2x(x_RCHW: Tensor) -> Tensor:
    """(R, C, H, W) -> (R, C, 2H, 2W), each pixel four times."""
    rows, channels, height, width = x_RCHW.shape
    twice = x_RCHW.expand_dims(-1)
    x = ops.concat((twice, twice), -1).reshape((rows, channels, height, 1, 2 * width))
    return ops.concat((x, x), 3).reshape((rows, channels, 2 * height, 2 * width))


class UpsampleNearest(nn.Cell):
    """(R, C, H, W) -> (R, C, *size) by nearest neighbours, as torch's
    interpolate(mode="nearest").
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_cpu = chip() == "cpu"

    def doubled(self, x_RCHW: Tensor) -> Tensor:
        """(R, C, H, W) -> (R, C, 2H, 2W). On an NPU the four copies are written at once; a CPU is
        faster by two concats.
        """
        if self.on_cpu:
            return upsample_nearest2x(x_RCHW)
        rows, channels, height, width = x_RCHW.shape
        x = x_RCHW.reshape((rows, channels, height, 1, width, 1))
        x = x.broadcast_to((rows, channels, height, 2, width, 2))
        return x.reshape((rows, channels, 2 * height, 2 * width))

    def construct(self, x_RCHW: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = x_RCHW.shape[2:]
        if size[0] == 2 * height and size[1] == 2 * width:
            return self.doubled(x_RCHW)
        rows = Tensor([i * height // size[0] for i in range(size[0])], ms.int32)
        columns = Tensor([i * width // size[1] for i in range(size[1])], ms.int32)
        return ops.gather(ops.gather(x_RCHW, rows, 2), columns, 3)
