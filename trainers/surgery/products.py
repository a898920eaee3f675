"""Inner products and weighted sums of two gradients that are spread over many tensors, at any scale of either.

On a CPU the oracle gradient of a table may be sparse, with each row once (`trainers.surgery.sparse`).
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainers.surgery.rules import Gramian

# Elements whose products are summed in float32 before they go on in float64: enough to keep the interpreter out of the
# way, little enough to be exact to 1e-7.
BLOCK = 1 << 16

# The same where every block costs kernel launches instead: small tensors are copied into one.
ACCELERATOR_BLOCK = 1 << 24

# Below it a sum of squares in float32 may have lost terms that are too small for it.
SMALLEST_SQUARE = 1e-24

# Weights that float32 holds with all their digits.
SMALLEST, LARGEST = 1e-37, 1e37


def inner_products(pairs: Sequence[tuple[Tensor, Tensor]]) -> Gramian:
    """g·g_o, |g|² and |g_o|² over all pairs (part of g, part of g_o) as one vector, to about 1e-7 of |g| |g_o|.

    Block by block in float32 and over the blocks in float64: one float32 reduction over 2e8 elements is off by
    percents on a CPU. Where squares leave float32's range, everything is in float64.
    """
    found = _sums(pairs, torch.float32)
    if not all(map(math.isfinite, found)) or min(found[1:]) <= SMALLEST_SQUARE:
        found = _sums(pairs, torch.float64)
    dot, square, oracle_square = found
    return Gramian(dot=dot, square=square, oracle_square=oracle_square)


def _sums(pairs: Sequence[tuple[Tensor, Tensor]], dtype: torch.dtype) -> tuple[float, float, float]:
    """The three products, each block's in `dtype` or the tensors' own where that is finer."""
    on_cpu = [0.0, 0.0, 0.0]
    elsewhere: dict[torch.device, list[Tensor]] = {}
    for g, o in _blocks([pair for pair in pairs if not pair[1].is_sparse]):
        finer = torch.promote_types(g.dtype, dtype)
        g, o = g.to(finer), o.to(finer)
        products = (g.dot(o), g.dot(g), o.dot(o))
        if g.is_cpu:
            on_cpu = [total + product.item() for total, product in zip(on_cpu, products, strict=True)]
        else:  # one at a time would wait for the device each time
            elsewhere.setdefault(g.device, []).extend(products)
    totals = [torch.stack(parts).double().view(-1, 3).sum(0).tolist() for parts in elsewhere.values()]
    totals += [_sums_of_table(*pair, dtype) for pair in pairs if pair[1].is_sparse]
    dot, square, oracle_square = (sum(parts) for parts in zip(on_cpu, *totals, strict=True))
    return dot, square, oracle_square


def _sums_of_table(gradient: Tensor, oracle_gradient: Tensor, dtype: torch.dtype) -> list[float]:
    """The three products with a sparse oracle gradient: its rows alone meet those of g, and all of g's are in |g|²."""
    dot, _, oracle_square = _sums([(gradient[oracle_gradient.indices()[0]], oracle_gradient.values())], dtype)
    finer = torch.promote_types(gradient.dtype, dtype)
    blocks = (block.to(finer) for block in torch.split(gradient.detach().reshape(-1), BLOCK))
    return [dot, sum(block.dot(block).item() for block in blocks), oracle_square]


def _blocks(pairs: Sequence[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The pairs in flat blocks; elsewhere than on a CPU of several small tensors together."""
    small: dict[tuple[torch.device, torch.dtype, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
    for gradient, oracle_gradient in pairs:
        flat, oracle_flat = gradient.detach().reshape(-1), oracle_gradient.detach().reshape(-1)
        if flat.is_cpu:
            yield from zip(torch.split(flat, BLOCK), torch.split(oracle_flat, BLOCK), strict=True)
            continue
        if flat.numel() >= ACCELERATOR_BLOCK:
            yield from zip(
                torch.split(flat, ACCELERATOR_BLOCK), torch.split(oracle_flat, ACCELERATOR_BLOCK), strict=True
            )
            continue
        block = small.setdefault((flat.device, flat.dtype, oracle_flat.dtype), [])
        block.append((flat, oracle_flat))
        if sum(len(one) for one, _ in block) >= ACCELERATOR_BLOCK:
            yield _joined(block)
            block.clear()
    yield from map(_joined, filter(None, small.values()))


def _joined(block: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([g for g, _ in block]), torch.cat([o for _, o in block])


def combine(pairs: Sequence[tuple[Tensor, Tensor]], weight: float, oracle_weight: float) -> None:
    """g <- weight g + oracle_weight g_o in place, for all pairs (part of g, part of g_o)."""
    if weight != 0.0 and not SMALLEST < abs(weight) < LARGEST:
        for gradient, oracle_gradient in pairs:  # the sum is in range though the weight is not
            gradient.copy_(weight * gradient.double() + oracle_weight * oracle_gradient.to_dense().double())
        return
    if weight != 1.0:
        torch._foreach_mul_([g for g, _ in pairs], weight)
    if oracle_weight == 0.0:
        return
    if SMALLEST < abs(oracle_weight) < LARGEST:
        dense = [(g, o) for g, o in pairs if not o.is_sparse]
        if dense:
            torch._foreach_add_([g for g, _ in dense], [o for _, o in dense], alpha=oracle_weight)
        for gradient, oracle_gradient in pairs:
            if oracle_gradient.is_sparse:
                gradient.index_add_(0, oracle_gradient.indices()[0], oracle_gradient.values(), alpha=oracle_weight)
        return
    for gradient, oracle_gradient in pairs:  # the product is in range though the weight is not
        gradient += (oracle_gradient.to_dense().double() * oracle_weight).to(gradient.dtype)
