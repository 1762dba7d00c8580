"""Convolutions over dense images, channels last: y from x and W, dx from dy and W, dW from x and dy, rows at a time.

Functions for jitted code, in LLVM vector code: the first two are correlations, and `filter_gradient.py` and, where each
channel has a filter of its own, `depthwise.py` write the others. `plain_convolution.py` says the same in plain loops.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dlc.compiler.codegen.host.border import Border, stack_memory
from dlc.compiler.codegen.host.correlation import Correlation, Filters, RowStart
from dlc.compiler.codegen.host.correlation_panel import CorrelationPanel, Operands
from dlc.compiler.codegen.host.depthwise import (
    depthwise_filter_gradient_rows,
    depthwise_input_gradient_rows,
    depthwise_rows,
)
from dlc.compiler.codegen.host.filter_gradient import FilterGradient
from dlc.compiler.codegen.host.machine import Dtype, Host, host
from dlc.compiler.codegen.host.rows import RowCode
from dlc.compiler.codegen.host.tile import I64, int64
from dlc.compiler.codegen.host.windows import spatial_axes

__all__ = ["convolve_rows", "filter_gradient_rows", "input_gradient_rows"]


def depthwise(image: Sequence[int], result: Sequence[int], groups: int) -> bool:
    """Whether each channel has a filter of its own: there is no sum over channels, and nothing for a tile to do."""
    return groups > 1 and image[-1] == result[-1] == groups


def convolve_rows(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    start: RowStart = "zero",
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that computes rows of one example's convolution.

    `image` = (*places, C_in) and `result` = (*places, C_out) are the example's shapes, with 2 or 3 spatial axes, and
    `window`, `stride` and `before`, the padding before, have a number for each of those. Rows are places of the first.

    The function is called as f(x, w, y, begin, end), with byte addresses: of the example, of the filters (*window,
    C_in / groups, C_out), where a step along the first axis is `filter_row` elements and all else is dense, and of
    where row `begin` of the result goes. It writes rows begin .. end - 1 and nothing else; up to 64 bytes after x and w
    may be read. The sums start at 0, or ("row") at C_out numbers whose address is a sixth argument.

    Examples lie one after the other, and rows after an example's last one are those of the next: many rows at once read
    the filters seldom. Only where each channel has a filter of its own the rows are those of one example.
    """
    if depthwise(image, result, groups):
        return depthwise_rows(
            dtype, image=image, result=result, window=window, stride=stride, before=before, groups=groups,
            filter_row=filter_row, start=start, cpu=cpu,
        )  # fmt: skip
    each, row = image[-1] // groups, result[-1]
    static = Correlation(
        dtype,
        spatial_axes(image[:-1], result[:-1], window, stride, before, back=False),
        sources=image[-1],
        depth=each,
        targets=result[-1],
        groups=groups,
        stored=Filters(filter_row, window[-1] * each * row, each * row, row),
        next_group=result[-1] // groups,
        start=start,
        cpu=cpu or host(),
    )
    if start == "row":

        @intrinsic
        def convolve_row(typing: Any, x: Any, w: Any, y: Any, begin: Any, end: Any, bias: Any) -> tuple[Any, Any]:
            return types.void(*[types.intp] * 6), lowering(static)

        return convolve_row

    @intrinsic
    def convolve(typing: Any, x: Any, w: Any, y: Any, begin: Any, end: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), lowering(static)

    return convolve


