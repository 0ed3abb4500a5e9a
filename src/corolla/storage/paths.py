"""Paths on a disk or in a store, and files fetched ahead of their use.

Takes: `data/flowers`, `gs://bucket/flowers`, `https://host/flowers/`. Gives: an `AnyPath`: a `pathlib.Path`, or a
`RemotePath` that answers to the same words. `opened_ahead` opens files in turn and fetches the next remote ones
meanwhile.

What a store cannot do, and a disk can, is to rename: who needs it asks `isinstance(path, Path)`.
"""

import io
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial, total_ordering
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import IO, Any

from corolla.errors import WishError
from corolla.storage import transfers
from corolla.storage.stores import READ_ONLY

FILES_AHEAD, BYTES_AHEAD = 4, 512 << 20
"""How many files, and about how many bytes, are fetched ahead: enough for the network, little beside the pixels."""

Opener = Callable[[], IO[bytes]]

_REMOTE = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/+(?P<rest>.*)", re.DOTALL)  # one letter is a disk: C:/

_HTTP = ("http", "https")


@total_ordering
@dataclass(frozen=True)
class RemotePath:
    """A file or folder in a store, with those methods of `pathlib.Path` that Corolla uses; they mean the same.

    What fails raises OSError with `strerror` and `filename`, like on a disk, after the patience of `transfers`.
    listed: what a listing said of it, by which `is_file` of a path that `iterdir` gave asks nobody again.
    """

    scheme: str
    parts: tuple[str, ...]
    listed: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    # ------------------------------------------------------------------------------------------------------- names

    def __str__(self) -> str:
        return f"{self.scheme}://{'/'.join(self.parts)}"

    def __lt__(self, other: "RemotePath") -> bool:
        return str(self) < str(other)

    def __truediv__(self, name: str) -> "RemotePath":
        return replace(self, parts=(*self.parts, *filter(None, name.split("/"))), listed=None)

    @property
    def name(self) -> str:
        """The last part; of a whole bucket the bucket's."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """The name without its last ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The last ending of the name, such as ".tfrec"."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "RemotePath":
        """The folder it lies in; a bucket, a host or a repository is its own."""
        return replace(self, parts=self.parts[: max(len(self.parts) - 1, self._least_parts())], listed=None)

    def _least_parts(self) -> int:
        """Parts of the bucket or host; `hf://datasets/owner/name` and `hf://owner/name` are one place each."""
        if self.scheme != "hf":
            return 1
        return 3 if self.parts[0] in ("datasets", "spaces", "buckets") else 2

    def resolve(self) -> "RemotePath":
        """It is whole already."""
        return self

    # ----------------------------------------------------------------------------------------------------- looking

    def is_dir(self) -> bool:
        """Whether it is a folder: on a web server, a page of links."""
        return self._kind() == "directory"

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._kind() == "file"

    def exists(self) -> bool:
        """Whether anything is there."""
        return self._kind() != ""

    def _kind(self) -> str:
        known = self._info()
        if known is None:
            return ""
        return "directory" if self.scheme in _HTTP and known.get("mimetype") == "text/html" else known["type"]

    def stat(self) -> SimpleNamespace:
        """Its `st_size` [bytes], asked anew. Raises FileNotFoundError."""
        known = replace(self, listed=None)._info()
        if known is None:
            raise FileNotFoundError(2, "there is no such file", str(self))
        return SimpleNamespace(st_size=known["size"])

    def _info(self) -> dict[str, Any] | None:
        return self.listed or transfers.info(self.scheme, str(self))

    def iterdir(self) -> Iterator["RemotePath"]:
        """What lies directly in the folder, as it stands now. Web servers: the links of the page that lead there."""
        for known in transfers.listing(self.scheme, str(self)):
            # Of what file systems call a path (bucket/folder/name, a whole URL) only the end is the same for all.
            above, _, name = known["name"].rstrip("/").rpartition("/")
            if name and not re.search(r"[?#]", name) and above.endswith("/".join(self.parts)):
                yield replace(self / name, listed=known)

    # ---------------------------------------------------------------------------------------- reading and writing

    def read_bytes(self) -> bytes:
        """Its content, whole."""
        return transfers.read(self.scheme, str(self))

    def read_text(self, encoding: str = "utf-8") -> str:
        """Its content as text. Raises UnicodeDecodeError too."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Its content, fetched whole, as a file; only for reading."""
        if mode != "rb":
            raise ValueError(f"a remote file is opened with mode 'rb', not {mode!r}")
        return io.BytesIO(self.read_bytes())

    def write_bytes(self, content: bytes) -> int:
        """Write it whole or not at all: a store shows a new object when all of it is there."""
        transfers.write(self.scheme, str(self), content)
        return len(content)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the file; `missing_ok` is always true here."""
        transfers.delete(self.scheme, str(self))


AnyPath = Path | RemotePath
"""A file or folder, wherever it is."""


def any_path(written: str | AnyPath) -> AnyPath:
    """Return the path that somebody wrote: `gs://bucket/folder` and its like are remote, all else is on the disk.

    A `Path("gs://bucket")`, which lost a slash, is understood too. Raises WishError for a URL that cannot be a folder.
    """
    if isinstance(written, RemotePath):
        return written
    found = _REMOTE.fullmatch(str(written))
    if not found:
        return Path(written)
    scheme, rest = found["scheme"], found["rest"]
    if scheme == "file":
        return Path("/" + rest)
    if scheme in _HTTP and re.search(r"[?#@]", rest):
        raise WishError(f"{scheme}://...: a folder's address holds no password, ? or #: leave them out")
    parts = tuple(part for part in rest.split("/") if part)
    if not parts or ".." in parts:
        raise WishError(f"{written}: wanted {scheme}://, a bucket or host, and a folder in it")
    return RemotePath(scheme, parts)


def refuse_unwritable(out: AnyPath) -> None:
    """Raise where nothing can be written, before hours of work: WishError for what is only read or wants an extra.

    A store is asked whether it answers at all; raises OSError where it refuses (no credentials, no network).
    """
    if isinstance(out, Path):
        return
    if out.scheme in READ_ONLY:
        raise WishError(f"{out} can only be read ({READ_ONLY[out.scheme]}): write to a folder, gs:// or s3:// instead")
    out.exists()


def no_folder(path: AnyPath) -> str:
    """Why something is no folder though somebody says it is."""
    if isinstance(path, RemotePath) and path.scheme in _HTTP:
        return "the server shows no page of links there, by which alone a folder on the web is known"
    return "there is no such folder"


# ------------------------------------------------------------------------------------------------------------ ahead


def opened_ahead(paths: Sequence[AnyPath]) -> Iterator[Opener]:
    """Yield a function for each file, in order, that opens it; of remote files, a few are fetched before their turn.

    What fails is raised by the function, which may be called again. Local files are opened when their turn comes.
    """
    pool = ThreadPoolExecutor(FILES_AHEAD, "corolla-file")
    waiting: deque[tuple[int, Path | Future[bytes]]] = deque()
    try:
        for one in paths:
            size = _listed_bytes(one)
            while waiting and (len(waiting) >= FILES_AHEAD or sum(n for n, _ in waiting) + size > BYTES_AHEAD):
                yield _opener(waiting.popleft()[1])
            waiting.append((size, one if isinstance(one, Path) else pool.submit(one.read_bytes)))
        while waiting:
            yield _opener(waiting.popleft()[1])
    finally:
        for _, unused in waiting:
            if isinstance(unused, Future):
                unused.cancel()
        pool.shutdown(wait=False)


def _opener(found: Path | Future[bytes]) -> Opener:
    return partial(found.open, "rb") if isinstance(found, Path) else partial(_fetched, found)


def _fetched(future: Future[bytes]) -> IO[bytes]:
    return io.BytesIO(future.result())


def _listed_bytes(one: AnyPath) -> int:
    return (one.listed or {}).get("size") or 0 if isinstance(one, RemotePath) else 0


# ------------------------------------------------------------------------------------------------------- local copy

_COPIES: list[tempfile.TemporaryDirectory] = []  # each is removed with the process


def local_copy(folder: AnyPath) -> Path:
    """Return a folder on the disk with the same files (no folders): itself, or a copy that the process takes along."""
    if isinstance(folder, Path):
        return folder
    _COPIES.append(tempfile.TemporaryDirectory(prefix="corolla-"))
    copy = Path(_COPIES[-1].name)
    for one in folder.iterdir():
        if one.is_file():
            (copy / one.name).write_bytes(one.read_bytes())
    return copy
