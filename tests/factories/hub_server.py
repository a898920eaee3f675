"""A Hugging Face hub of our own on loopback, as `huggingface_hub` and `datasets` ask it, and plain files beside it.

    with Hub({"datasets/facebook/xnli": Repository({"README.md": "..."}), "models/x/y": Repository(folder)}) as hub:
        subprocess.run([...], env=os.environ | hub.environment(home))

It answers with the hub's paths, headers and error codes: repository info, `tree`, `paths-info`, `refs`, `commits`,
`discussions`, and `resolve` with HEAD and Range. As on the hub, small files are redirected to `/api/resolve-cache`, and
those that Git LFS holds to another host. It has no uploads, no Xet, no compression, no pages of long lists, no viewer.
It is written after the libraries' source and public threads about their answers, and not compared with the real hub.

Both libraries read HF_ENDPOINT and HF_HOME when they are imported, so fetch in a child process (`Hub.environment`); or
change what this process has read (`Hub.patched`), which takes some seconds less.
"""

import json
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from unittest import mock
from urllib.parse import parse_qs, quote, unquote, urlsplit

from hub_repository import Blob, Files, Hosted, HubError, PullRequest, Query, Repository

__all__ = ["Fault", "Files", "Hub", "PullRequest", "Repository", "Request"]


@dataclass(kw_only=True)
class Request:
    """What was asked, and what was answered.

    Attributes:
        method: GET, HEAD or POST.
        path: decoded, without the query.
        range: the header, or None.
        authorization: the header, or None.
        status: of the answer.
        sent: bytes of its body.
    """

    method: str
    path: str
    target: str = field(repr=False)
    parts: list[str] = field(repr=False)
    query: Query = field(repr=False)
    range: str | None
    authorization: str | None
    status: int = 0
    sent: int = 0


@dataclass(kw_only=True)
class Response:
    """An answer: status, headers, and a part of a blob as its body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    blob: Blob = field(default_factory=lambda: Blob(b""))
    part: range = range(0)

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """A value."""
        blob = Blob(json.dumps(value))
        named = {"Content-Type": "application/json", **(headers or {})}
        return cls(status=status, headers=named, blob=blob, part=range(blob.size))

    @classmethod
    def file(cls, blob: Blob, wanted: str | None, headers: Mapping[str, str]) -> Self:
        """A file, or the part of it that the header Range asks for."""
        named = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": blob.etag, **headers}
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
        if match is None or not any(match.groups()):
            return cls(headers=named, blob=blob, part=range(blob.size))
        first, last = match.groups()
        start = int(first) if first else max(0, blob.size - int(last))
        part = range(start, min(blob.size, int(last) + 1) if first and last else blob.size)
        if not part:
            return cls(status=416, headers={**named, "Content-Range": f"bytes */{blob.size}"})
        named["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{blob.size}"
        return cls(status=206, headers=named, blob=blob, part=part)


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the next requests for a path.

    Attributes:
        path: a pattern (`fnmatch`) of the decoded path, such as "*/train-*.parquet".
        times: it happens so often; None: always.
        method: it happens to these requests alone.
        status: is answered instead, such as 429 or 503.
        retry_after: the header of that answer, in seconds.
        break_after: the connection ends after so many bytes of a body that has more.
        reset: it ends with a reset (RST) instead of an orderly end (FIN).
        wait: seconds before anything is answered.
    """

    path: str
    times: int | None = 1
    method: str | None = None
    status: int | None = None
    retry_after: int | None = None
    break_after: int | None = None
    reset: bool = False
    wait: float = 0.0

    def meets(self, request: Request, response: Response) -> bool:
        """Whether it happens to a request; then it has happened once."""
        is_meant = self.method in (None, request.method) and fnmatchcase(request.path, self.path)
        is_long = self.break_after is None or (request.method == "GET" and len(response.part) > self.break_after)
        if self.times == 0 or not is_meant or not is_long:
            return False
        self.times = None if self.times is None else self.times - 1
        return True

    def instead(self, response: Response) -> Response:
        """What is answered."""
        if self.status is None:
            return response
        after = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return Response.json({"error": "ordered by a test"}, self.status, after)