def input_gradient_rows(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that computes rows of one example's dx from dy; sizes as in `convolve_rows`.

    It is called as f(dy, w_turned, dx, begin, end), with byte addresses: of the example's dy, of the filters with their
    last two axes exchanged, (*window, C_out, C_in / groups), and of where row `begin` of dx goes. It writes rows
    begin .. end - 1 of dx and nothing else; up to 64 bytes after dy and w_turned may be read.
    """
    if depthwise(image, result, groups):
        return depthwise_input_gradient_rows(
            dtype, image=image, result=result, window=window, stride=stride, before=before, groups=groups,
            filter_row=filter_row, cpu=cpu,
        )  # fmt: skip
    row = image[-1] // groups
    tap = result[-1] * row
    static = Correlation(
        dtype,
        spatial_axes(result[:-1], image[:-1], window, stride, before, back=True),
        sources=result[-1],
        depth=result[-1] // groups,
        targets=image[-1],
        groups=groups,
        stored=Filters(filter_row, window[-1] * tap, tap, row),
        next_group=tap // groups,
        start="zero",
        cpu=cpu or host(),
    )

    @intrinsic
    def input_gradient(typing: Any, dy: Any, w_turned: Any, dx: Any, begin: Any, end: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), lowering(static)

    return input_gradient


def filter_gradient_rows(
    dtype: Dtype,
    *,
    image: Sequence[int],
    result: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
    before: Sequence[int],
    groups: int = 1,
    filter_row: int,
    cpu: Host | None = None,
) -> Any:
    """A function for jitted code that adds what rows of one example contribute to dW; sizes as in `convolve_rows`.

    It is called as f(x, dy, dw, begin, end), with byte addresses of the example, of its dy, and of dW, which is stored
    as W is, and adds the part of the result's rows begin .. end - 1. Up to 64 bytes after x and dy may be read.
    """
    if depthwise(image, result, groups):
        return depthwise_filter_gradient_rows(
            dtype, image=image, result=result, window=window, stride=stride, before=before, groups=groups,
            filter_row=filter_row, cpu=cpu,
        )  # fmt: skip
    static = FilterGradient(
        dtype,
        spatial_axes(image[:-1], result[:-1], window, stride, before, back=False),
        channels=image[-1],
        out_channels=result[-1],
        groups=groups,
        filter_row=filter_row,
        cpu=cpu or host(),
    )

    @intrinsic
    def filter_gradient(typing: Any, x: Any, dy: Any, dw: Any, begin: Any, end: Any) -> tuple[Any, Any]:
        return types.void(*[types.intp] * 5), static.lower

    return filter_gradient


# --- the function behind a correlation --------------------------------------------------------------------------------


def lowering(static: Correlation) -> Callable[..., Any]:
    """A call of the correlation, for an intrinsic; where no row of numbers is the start there are five arguments."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.call(define_correlation(static, builder.module), [*args, int64(0)][:6])
        return context.get_dummy_value()

    return lower


def define_correlation(static: Correlation, module: ir.Module) -> ir.Function:
    """The correlation as a function of the module, written on first use: f(source, filters, target, begin, end, start
    row)."""
    if static.symbol in module.globals:
        return module.globals[static.symbol]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 6), static.symbol)
    function.linkage = "internal"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    code = RowCode(builder, static.dtype, ((static.cpu.lanes(static.dtype),) * 2,))
    *addresses, begin, end, row = function.args
    source, filters, target, start = (code.widest.pointer(address) for address in (*addresses, row))
    operands = Operands(source, filters, target, begin, end, start)
    if static.border_rows:
        rows_with_border(static, code, operands)
    else:
        rows_in_chunks(static.in_row_sums() if static.row_sums else static, code, operands)
    builder.ret_void()
    return function


def rows_in_chunks(static: Correlation, code: RowCode, given: Operands) -> None:
    """All panels on some rows before the next rows."""
    numbers, most = code.numbers, static.rows_at_once
    write = panels_of(static, code)

    def chunk(t: ir.Value) -> None:
        done = numbers.times(t, most)
        low = numbers.plus(given.begin, done)
        high = numbers.least(numbers.plus(low, most), given.end)
        write(replace(given, target=code.move(given.target, done, static.target_row), begin=low, end=high))

    code.each(numbers.shares(numbers.minus(given.end, given.begin), most), chunk)


def rows_with_border(static: Correlation, code: RowCode, given: Operands) -> None:
    """The same for an image that is copied with a border of zeros, some rows of an example at a time."""
    numbers, (first, middle, last) = code.numbers, static.axes
    most, write = static.border_rows, panels_of(static.in_row_sums(), code)
    border = Border(code, static.axes, static.sources, (most, middle.targets, last.targets))
    begin = numbers.whole(given.begin, first.targets)

    def example(t: ir.Value) -> None:
        e = numbers.plus(begin, t)
        start = numbers.times(e, first.targets)
        low = numbers.greatest(numbers.minus(given.begin, start), 0)
        high = numbers.least(numbers.minus(given.end, start), first.targets)
        image = code.move(given.source, e, static.example)

        def chunk(c: ir.Value) -> None:
            row = numbers.plus(low, numbers.times(c, most))
            count = numbers.least(numbers.minus(high, row), most)
            border.fill(image, ((row, count), (0, middle.targets), (0, last.targets)))
            done = numbers.minus(numbers.plus(start, row), given.begin)
            target = code.move(given.target, done, static.target_row)
            write(replace(given, source=border.memory, target=target, begin=0, end=count))

        code.each(numbers.shares(numbers.minus(high, low), most), chunk)

    code.each(numbers.minus(numbers.shares(given.end, first.targets), begin), example)


def panels_of(static: Correlation, code: RowCode) -> Callable[[Operands], None]:
    """What writes the code of all panels on given rows; called in a function's first block."""
    copied = [panels for panels in static.panels if static.copied(panels)]
    size = max((static.blocks(panels)[0] * static.near(panels).first for panels in copied), default=0)
    scratch = stack_memory(code, size)

    def write(operands: Operands) -> None:
        for panels in static.panels:
            rows = RowCode(code.builder, static.dtype, panels.vectors, static.fold)
            CorrelationPanel(static, panels, rows, operands, scratch if panels in copied else None).write()

    return write
