"""The server's process: what it starts, in which order, and how all of it ends."""

import gc
import logging
import re
import signal
import socket
import sys
import threading
from contextlib import closing
from types import FrameType
from typing import NoReturn

import uvicorn
from pythonjsonlogger.json import JsonFormatter

from search_spaces.environment import Environment
from service.api import create_app
from service.api.downloads import sweep
from service.api.metrics import STORE_SECONDS
from service.engine.supervisor import Supervisor
from service.owner import make_private
from service.protocol import Connection
from service.security import is_loopback
from service.settings import Settings
from service.store import Store
from service.store.tokens import PREFIX
from service.web import add_pages
from trainers import memory
from trainers.artifacts.places import NO_PATIENCE, place_of
from trainers.encoders import examiner

# Seconds that a stopping server leaves to open requests and streams, and in which it has ended, whatever it is at.
STREAM_SECONDS, STOP_SECONDS = 1, 14

# Connections that wait to be accepted, as in uvicorn.
BACKLOG = 2048

# The service takes no token there, but somebody may send one, and is led to sign in with the address as a parameter.
IN_ADDRESS = re.compile(r"((?:[?&]|%3f|%26)(?:access_)?token(?:=|%3d))(?:(?!%26)[^&\s])+", re.IGNORECASE)

# How long Python runs one thread of a server while others wait (5 ms by default): an answer takes dozens of turns.
SWITCH_SECONDS = 0.0005

# Collections of the second generation for one of all objects (10 by default), which holds all threads: with three plans
# of 8,000 trials at work, for half a second.
SECOND_FOR_ALL = 1000

# All are collected so often where that is quick. Without it, what answers leave behind grew by 38 MB in half an hour.
COLLECT_SECONDS = 60.0


def serve(host: str, port: int) -> NoReturn:
    """Serve until a signal.

    Args:
        host: where to listen.
        port: 0 for any that is free.

    Raises:
        ValueError: the host is more than this machine, and there is no token; that of the settings is one by name; or
            artifacts cannot be written.
        OSError: there can be no listening there.
        RuntimeError: the web server or the supervisor has ended.
    """
    memory.share_heaps()
    keep_threads_short()
    settings = Settings.from_environment()
    require_token(host, settings)
    lines = Lines(sys.stdout)
    lines.setFormatter(JsonFormatter(["asctime", "levelname", "name", "message"]))
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    logging.getLogger("uvicorn.access").addFilter(_loggable)
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _exit)
    listening = _listen(host, port)  # before anything is started: the port may be taken
    make_private(settings.home)
    check_artifacts(settings)
    store = Store(settings.database_url, lambda what, took: STORE_SECONDS.labels(what).observe(took), leased=True)

    def environment() -> Environment:
        pool = supervisor.pool
        return Environment(settings.home, settings.data_root, pool.cpus, pool.gpus, pool.memory, settings.artifacts)

    app = create_app(store, environment, settings.token, always_asks=not is_loopback(host))
    add_pages(app)
    server = uvicorn.Server(
        uvicorn.Config(app, http=Connection, ws="none", log_config=None, timeout_graceful_shutdown=STREAM_SECONDS)
    )
    # a daemon, as are the threads of its requests: a plan that is being computed cannot be told to end
    serving = threading.Thread(target=server.run, args=([listening],), name="server", daemon=True)
    supervisor = Supervisor(settings, store)
    try:
        sweep(settings.home)  # the supervisor holds the home: no other server uses what is left there
        supervisor.start()
        if not store.control.drivers():  # its imports take a core for seconds, which trials that go on need
            examiner.start()
        app.openapi()  # or the first request would wait for it
        frozen = memory.freeze()
        serving.start()
        logging.getLogger(__name__).info("the service is at %s", _address(listening))
        while serving.is_alive():  # until a signal
            serving.join(COLLECT_SECONDS)
            memory.collect(frozen)
        raise RuntimeError("the web server has ended; its log says why")
    finally:
        # stopping takes seconds, and must not be stopped
        for repeated in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(repeated, signal.SIG_IGN)
        signal.alarm(STOP_SECONDS)  # the kernel ends a server that hangs; the next one takes over
        server.should_exit = True
        if serving.is_alive():
            serving.join(STREAM_SECONDS + 0.5)
        examiner.stop()
        supervisor.close()
        store.close()
        if supervisor.lost is not None:
            raise supervisor.lost


def check_artifacts(settings: Settings) -> None:
    """See that the place of artifacts can be used. ValueError names the setting, and what was answered."""
    if settings.artifacts is None:
        return
    try:
        place_of(settings, NO_PATIENCE).check()
    except OSError as error:
        raise ValueError(f"ALLASPRAK_ARTIFACTS is {settings.artifacts!r}, which cannot be used: {error}") from error


def require_token(host: str, settings: Settings) -> None:
    """ValueError if a service that others than this machine can ask would have no token, or a wrong one."""
    if settings.token is not None:
        if settings.token.startswith(PREFIX):  # whatever it may do by its name, it would do everything
            raise ValueError("ALLASPRAK_TOKEN(_FILE) is a token by name, which clients have; allowed: one of your own")
        return
    if not is_loopback(host) and not _has_tokens(settings):
        allowed = "set ALLASPRAK_TOKEN(_FILE) first, or `allasprak token add NAME`"
        raise ValueError(f"--host {host} is more than this machine: {allowed}")


def _has_tokens(settings: Settings) -> bool:
    """Whether there is a valid token by name; no database is made to know it."""
    try:
        settings.existing_database()
    except ValueError:
        return False
    with closing(Store(settings.database_url, leased=True)) as store:
        return any(one.revoked is None for one in store.tokens.all())


def _loggable(record: logging.LogRecord) -> bool:
    """Has no request logged that a machine sends every few seconds, nor a token that is sent in an address."""
    if isinstance(record.args, tuple):
        record.args = tuple(IN_ADDRESS.sub(r"\1...", one) if isinstance(one, str) else one for one in record.args)
    return "/healthz" not in record.getMessage()


class Lines(logging.StreamHandler):  # type: ignore[type-arg]
    """Lines on standard output, as long as somebody reads it; the service goes on without."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say on standard error what is wrong with a line, but not that nobody reads, or that a disk is full."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def keep_threads_short() -> None:
    """Let a request that takes a millisecond be answered beside plans that take seconds."""
    sys.setswitchinterval(SWITCH_SECONDS)
    first, second, _ = gc.get_threshold()
    gc.set_threshold(first, second, SECOND_FOR_ALL)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, TypeError, UnicodeError) as error:  # the latter two of a name that none can have
        why = str(getattr(error, "strerror", None) or error).partition(" (while attempting")[0]
        raise OSError(f"--host {host} --port {port}: {why}") from error


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
