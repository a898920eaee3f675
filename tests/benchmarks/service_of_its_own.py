"""A service in a process of its own, with a new home, for benchmarks that submit experiments."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from side_by_side import SHARED_DATA, offline_encoder

from service.client import Client


@contextmanager
def service_of_its_own(encoders: Path) -> Iterator[Client]:
    """A client of it; the offline encoder is taken from another home, and data are read from those of the tests."""
    encoder = offline_encoder(encoders)
    with tempfile.TemporaryDirectory(prefix="service-", dir="/tmp") as folder, socket.socket() as probe:
        home = Path(folder) / "home"
        (home / "encoders").mkdir(parents=True)
        (home / "encoders" / encoder.name).symlink_to(encoder, target_is_directory=True)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        server = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", str(port)],
            env={**os.environ, "ALLASPRAK_HOME": str(home), "ALLASPRAK_DATA_ROOT": str(SHARED_DATA.parent)},
            stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            client = Client(f"http://127.0.0.1:{port}")
            while not client.is_up():
                if server.poll() is not None:
                    raise RuntimeError("the service did not start")
                time.sleep(0.2)
            yield client
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