class Hub:
    """The server, while its context lasts.

    Attributes:
        endpoint: its address, without a slash at the end.
        requests: what was asked so far.
    """

    endpoint: str

    def __init__(
        self, repositories: Mapping[str, Repository], files: Mapping[str, str | bytes | Path] | None = None
    ) -> None:
        """`repositories`: by kind and id. `files`: by path, what other servers have: raw.githubusercontent.com."""
        self._hosted = {name: Hosted(name, repository) for name, repository in repositories.items()}
        self._files = {path.strip("/"): Blob(content) for path, content in (files or {}).items()}
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._servers = ExitStack()
        self.requests: list[Request] = []

    def __enter__(self) -> Self:
        self.endpoint, self._storage = self._serve(), self._serve()  # to clients, two ports are two hosts
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def _serve(self) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self._servers.callback(server.server_close)
        self._servers.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """What a process must have in its environment before it imports the libraries; `home`: for their caches."""
        return {
            "HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
        }  # fmt: skip

    @contextmanager
    def patched(self, home: Path) -> Iterator[None]:
        """The same for this process, which has imported them already."""
        import datasets
        from huggingface_hub import close_session, constants, hf_api
        from huggingface_hub.utils import _http

        template = self.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        cache = home / "datasets"
        changes: list[tuple[Any, dict[str, Any]]] = [
            (constants, {"ENDPOINT": self.endpoint, "HUGGINGFACE_CO_URL_TEMPLATE": template}),
            (constants, {"HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_HUB_DISABLE_TELEMETRY": True}),
            (hf_api.api, {"endpoint": self.endpoint}),
            (_http, {"_HUB_ORIGINS": frozenset({_http._url_origin(self.endpoint)})}),
            (datasets.config, {"HF_ENDPOINT": self.endpoint, "HF_DATASETS_CACHE": cache}),
            (datasets.config, {"DOWNLOADED_DATASETS_PATH": cache / "downloads"}),
        ]
        with ExitStack() as stack:
            for module, values in changes:
                stack.enter_context(mock.patch.multiple(module, **values))
            stack.enter_context(mock.patch.dict("os.environ", {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}))
            stack.callback(close_session)
            close_session()
            yield

    def put(self, name: str, repository: Repository) -> None:
        """A repository, or its next state; commits that it has had are found by their ids as before."""
        before = self._hosted.get(name)
        hosted = Hosted(name, repository)
        if before is not None:
            hosted.revisions = {commit.id: commit for commit in before.revisions.values()} | hosted.revisions
        self._hosted[name] = hosted

    def commit(self, name: str, revision: str = "main") -> str:
        """The id of a revision's commit."""
        return self._hosted[name].commit(revision).id

    def order(self, *faults: Fault) -> None:
        """What is to go wrong from now on; of several that meet a request, the first happens."""
        with self._lock:
            self._faults += faults

    def respond(self, request: Request) -> tuple[Response, Fault | None]:
        """The answer to a request, and what goes wrong with it."""
        try:
            response = self._response(request)
        except HubError as error:
            response = Response.json({"error": str(error)}, error.status, error.headers)
        with self._lock:
            fault = next((fault for fault in self._faults if fault.meets(request, response)), None)
            self.requests.append(request)
        return (fault.instead(response) if fault else response), fault

    def _response(self, request: Request) -> Response:
        if (blob := self._files.get("/".join(request.parts))) is not None:
            return Response.file(blob, request.range, {})
        match request.parts:
            case ["storage", kind, *rest]:
                return self._contents(request, kind, rest, is_allowed=True)
            case ["api", "resolve-cache", kind, *rest]:
                return self._contents(request, kind, rest)
            case ["api", "models" | "datasets" | "spaces" as kind, *rest]:
                return self._described(request, *self._find(request, kind, rest))
            case ["datasets" | "spaces" as kind, *rest] if "resolve" in rest:
                return self._resolved(request, *self._find(request, kind, rest))
            case [*rest] if "resolve" in rest:
                return self._resolved(request, *self._find(request, "models", rest))
        raise HubError(404, None, "Not Found")

    def _find(
        self, request: Request, kind: str, path: list[str], *, is_allowed: bool = False
    ) -> tuple[Hosted, list[str]]:
        """The repository at the beginning of a path, and the rest of the path."""
        is_known = is_allowed or request.authorization is not None
        for length in (2, 1):
            hosted = self._hosted.get("/".join([kind, *path[:length]]))
            if hosted is not None and (is_known or not hosted.repository.private):
                return hosted, path[length:]
        for hosted in self._hosted.values():
            for former in hosted.repository.formerly:
                if hosted.kind == kind and path[: former.count("/") + 1] == former.split("/"):
                    present = re.sub(rf"/{re.escape(former)}(?=[/?]|$)", f"/{hosted.id}", request.target, count=1)
                    raise HubError(307, None, "Moved", Location=present)
        if is_known:
            raise HubError(404, "RepoNotFound", "Repository not found")
        raise HubError(401, "RepoNotFound", "Invalid username or password.")

    def _described(self, request: Request, hosted: Hosted, path: list[str]) -> Response:
        match path:
            case [] | ["revision", _]:
                return Response.json(hosted.info(request.query, *path[1:]))
            case ["tree", revision, *folder]:
                return Response.json(hosted.tree(request.query, revision, "/".join(folder)))
            case ["paths-info", revision]:
                return Response.json(hosted.paths_info(request.query, revision))
            case ["commits", revision]:
                return Response.json(hosted.commits(revision))
            case ["refs"]:
                return Response.json(hosted.refs(request.query))
            case ["discussions"]:
                return Response.json(hosted.discussions(request.query))
        raise HubError(404, None, "Not Found")

    def _resolved(self, request: Request, hosted: Hosted, path: list[str]) -> Response:
        """Where the contents of a file are."""
        if hosted.repository.gated:
            message = f"Access to {hosted.kind.removesuffix('s')} {hosted.id} is restricted."
            raise HubError(401 if request.authorization is None else 403, "GatedRepo", message)
        commit, name = hosted.commit(path[1]), "/".join(path[2:])
        blob = hosted.file(commit, name)
        place = quote(f"{hosted.kind}/{hosted.id}/{commit.id}/{name}")
        headers = {"X-Repo-Commit": commit.id, "X-Linked-Size": str(blob.size), "X-Linked-ETag": blob.etag}
        if blob.is_lfs:
            return Response(status=302, headers={**headers, "Location": f"{self._storage}/storage/{place}"})
        return Response(status=307, headers={**headers, "Location": f"/api/resolve-cache/{place}"})

    def _contents(self, request: Request, kind: str, path: list[str], *, is_allowed: bool = False) -> Response:
        hosted, (commit, *name) = self._find(request, kind, path, is_allowed=is_allowed)
        blob = hosted.file(hosted.commit(commit), "/".join(name))
        return Response.file(blob, request.range, {} if blob.is_lfs else {"X-Repo-Commit": commit})


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        request = self._request()
        response, fault = self.hub.respond(request)
        body = b"" if self.command == "HEAD" else response.blob.read(response.part)
        if fault is not None:
            threading.Event().wait(fault.wait)
            body = body[: fault.break_after]
            self.close_connection = fault.break_after is not None
        request.status, request.sent = response.status, len(body)
        self.send_response(response.status)
        for name, value in {**response.headers, "Content-Length": str(len(response.part))}.items():
            self.send_header(name, value)
        with suppress(ConnectionError):  # whoever asked did not wait
            self.end_headers()
            self.wfile.write(body)
        if fault is not None and fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _request(self) -> Request:
        address = urlsplit(self.path)
        form = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        return Request(
            method=self.command,
            path=unquote(address.path),
            target=self.path,
            parts=[unquote(part) for part in address.path.split("/")[1:]],
            query={**parse_qs(address.query), **parse_qs(form)},
            range=self.headers["Range"],
            authorization=self.headers["Authorization"],
        )

    def log_message(self, *_: object) -> None:
        """Nothing: the hub keeps what was asked."""
