"""Forward and backward passes on a GPU, recorded once for each shape of a batch and replayed from then on.

The kernels of a batch of sentences take less time than Python takes to start them one by one: a pass of XLM-R base over
32 windows of 64 tokens took 62 ms, and 10 ms replayed (docs/benchmarks.md). A CUDA graph has the same kernels on the
same numbers, and dropout goes on in the same random stream: so recorded passes have the bits of others, except that
transformers leaves out the mask of a batch without padding only where nothing is recorded. docs/benchmarks.md has
what was seen of that
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from trainers.training.batches import Batch

log = logging.getLogger(__name__)

Of = Literal["training", "oracle"]

# A forward and backward pass: the batch and a factor of its mean loss, to their product, detached.
Pass = Callable[[Batch, Any], Tensor]

# A training of fewer updates ends before its recordings have paid, each of which takes as long as some passes.
LEAST_UPDATES = 30


@dataclass(frozen=True, kw_only=True)
class _Recording:
    """A graph, and the tensors that it reads and writes."""

    graph: Any
    batch: Batch
    factor: Tensor
    loss: Tensor


class RecordedPasses:
    """Runs passes by replaying them. Gradients are added up in tensors of our own, as a graph writes where it did.

    Args:
        run: a pass, which adds to the parameters' gradients.
        parameters: those that are trained, on one GPU.
    """

    def __init__(self, run: Pass, parameters: Iterable[Tensor]) -> None:
        self._run, self._parameters = run, list(parameters)
        self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._gradients: dict[Of, list[Tensor | None]] = {}
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        self._is_refused = False

    def __call__(self, batch: Batch, factor: float, of: Of) -> Tensor:
        """Run a pass over a batch on the device.

        Args:
            batch: of any shape; few different ones, since each is recorded.
            factor: of its mean loss.
            of: whose gradients are added up.

        Returns:
            The product of factor and mean loss.
        """
        if self._is_refused:
            return self._run(batch, factor)
        key = (of, *((name, tensor.shape, tensor.dtype) for name, tensor in batch.items()))
        if key not in self._recordings:
            try:
                self._recordings[key] = self._recorded(batch, factor, of)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                log.warning("passes are not recorded, as the model does more than a CUDA graph can: %s", error)
                self._is_refused = True
                return self._run(batch, factor)
        recording = self._recordings[key]
        self._add_up_in(self._gradients[of])
        for name, tensor in batch.items():
            recording.batch[name].copy_(tensor)
        recording.factor.fill_(factor)
        recording.graph.replay()
        return recording.loss.clone()

    def _add_up_in(self, gradients: list[Tensor | None]) -> None:
        """Let the parameters have these gradients, 0 at first."""
        fresh = [
            (parameter, gradient)
            for parameter, gradient in zip(self._parameters, gradients, strict=True)
            if gradient is not None and parameter.grad is not gradient
        ]
        if fresh:
            torch._foreach_zero_([gradient for _, gradient in fresh])
        for parameter, gradient in fresh:
            parameter.grad = gradient

    def _recorded(self, batch: Batch, factor: float, of: Of) -> _Recording:
        """Record a pass, which leaves gradients and random state as they were."""
        mine = {name: tensor.clone() for name, tensor in batch.items()}
        of_loss = torch.tensor(factor, device=self._parameters[0].device)
        gradients, state = [parameter.grad for parameter in self._parameters], torch.cuda.get_rng_state()
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            self._stream.wait_stream(stream)
            with torch.cuda.stream(self._stream):
                self._set([None] * len(self._parameters))
                self._run(mine, of_loss)  # loads kernels, and finds the parameters that have a gradient
                if of not in self._gradients:
                    self._gradients[of] = [
                        None if parameter.grad is None else torch.zeros_like(parameter.grad)
                        for parameter in self._parameters
                    ]
                self._set(self._gradients[of])
            stream.wait_stream(self._stream)
            # thread_local: other threads of this process may wait for the device meanwhile
            with torch.cuda.graph(graph, self._pool, self._stream, "thread_local"):
                loss = self._run(mine, of_loss)
        except RuntimeError:  # a recording that fails leaves the stream and the random generator as they are within
            torch.cuda.set_stream(stream)
            fresh = torch.Generator(device=stream.device)
            torch.cuda.default_generators[stream.device.index].graphsafe_set_state(fresh.graphsafe_get_state())
            raise
        finally:
            self._set(gradients)
            torch.cuda.set_rng_state(state)
        return _Recording(graph=graph, batch=mine, factor=of_loss, loss=loss)

    def _set(self, gradients: list[Tensor | None]) -> None:
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
