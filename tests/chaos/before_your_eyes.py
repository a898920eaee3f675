"""The sample experiment (ner), with `kill -9` of each process in turn; then undisturbed: the scores are equal.

`python tests/chaos/before_your_eyes.py`: six to ten minutes on two cores.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pandas as pd
import psutil

from service.client import Client
from service.store.states import FINAL

VICTIMS = {
    "a trial's worker": "ray::ImplicitFunc",
    "the driver": "service.engine.driver",
    "the pool": "service.engine.pool",
    "Ray's head": "gcs/gcs_server",
    "Ray's raylet": "raylet/raylet",
    "the API server, and the supervisor in it": "service.cli serve",
}


def main() -> None:
    """Run it twice, and compare."""
    with tempfile.TemporaryDirectory(prefix="eyes-", dir="/tmp") as folder:
        struck = run(Path(folder) / "struck", list(VICTIMS))
        undisturbed = run(Path(folder) / "undisturbed", [])
    pd.testing.assert_frame_equal(struck, undisturbed)
    print(f"\nall {len(struck)} scores of the two runs are equal, to the last bit")


def run(home: Path, victims: list[str]) -> pd.DataFrame:
    """The experiment's scores; one victim is killed each time it has got on a little."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server, client = serve(home, port), Client(f"http://127.0.0.1:{port}")
    try:
        id_ = client.submit({}, preset="sample")
        print(f"\n{id_}: the sample experiment, {len(victims)} processes to be killed", flush=True)
        threading.Thread(target=tell, args=(client, id_), daemon=True).start()
        reached = 0.0
        while (experiment := client.experiment(id_))["state"] not in FINAL:
            if victims and experiment["progress"] > reached and (found := processes(home, VICTIMS[victims[0]])):
                print(f"        kill -9 {found[0].pid}: {victims[0]}", flush=True)
                found[0].kill()
                if server.poll() is not None or VICTIMS[victims[0]] == "service.cli serve":
                    server.wait()
                    server = serve(home, port)
                victims = victims[1:]
                reached = client.experiment(id_)["progress"] + 0.1
            time.sleep(0.5)
        assert experiment["state"] == "succeeded", experiment["reason"]
        assert not victims, f"over before these could be killed: {victims}"
        print(client.table(id_).to_string(float_format="{:.1f}".format))
        wanted = ["trial", "method", "k", "seed", "language", "split", "epoch", "value"]
        return client.results(id_)[wanted].sort_values(wanted, ignore_index=True)
    finally:
        server.terminate()
        server.wait()


def serve(home: Path, port: int) -> "subprocess.Popen[bytes]":
    """A server that answers."""
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
    environment = {**os.environ, "ALLASPRAK_HOME": str(home), "ALLASPRAK_CHECKPOINT_SECONDS": "5"}
    with (home / "server.log").open("ab") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    while not Client(f"http://127.0.0.1:{port}").is_up():
        assert server.poll() is None, (home / "server.log").read_text()
        time.sleep(0.2)
    return server


def processes(home: Path, words: str) -> list[psutil.Process]:
    """The service's processes whose command line has these words."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        known = process.info
        if words in " ".join(known["cmdline"] or []) and (known["environ"] or {}).get("ALLASPRAK_HOME") == str(home):
            found.append(process)
    return found


def tell(client: Client, id_: str) -> None:
    """Print what happens, but for epochs."""
    begin = time.monotonic()
    for event in client.events(id_):
        if not event.get("epoch"):
            what = f"{event['event']} {event.get('trial', '')}".strip()
            reason = f" ({event['reason']})" if event.get("reason") else ""
            print(f"{time.monotonic() - begin:6.0f} s {what}: {event['state']}{reason}", flush=True)


if __name__ == "__main__":
    main()
