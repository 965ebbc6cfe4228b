"""Floating-point operations of networks, counted while they run."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and matrix products that `work` makes, forward and backward.

    A multiplication with its addition counts as two. Normalisations, activations, resizing and all that is no product are
    left out, as is usual: they are some per cent. The number follows from shapes alone, on every machine alike.

    Parameters
    ----------
    work
        Called once. What it does with networks must be done by torch, in this process.
    """
    products: dict[Any, Any] = {torch.ops.aten.convolution_backward: _convolution_backward}
    counter: Any = FlopCounterMode(display=False, custom_mapping=products)
    counter.mod_tracker = _NoModules()
    # Attention is written out: torch's counter does not know the CPU's fused kernel.
    with sdpa_kernel(SDPBackend.MATH), counter:
        work()
    return counter.get_total_flops()


class _NoModules(nullcontext):
    """In place of what attributes operations to modules, which fails where a gradient is part of a loss."""

    parents = ("Global",)


def _convolution_backward(
    slope: Sequence[int],
    inputs: Sequence[int],
    weight: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: Sequence[bool],
    **_: Any,
) -> int:
    """Each of the two gradients takes what the forward pass does; torch's own formula counts those of groups too often."""
    return sum(wanted[:2]) * conv_flop_count(list(inputs), list(weight), list(slope), transposed)
