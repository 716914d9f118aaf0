"""TLS by certificate files, which are taken again when they change: certificates live for weeks, servers for longer."""

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mediaserver.files import WatchedFiles, read


class Tls:
    """A context for the server's side, with the certificate that the files hold now. One context for all time: what
    is loaded into it holds for the connections that come after."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """PEM files: the chain, the server's own certificate first, and its key. ValueError, with a sentence, when they
        cannot be used."""
        self._paths = (certificate, key)
        self.context = _empty()
        self.files = WatchedFiles("TLS certificate and key", self._paths, self._take)
        self._take([read(path) for path in self._paths])

    def _take(self, contents: Sequence[bytes]) -> None:
        certificate, key = contents
        if b"-----BEGIN CERTIFICATE-----" not in certificate:
            raise ValueError(f"The TLS certificate file {self._paths[0]} has no certificate in PEM.")
        if b"PRIVATE KEY-----" not in key:
            raise ValueError(f"The TLS key file {self._paths[1]} has no private key in PEM.")
        # Tried on another context first: a pair that fails half-way would leave this one unable to serve.
        for context in (_empty(), self.context):
            try:
                _load(context, certificate, key)
            except _EncryptedError:
                raise ValueError(f"The TLS key file {self._paths[1]} is encrypted, which it must not be.") from None
            except ssl.SSLError as error:
                if error.reason == "KEY_VALUES_MISMATCH":
                    raise ValueError("The TLS key is not the one of the TLS certificate.") from None
                reason = (error.reason or "they are malformed").lower().replace("_", " ")
                raise ValueError(f"The TLS certificate and key cannot be used: {reason}.") from None


class _EncryptedError(Exception):
    """A passphrase was asked for."""


def _empty() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """load_cert_chain() takes only paths. Of what was read once, so that both contexts get the same."""
    with _path_of(certificate) as certificate_path, _path_of(key) as key_path:
        context.load_cert_chain(certificate_path, key_path, _no_passphrase)


@contextmanager
def _path_of(content: bytes) -> Iterator[str]:
    """A path to this content, in memory alone."""
    descriptor = os.memfd_create("pem")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_passphrase() -> str:
    raise _EncryptedError
