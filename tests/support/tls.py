"""TLS for tests: certificates, and a front that speaks it for a PostgreSQL that was built without."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")  # length 8 and the code 80877103 of the protocol's SSLRequest


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A self-signed certificate, which is its own root, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{host}.pem", folder / f"{host}.key"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


class PostgresTlsFront(threading.Thread):
    """Answers SSLRequest with S, ends TLS, and passes everything on.

    ``backend``: the server's socket file (nobody is asked for a password there), or its host and port.
    """

    def __init__(self, backend: str | tuple[str, int], cert: Path, key: Path) -> None:
        super().__init__(daemon=True)
        self.backend = backend
        self.context = server_context(cert, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs: list[threading.Thread] = []

    def run(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
                thread.start()
                self.pairs.append(thread)

    def serve(self, client: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self.backend, str) else socket.AF_INET
        with client, socket.socket(family) as server, suppress(OSError):
            assert client.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
            client.sendall(b"S")
            with self.context.wrap_socket(client, server_side=True) as secure:
                server.connect(self.backend)
                back = threading.Thread(target=_pass_on, args=(server, secure), daemon=True)
                back.start()
                _pass_on(secure, server)
                back.join()

    def stop(self) -> None:
        """Harmless if called twice."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join()
        for thread in self.pairs:
            thread.join(10)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
