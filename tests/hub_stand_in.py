"""A stand-in for Hugging Face's hub on loopback: what its client asks of one dataset repository, from a folder."""

import hashlib
import http.server
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "datasets/owner/name"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubHandler(http.server.BaseHTTPRequestHandler):
    """Answers about `folder`; what it does not know is 404."""

    folder: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        api, files = f"/api/{REPOSITORY}", f"/{REPOSITORY}/resolve/main/"
        if path in (api, f"{api}/revision/main"):
            self.reply(200, {"id": "owner/name", "sha": COMMIT, "siblings": []})
        elif path.startswith(f"{api}/tree/main"):
            self.send_tree(path.removeprefix(f"{api}/tree/main").strip("/"))
        elif path.startswith(files):
            self.send_file(self.folder / path.removeprefix(files))
        else:
            self.missing("RepoNotFound")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        names = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        paths = [self.folder / name for name in ([names] if isinstance(names, str) else names)]
        self.reply(200, [self.about(path) for path in paths if path.exists()])

    def about(self, path: Path) -> dict[str, Any]:
        """What the hub says of a file or folder."""
        name = path.relative_to(self.folder).as_posix()
        content = path.read_bytes() if path.is_file() else name.encode()
        oid = hashlib.sha1(content).hexdigest()
        if path.is_file():
            return {"type": "file", "path": name, "size": len(content), "oid": oid}
        return {"type": "directory", "path": name, "size": 0, "oid": oid}

    def send_tree(self, name: str) -> None:
        folder = self.folder / name
        if folder.is_dir():
            self.reply(200, [self.about(path) for path in sorted(folder.iterdir())])
        else:
            self.missing("EntryNotFound")

    def send_file(self, path: Path) -> None:
        if not path.is_file():
            self.missing("EntryNotFound")
            return
        content, wanted = path.read_bytes(), self.headers.get("Range", "")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None] if wanted else content
        self.send(206 if wanted else 200, part, "application/octet-stream", {"ETag": f'"{len(content)}"'})

    def missing(self, code: str) -> None:
        self.send(404, b"{}", "application/json", {"X-Error-Code": code, "X-Error-Message": "not found"})

    def reply(self, status: int, answer: Any) -> None:
        self.send(status, json.dumps(answer).encode(), "application/json", {})

    def send(self, status: int, body: bytes, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        own = {"Content-Length": str(len(body)), "Content-Type": kind, "X-Repo-Commit": COMMIT}
        for name, value in (own | more).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass
