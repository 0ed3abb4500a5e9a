"""A store of objects for tests, `fake://`: what fsspec asks of one, on a folder of the disk, with faults by script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import fsspec


class FakeStore(fsspec.AbstractFileSystem):
    """Objects are files of one flat folder, named by their quoted keys: no folders, no renames, whole or not at all.

    script: (method, part of the key, what happens) in order; each happens once: an exception is raised, a function gets
    the method's result and gives another. calls: (method, key) of every call.
    """

    protocol = "fake"
    cachable = False
    root: ClassVar[Path]
    script: ClassVar[list[tuple[str, str, Any]]] = []
    calls: ClassVar[list[tuple[str, str]]] = []

    def _played(self, method: str, path: str, work: Callable[[str], Any]) -> Any:
        key = str(self._strip_protocol(path)).strip("/")
        self.calls.append((method, key))
        for line in self.script:
            if line[0] == method and line[1] in key:
                self.script.remove(line)
                if isinstance(line[2], BaseException):
                    raise line[2]
                return line[2](work(key))
        return work(key)

    def _file(self, key: str) -> Path:
        return self.root / quote(key, safe="")

    def _keys(self, folder: str) -> list[str]:
        keys = sorted(unquote(path.name) for path in self.root.iterdir() if not path.name.startswith(".new-"))
        return [key for key in keys if key.startswith(folder + "/")]

    def _about(self, key: str) -> dict[str, Any]:
        stat = self._file(key).stat()
        return {"name": key, "type": "file", "size": stat.st_size, "etag": stat.st_mtime_ns}

    def info(self, path, **kwargs):
        def work(key: str) -> dict[str, Any]:
            if self._file(key).is_file():
                return self._about(key)
            if self._keys(key):
                return {"name": key, "type": "directory", "size": 0}
            raise FileNotFoundError(key)

        return self._played("info", path, work)

    def ls(self, path, detail=True, **kwargs):
        def work(key: str) -> list[dict[str, Any]]:
            inside = [name.removeprefix(key + "/") for name in self._keys(key)]
            if not inside:
                raise FileNotFoundError(key)
            folders = sorted({name.split("/")[0] for name in inside if "/" in name})
            found = [{"name": f"{key}/{name}", "type": "directory", "size": 0} for name in folders]
            return found + [self._about(f"{key}/{name}") for name in inside if "/" not in name]

        return self._played("ls", path, work)

    def cat_file(self, path, start=None, end=None, **kwargs):
        return self._played("cat_file", path, lambda key: self._file(key).read_bytes()[start:end])

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        def work(key: str) -> None:
            draft = self.root / f".new-{quote(key, safe='')}"
            draft.write_bytes(value)
            draft.replace(self._file(key))

        return self._played("pipe_file", path, work)

    def rm_file(self, path):
        return self._played("rm_file", path, lambda key: self._file(key).unlink())


def upload(folder: Path, url: str) -> str:
    """Put every file of a folder on the disk into a store; return the URL."""
    from corolla.storage import any_path

    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = any_path(f"{url}/{file.relative_to(folder).as_posix()}")
        target.write_bytes(file.read_bytes())
    return url
