"""Training on the card: steps, surgery against its bound, the price of determinism, what a part costs, memory."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from side_by_side import Spread, ratio
from steps import ROWS, SHOTS

from tests.benchmarks.gpu.card import peak
from tests.benchmarks.gpu.section import PRECISIONS, Bench, Cell, Row, median, precision
from tests.benchmarks.gpu.subjects import MAX_LENGTH, Windows, flops, layers_parameters, loop, mixed_lengths, shape
from trainers import memory
from trainers.training.loop import Loop

# Lengths of the windows of a batch: what most sentences have, the paper's limit, and a mixture.
LENGTHS = ("32", "128", "mixed")
BATCHES = (8, 16, 32, 64)
BYTES_OF_A_STEP = 40  # per parameter: as the estimate counts (search_spaces/cost/timing.py)

# Rows and lengths of the parts that the cost of a part is fitted on.
PARTS = ((1, 16), (4, 16), (8, 32), (16, 32), (32, 32), (16, 128), (32, 128), (64, 128))


def sizes(bench: Bench) -> Sequence[str]:
    """XLM-R's; one of them is enough to try the benchmark out."""
    return ("base",) if bench.quick else ("base", "large")


def rounds(name: str) -> int:
    """Fewer of what takes long."""
    return 5 if name == "fp32" else 8


