"""Repositories of a Hugging Face hub of our own: their commits, and what the hub's interface says of them, as JSON."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Files = Mapping[str, str | bytes | Path] | Path
"""A tree of files: their contents (a path stands for that of its file) by name, or a folder."""

LFS = (".bin", ".h5", ".model", ".msgpack", ".onnx", ".parquet", ".pt", ".safetensors", ".zip")
"""Endings of the files that Git LFS holds: some of those in the .gitattributes that the hub writes."""

DATE = "2024-05-01T12:00:00.000Z"

Query = Mapping[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """A pull request: the files that it adds to those of main, or changes."""

    files: Files
    title: str = "Adding `safetensors` variant of this model"
    author: str = "SFconvertbot"
    status: str = "open"


@dataclass(frozen=True)
class Repository:
    """A repository.

    Attributes:
        files: those of the branch main.
        branches: those of other branches by name, such as `refs/convert/parquet`.
        tags: those of tags.
        pull_requests: by number; their branches are `refs/pr/<number>`.
        gated: its files are for those who have been let in: nobody. Its description is for all.
        private: to those who have no token it does not exist.
        formerly: ids that it had before, from which the hub redirects.
    """

    files: Files
    _: KW_ONLY
    branches: Mapping[str, Files] = field(default_factory=dict)
    tags: Mapping[str, Files] = field(default_factory=dict)
    pull_requests: Mapping[int, PullRequest] = field(default_factory=dict)
    gated: bool = False
    private: bool = False
    formerly: Sequence[str] = ()


class HubError(Exception):
    """An error of the hub: the status, and what it says in `X-Error-Code`, `X-Error-Message` and further headers."""

    def __init__(self, status: int, code: str | None, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **named}


class Blob:
    """The contents of a file, read when they are asked for."""

    def __init__(self, content: str | bytes | Path, *, is_lfs: bool = False) -> None:
        self.is_lfs = is_lfs
        self.content = content.encode() if isinstance(content, str) else content
        self.size = content.stat().st_size if isinstance(content, Path) else len(self.content)

    def read(self, part: range) -> bytes:
        """Some of its bytes."""
        if isinstance(self.content, bytes):
            return self.content[part.start : part.stop]
        with self.content.open("rb") as file:
            file.seek(part.start)
            return file.read(len(part))

    @cached_property
    def sha256(self) -> str:
        """By which Git LFS names it."""
        return hashlib.sha256(self.read(range(self.size))).hexdigest()

    @cached_property
    def oid(self) -> str:
        """By which Git names it, or the pointer to it."""
        content = self.read(range(self.size))
        if self.is_lfs:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
            content = pointer.encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def etag(self) -> str:
        """As in headers."""
        return f'"{self.sha256 if self.is_lfs else self.oid}"'

    def lfs(self, name: str) -> dict[str, Any]:
        """What is said of it if Git LFS holds it; `name`: what its digest is called there."""
        return {"lfs": {name: self.sha256, "size": self.size, "pointerSize": 134}} if self.is_lfs else {}


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit and its files by path."""

    files: Mapping[str, Blob]
    title: str = "Upload"
    author: str = "someone"
    parent: "Commit | None" = None

    @cached_property
    def id(self) -> str:
        """40 hexadecimal digits that change with the contents; of files on disk, with size and modification time."""
        states = [
            [
                path,
                str(blob.content),
                blob.size,
                blob.content.stat().st_mtime_ns if isinstance(blob.content, Path) else 0,
            ]
            for path, blob in sorted(self.files.items())
        ]
        told = [states, self.title, self.author, self.parent and self.parent.id]
        return hashlib.sha1(json.dumps(told).encode()).hexdigest()

    def description(self) -> dict[str, Any]:
        """As `commits` has it."""
        authors = [{"user": self.author}]
        return {"id": self.id, "title": self.title, "message": "", "date": DATE, "authors": authors}

    def folders(self) -> list[str]:
        """Paths of all folders."""
        return sorted({str(folder) for path in self.files for folder in Path(path).parents if folder != Path()})

    def entries(self, paths: Iterable[str]) -> list[dict[str, Any]]:
        """What there is at some paths, as `tree` and `paths-info` have it."""
        folders = self.folders()
        found = []
        for path in paths:
            if path in self.files:
                blob = self.files[path]
                of_file = {"size": blob.size, "oid": blob.oid, **blob.lfs("oid")}
                found.append({"type": "file", "path": path, **of_file})
            elif path in folders:
                oid = hashlib.sha1(f"{self.id} {path}".encode()).hexdigest()
                found.append({"type": "directory", "path": path, "size": 0, "oid": oid})
        return found


