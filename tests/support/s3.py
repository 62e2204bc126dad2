"""S3 as far as tables need it, over HTTP: buckets are folders, and what they hold can be looked at as files.

It keeps what exactly-once rests on: a PUT with ``If-None-Match: *`` fails where there is an object already. It shows
nothing of signatures, grants or pages of long lists.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4
from xml.sax.saxutils import escape

REGION = "us-east-1"
_UNFINISHED = ".part"
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


class Buckets(ThreadingHTTPServer):
    """Serves the folders below ``root`` as buckets."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.root = root
        self.uploads: dict[str, dict[int, bytes]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, body: bytes, *, only_new: bool) -> bool:
        """False where it must be new and is not."""
        file = self.root / key
        with self._lock:
            if only_new and file.exists():
                return False
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f".{file.name}.{uuid4().hex}{_UNFINISHED}")
            part.write_bytes(body)
            part.rename(file)
        return True

    def keys(self, bucket: str) -> list[str]:
        folder = self.root / bucket
        files = (f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
        return sorted(k for k in files if not k.endswith(_UNFINISHED))


@contextmanager
def s3(root: Path) -> Iterator[dict[str, str]]:
    """What clients take endpoint and keys from, while a process of its own serves the folders below ``root``.

    Not a thread: delta-rs keeps the interpreter's lock while it waits for an answer.
    """
    command = [sys.executable, "-m", __name__, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{process.stdout.readline().strip()}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        finally:
            process.kill()


class _Request(BaseHTTPRequestHandler):
    """Path style: ``/bucket/key``."""

    protocol_version = "HTTP/1.1"
    server: Buckets

    def log_message(self, *args: Any) -> None:
        """Nothing: a test's output is its own."""

    def do_HEAD(self) -> None:
        key, _ = self._asked()
        if "/" not in key:
            there = (self.server.root / key).is_dir()
            self._answer(200 if there else 404, headers={"x-amz-bucket-region": REGION})
        else:
            self._object(key, with_body=False)

    def do_GET(self) -> None:
        key, query = self._asked()
        if "list-type" in query or "/" not in key:
            self._list(key, query)
        else:
            self._object(key, with_body=True)

    def do_PUT(self) -> None:
        key, query = self._asked()
        body = self._body()
        tag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        elif key.endswith("/"):  # a folder's name, which Arrow writes
            (self.server.root / key).mkdir(parents=True, exist_ok=True)
        elif not self.server.put(key, body, only_new=self.headers.get("If-None-Match") == "*"):
            self._error(412, "PreconditionFailed")
            return
        self._answer(200, headers={"ETag": tag})

    def do_POST(self) -> None:
        key, query = self._asked()
        body = self._body()
        if "delete" in query:
            for name in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                self._delete(f"{key}/{unquote(name)}")
            self._xml("<DeleteResult/>")
        elif "uploads" in query:
            upload = uuid4().hex
            self.server.uploads[upload] = {}
            self._xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        else:
            parts = self.server.uploads.pop(query["uploadId"])
            whole = b"".join(parts[number] for number in sorted(parts))
            self.server.put(key, whole, only_new=False)
            self._xml('<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>')

    def do_DELETE(self) -> None:
        key, query = self._asked()
        self.server.uploads.pop(query.get("uploadId", ""), None)
        self._delete(key)
        self._answer(204)

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        return f"{bucket}/{key}" if key else bucket, query

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = _unchunked(self.rfile)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        framed = "aws-chunked" in self.headers.get("Content-Encoding", "")
        return _unchunked(BytesIO(body)) if framed else body

    def _object(self, key: str, *, with_body: bool) -> None:
        file = self.server.root / key
        if not file.is_file():
            self._error(404, "NoSuchKey", with_body=with_body)
            return
        content = file.read_bytes()
        more = {
            "ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
            "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, content, headers=more, with_body=with_body)
            return
        start = int(asked[1]) if asked[1] else max(len(content) - int(asked[2]), 0)
        end = int(asked[2]) + 1 if asked[1] and asked[2] else len(content)
        part = content[start:end]
        more["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._answer(206, part, headers=more, with_body=with_body)

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        prefix, delimiter, after = (query.get(name, "") for name in ("prefix", "delimiter", "start-after"))
        found, folders = [], set()
        for key in self.server.keys(bucket):
            if not key.startswith(prefix) or key <= after:
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut:
                folders.add(prefix + head + cut)
            else:
                found.append(key)
        limit = int(query.get("max-keys", "1000"))
        entries = "".join(self._entry(bucket, key) for key in found[:limit])
        entries += "".join(
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders)[:limit]
        )
        head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(found)}</KeyCount>"
        self._xml(
            f"<ListBucketResult {_NAMESPACE}>{head}<MaxKeys>{limit}</MaxKeys><IsTruncated>false</IsTruncated>"
            f"{entries}</ListBucketResult>"
        )

    def _entry(self, bucket: str, key: str) -> str:
        stat = (self.server.root / bucket / key).stat()
        made = datetime.fromtimestamp(stat.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{escape(key)}</Key><LastModified>{made}</LastModified><ETag>&quot;0&quot;</ETag>"
            f"<Size>{stat.st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )

    def _delete(self, key: str) -> None:
        path = self.server.root / key
        if path.is_file():
            path.unlink()

    def _error(self, status: int, code: str, *, with_body: bool = True) -> None:
        body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._answer(status, body, with_body=with_body)

    def _xml(self, text: str) -> None:
        self._answer(200, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode())

    def _answer(
        self, status: int, body: bytes = b"", *, headers: Mapping[str, str] | None = None, with_body: bool = True
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _unchunked(stream: BinaryIO | BufferedIOBase) -> bytes:
    """Without the frames of HTTP's chunks or of ``aws-chunked``, whose sizes may have signatures behind them."""
    found = b""
    while size := int(stream.readline().split(b";")[0], 16):
        found += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass  # trailers: checksums
    return found


if __name__ == "__main__":
    buckets = Buckets(Path(sys.argv[1]))
    print(buckets.server_port, flush=True)
    buckets.serve_forever()
