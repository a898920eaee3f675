"""An S3 server on loopback, moto's, whose connection can be lost."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator

from moto.server import ThreadedMotoServer
from pyarrow import fs

BUCKET = "artifacts"

HERE = "127.0.0.1"


class S3Server:
    """Has one bucket, `BUCKET`, in memory.

    Attributes:
        environment: the variables by which it is found and used.
    """

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
        self._moto = ThreadedMotoServer(HERE, 0, verbose=False)
        self._moto.start()
        self._relay = Relay(self._moto.get_host_and_port()[1])
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{HERE}:{self._relay.port}",
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "hidden",
            "AWS_REGION": "eu-north-1",
            "AWS_DEFAULT_REGION": "eu-north-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def make_bucket(self) -> None:
        """Make the bucket, with `environment` set."""
        fs.FileSystem.from_uri(f"s3://{BUCKET}?allow_bucket_creation=true")[0].create_dir(BUCKET)

    def keys(self, url: str) -> dict[str, int]:
        """The names of all objects below a URL, without those that stand for folders, and their bytes."""
        store, root = fs.FileSystem.from_uri(url)
        found = store.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
        return {one.path.removeprefix(f"{root}/"): one.size for one in found if one.type == fs.FileType.File}

    def lose(self) -> None:
        """Break all connections, and refuse others."""
        self._relay.cut()

    def find(self) -> None:
        """Be there again, with all that it had."""
        self._relay.mend()

    @contextlib.contextmanager
    def lost(self) -> Iterator[None]:
        """Lost as long as the block lasts."""
        self.lose()
        try:
            yield
        finally:
            self.find()

    def close(self) -> None:
        """End for good."""
        self._relay.cut()
        self._moto.stop()


class Relay:
    """Hands connections on to a port of this machine, until it is cut."""

    def __init__(self, target: int) -> None:
        self._target, self.port = target, 0
        self._lock, self._open = threading.Lock(), set[socket.socket]()
        self._listening: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        """Listen."""
        if self._listening is None:
            self._listening = socket.create_server((HERE, self.port))
            self.port = self._listening.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """Listen no more, and break what is open."""
        with self._lock:
            listening, self._listening = self._listening, None
            for one in (*self._open, *([listening] if listening is not None else [])):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it
                one.close()
            self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection((HERE, self._target))
                with self._lock:
                    if self._listening is not listening:
                        near.close()
                        far.close()
                        return
                    self._open |= {near, far}
                threading.Thread(target=self._hand_on, args=(near, far), daemon=True).start()

    def _hand_on(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}
            near.close()
            far.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(2**16):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