def windows_of(lengths: str, bench: Bench) -> list[int]:
    """Lengths of a batch and the shots behind it."""
    number = ROWS + SHOTS
    return (
        mixed_lengths(number, bench.quick)
        if lengths == "mixed"
        else [int(lengths) // (8 if bench.quick else 1)] * number
    )


def steps(bench: Bench) -> Iterator[Row]:
    """A plain step, one on as many more windows as an oracle pass has, and one with surgery, in turn."""
    # the rows that most trainings have come first, for the case that time runs out
    settings = [(size, True, lengths) for size in sizes(bench) for lengths in LENGTHS]
    settings += [(size, False, "128") for size in sizes(bench)]
    for name in PRECISIONS:
        for size, trimmed, lengths in settings:
            if bench.time_is_up:
                return
            yield _step(bench, size, trimmed, lengths, name)


def _step(bench: Bench, size: str, trimmed: bool, lengths: str, name: str) -> Row:
    of, all_lengths = shape(size, trimmed, bench.quick), windows_of(lengths, bench)
    batch, bound = range(ROWS), range(ROWS + SHOTS)
    windows = Windows.of(of, all_lengths, bench.device)
    with precision(name):
        plain, operated = loop(of, windows, name, ROWS + SHOTS), loop(of, windows, name, ROWS, surgery=True)
        found = bench.in_turn(
            {
                "plain": partial(plain._update, batch),
                "bound": partial(plain._update, bound),
                "surgery": partial(operated._update, batch),
                "free": _without_determinism(partial(plain._update, batch)),
            },
            rounds=rounds(name),
        )
    seconds, parameters = median(found["plain"]), sum(one.numel() for one in plain.model.parameters())
    parts = len(plain._parts(batch))
    del plain, operated
    memory.release()
    to_bound, to_free = ratio(found["surgery"], found["bound"]), ratio(found["plain"], found["free"])
    return {
        "encoder": of.name,
        "parameters": parameters,
        "precision": name,
        "lengths": lengths,
        "parts": parts,
        "plain ms": 1000 * seconds,
        "windows/s": ROWS / seconds,
        "tokens/s": sum(all_lengths[:ROWS]) / seconds,
        "share of peak": flops(of, all_lengths[:ROWS]) / seconds / peak(bench, name),
        "bound ms": 1000 * median(found["bound"]),
        "surgery ms": 1000 * median(found["surgery"]),
        **spread("surgery / bound", to_bound),
        **spread("deterministic / not", to_free),
    }


def spread(name: str, found: Spread) -> dict[str, Cell]:
    """Median and quartiles as cells."""
    return {name: found.median, f"{name}, quartiles": f"{found.low:.3f} to {found.high:.3f}"}


def _without_determinism(do: Callable[[], object]) -> Callable[[], None]:
    def done() -> None:
        torch.use_deterministic_algorithms(False)
        try:
            do()
        finally:
            torch.use_deterministic_algorithms(True)

    return done


def costs(bench: Bench) -> Iterator[Row]:
    """What the estimate and the division of batches assume: seconds of a part by its tokens, and of an update."""
    for name in PRECISIONS:
        for size in sizes(bench):
            if bench.time_is_up:
                return
            yield _cost(bench, size, name)


def _cost(bench: Bench, size: str, name: str) -> Row:
    of = shape(size, quick=bench.quick)
    parts = [(rows, length // 4) for rows, length in PARTS[:4]] if bench.quick else list(PARTS)
    lengths = [length for rows, length in parts for _ in range(rows)]
    windows = Windows.of(of, lengths, bench.device)
    with precision(name):
        made = loop(of, windows, name, max(rows for rows, _ in parts))
        alternatives: dict[str, Callable[[], object]] = {}
        first = 0
        for rows, length in parts:
            alternatives[f"{rows} of {length}"] = partial(made._backward, range(first, first + rows), 1.0, "training")
            first += rows
        found = bench.in_turn(alternatives, rounds(name))
        update = bench.in_turn({"update": partial(_rest_of_an_update, made)})["update"]
    parameters = sum(one.numel() for one in made.model.parameters())
    del made, alternatives
    memory.release()
    tokens = [rows * length for rows, length in parts]
    seconds = [median(one) for one in found.values()]
    of_part, of_token, misfit = fitted(tokens, seconds)
    slope = (seconds[-1] - seconds[-2]) / (tokens[-1] - tokens[-2])
    return {
        "encoder": of.name,
        "precision": name,
        "part ms": 1000 * of_part,
        "token us": 1e6 * of_token,
        "part / token": of_part / of_token if of_token else None,
        "misfit": misfit,
        "smallest part / token of the largest": seconds[0] / slope if slope > 0 else None,
        "seconds_of_a_layer": of_part / of.layers,
        "flops": 6 * layers_parameters(of) / of_token if of_token else None,
        "update ms": 1000 * median(update),
        "bytes_per_second": BYTES_OF_A_STEP * parameters / median(update),
        "by part, ms": ", ".join(f"{part} {1000 * one:.2f}" for part, one in zip(found, seconds, strict=True)),
    }


def _rest_of_an_update(of: Loop) -> None:
    """Clipping and AdamW; the gradients stay."""
    torch.nn.utils.clip_grad_norm_(of.model.parameters(), 1.0)
    of.optimizer.step()


def fitted(tokens: Sequence[int], seconds: Sequence[float]) -> tuple[float, float, float]:
    """Seconds of a part and of a token, neither below 0, by least squares of the relative error; the largest error."""
    times = np.array(seconds)
    columns = np.stack([np.ones(len(times)), np.array(tokens)], axis=1) / times[:, None]
    ones = np.ones(len(times))
    whole = np.linalg.lstsq(columns, ones)[0]
    if whole.min() < 0:  # then one of them alone, the better one
        alone = [np.eye(2)[place] * (column @ ones) / (column @ column) for place, column in enumerate(columns.T)]
        whole = min(alone, key=lambda found: float(np.square(columns @ found - 1).sum()))
    return float(whole[0]), float(whole[1]), float(np.abs(columns @ whole - 1).max())


def memories(bench: Bench) -> Iterator[Row]:
    """Peak memory by batch size at 128 tokens, and what surgery needs beyond it."""
    for trimmed, name in ((True, "bf16"), (True, "fp32"), (False, "bf16")):
        for size in sizes(bench):
            if bench.time_is_up:
                return
            yield _memory(bench, size, trimmed, name)


def _memory(bench: Bench, size: str, trimmed: bool, name: str) -> Row:
    of = shape(size, trimmed, bench.quick)
    length = 8 if bench.quick else MAX_LENGTH
    windows = Windows.of(of, [length] * (BATCHES[-1] + SHOTS), bench.device)
    plain = loop(of, windows, name, BATCHES[-1])
    parameters = sum(one.numel() * one.element_size() for one in plain.model.parameters())
    peaks = {f"{rows} windows, GB": _peak(bench, partial(plain._update, range(rows))) for rows in BATCHES}
    del plain
    memory.release()
    operated = loop(of, windows, name, ROWS, surgery=True)
    with_surgery = _peak(bench, partial(operated._update, range(ROWS)))
    del operated
    memory.release()
    without = peaks[f"{ROWS} windows, GB"]
    known = with_surgery is not None and without is not None
    return {
        "encoder": of.name,
        "precision": name,
        "parameters, GB": parameters / 1e9,
        **peaks,
        f"surgery, {ROWS} windows, GB": with_surgery,
        "surgery beyond / parameters": (with_surgery - without) * 1e9 / parameters if known else None,  # type: ignore[operator]
    }


def _peak(bench: Bench, update: Callable[[], object]) -> float | None:
    """GB that were allocated at the peak of the second of two updates; None if they do not fit, or on a CPU."""
    try:
        update()
        if bench.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        update()
    except torch.OutOfMemoryError:
        memory.release()
        return None
    return torch.cuda.max_memory_allocated() / 1e9 if bench.device == "cuda" else None
