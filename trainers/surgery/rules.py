"""Conflict rules: from the inner products of a training and an oracle gradient to the weights of their combination."""

from collections.abc import Callable

# From g·g_o, |g|² and |g_o|² to the weights of g and of g_o in the gradient that the optimizer takes.
Rule = Callable[[float, float, float], tuple[float, float]]


def surgery(dot: float, square: float, oracle_square: float) -> tuple[float, float]:
    """Eq. 1 of Xu and Murray (2022): what conflicts with the oracle gradient is removed, and nothing is added."""
    return (1.0, -dot / oracle_square) if dot < 0.0 else (1.0, 0.0)


def pcgrad(dot: float, square: float, oracle_square: float) -> tuple[float, float]:
    """PCGrad (Yu et al. 2020, Algorithm 1) over the two, from torchjd: each loses its conflict, then they are added."""
    import torch
    from torchjd.aggregation import PCGradWeighting

    gramian = torch.tensor([[square, dot], [dot, oracle_square]], dtype=torch.float64)
    weight, oracle_weight = PCGradWeighting()(gramian).tolist()
    return weight, oracle_weight