class Hosted:
    """A repository on the hub: its commits by every name that they have, and the answers about it."""

    def __init__(self, name: str, repository: Repository) -> None:
        self.kind, _, self.id = name.partition("/")
        self.repository = repository
        self.main = Commit(files=_blobs(repository.files))
        self.branches = {name: Commit(files=_blobs(files)) for name, files in repository.branches.items()}
        self.tags = {name: Commit(files=_blobs(files)) for name, files in repository.tags.items()}
        self.pull_requests = {
            f"refs/pr/{number}": Commit(
                files={**self.main.files, **_blobs(one.files)}, title=one.title, author=one.author, parent=self.main
            )
            for number, one in repository.pull_requests.items()
        }
        named = {"main": self.main, **self.branches, **self.tags, **self.pull_requests}
        self.revisions = named | {commit.id: commit for commit in named.values()}

    def commit(self, revision: str) -> Commit:
        """That of a revision. HubError: there is none."""
        found = self.revisions.get(revision.removeprefix("refs/heads/").removeprefix("refs/tags/"))
        if found is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def file(self, commit: Commit, path: str) -> Blob:
        """A file of a commit. HubError: there is none."""
        if path not in commit.files:
            raise HubError(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit.id)
        return commit.files[path]

    def info(self, query: Query, revision: str = "main") -> Any:
        """Repository info."""
        commit = self.commit(revision)
        siblings: list[dict[str, Any]] = []
        for path, blob in commit.files.items():
            detail = {"size": blob.size, "blobId": blob.oid, **blob.lfs("sha256")} if "blobs" in query else {}
            siblings.append({"rfilename": path, **detail})
        everything = {
            "id": self.id, "author": self.id.split("/")[0], "sha": commit.id, "lastModified": DATE, "createdAt": DATE,
            "private": self.repository.private, "gated": "manual" if self.repository.gated else False,
            "disabled": False, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
        }  # fmt: skip
        wanted = query.get("expand")
        return {name: value for name, value in everything.items() if wanted is None or name in ["id", *wanted]}

    def tree(self, query: Query, revision: str = "main", folder: str = "") -> Any:
        """The entries of a folder, and of those below it if `recursive`."""
        commit = self.commit(revision)
        if folder and folder not in commit.folders():
            raise HubError(404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
        paths = [path for path in (*commit.folders(), *commit.files) if Path(folder) in Path(path).parents]
        if query.get("recursive", ["False"])[0].lower() not in ("true", "1"):
            paths = [path for path in paths if Path(path).parent == Path(folder)]
        return commit.entries(paths)

    def paths_info(self, query: Query, revision: str = "main") -> Any:
        """Those entries of the paths asked for that there are."""
        return self.commit(revision).entries(query.get("paths", []))

    def refs(self, query: Query) -> Any:
        """Branches, converted ones, tags, and pull requests if `include_prs`."""
        converts = {name: commit for name, commit in self.branches.items() if name.startswith("refs/convert/")}
        branches = {name: commit for name, commit in self.branches.items() if name not in converts}
        pull_requests = {"pullRequests": _refs(self.pull_requests)} if "include_prs" in query else {}
        return {
            "branches": _refs({"main": self.main, **branches}, "refs/heads/"),
            "converts": _refs(converts),
            "tags": _refs(self.tags, "refs/tags/"),
            **pull_requests,
        }

    def commits(self, revision: str) -> Any:
        """A commit and those before it."""
        commit: Commit | None = self.commit(revision)
        found = []
        while commit is not None:
            found.append(commit.description())
            commit = commit.parent
        return found

    def discussions(self, query: Query) -> Any:
        """Its pull requests, the latest first: there are no other discussions."""
        found = []
        for number, one in sorted(self.repository.pull_requests.items(), reverse=True):
            wanted = {"author": one.author, "status": one.status, "type": "pull_request"}
            if all(query.get(name, [value])[0] in (value, "all") for name, value in wanted.items()):
                repository = {"name": self.id, "type": self.kind.removesuffix("s")}
                of_it = {"num": number, "title": one.title, "author": {"name": one.author}, "status": one.status}
                found.append({**of_it, "createdAt": DATE, "isPullRequest": True, "repo": repository})
        return {"discussions": found, "count": len(found), "start": 0}


def _blobs(files: Files) -> dict[str, Blob]:
    if isinstance(files, Path):
        files = {path.relative_to(files).as_posix(): path for path in sorted(files.rglob("*")) if path.is_file()}
    return {name: Blob(content, is_lfs=name.endswith(LFS)) for name, content in files.items()}


def _refs(commits: Mapping[str, Commit], prefix: str = "") -> list[dict[str, str]]:
    return [
        {"name": name.removeprefix("refs/convert/"), "ref": prefix + name, "targetCommit": commit.id}
        for name, commit in commits.items()
    ]
