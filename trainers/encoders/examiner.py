"""Asks a process that has imported torch and transformers, which takes seconds and is not for a server.

It answers at once when it has started, and ends with this process (`trainers.encoders.architecture`).
"""

import json
import os
import subprocess
from contextlib import suppress
from functools import lru_cache
from threading import Lock, Timer

from trainers.child_process import python
from trainers.encoders.encoder import EncoderError

# Seconds that an answer may take, with the imports.
PATIENCE = 60.0

# It reads the encoder's files and nothing else: no network, no GPU. It takes one core.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0",
    "PYTHONWARNINGS": "ignore",
}  # fmt: skip


class ExaminerStoppedError(RuntimeError):
    """The process was stopped, which says nothing of an encoder."""


def start() -> None:
    """Start the process, which the first question does otherwise."""
    _EXAMINER.start()


def stop() -> None:
    """End the process, whatever it does."""
    _EXAMINER.stop()


@lru_cache(maxsize=64)
def ask(question: str) -> str:
    """What keeps an encoder from being trained; empty if nothing does.

    Args:
        question: the JSON object that `trainers.encoders.architecture` reads.

    Raises:
        EncoderError: there is no answer.
        ExaminerStoppedError: since the process was stopped.
    """
    return _EXAMINER.ask(question)


class _Examiner:
    """The process, which answers one question at a time."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.process: subprocess.Popen[str] | None = None
        self.is_stopped = False

    def start(self) -> None:
        """Start it."""
        self.is_stopped = False
        with self.lock:
            self._running()

    def stop(self) -> None:
        """End it."""
        self.is_stopped = True
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, question: str) -> str:
        """The answer. EncoderError: the process died or took too long; ExaminerStoppedError: it was stopped."""
        with self.lock:
            answer = "" if self.is_stopped else _answer(self._running(), question)
        if self.is_stopped:
            raise ExaminerStoppedError("the examiner of encoders was stopped")
        if not answer:
            raise EncoderError(
                f"it could not be examined within {PATIENCE:.0f} s, or within the memory that there is: are the sizes"
                " in its config.json right?"
            )
        return str(json.loads(answer))

    def _running(self) -> "subprocess.Popen[str]":
        """The process, or another if it has died."""
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                python("trainers.encoders.architecture"),
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        return self.process


def _answer(process: "subprocess.Popen[str]", question: str) -> str:
    """The line that answers; none if the process has ended, or takes too long and is killed."""
    assert process.stdin is not None
    assert process.stdout is not None
    timer = Timer(PATIENCE, process.kill)
    timer.start()
    try:
        process.stdin.write(f"{question}\n")
        process.stdin.flush()
        return process.stdout.readline()
    except BrokenPipeError:
        with suppress(BrokenPipeError):
            process.stdin.close()  # what is left of the question
        return ""
    finally:
        timer.cancel()


_EXAMINER = _Examiner()
