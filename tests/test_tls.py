"""TLS by certificate files: what is refused at the start, and how certificates are renewed while the server runs."""

import asyncio
import datetime
import signal
import socket
import ssl
import warnings
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from mediaserver import cli
from mediaserver.settings import Settings
from mediaserver.tls import Tls
from tests.test_serve import serve


def write(directory: Path, name: str = "127.0.0.1", passphrase: str = "") -> tuple[Path, Path]:
    """A new certificate and its key, in files that are always the same."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, SHA256())
    )
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    paths = directory / "chain.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return paths


def served(url: str) -> bytes:
    """The certificate that the server shows, in DER."""
    host, port = url.removeprefix("https://").split(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)), timeout=5))


def der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("no key option", "TLS needs both"),
        ("no certificate option", "TLS needs both"),
        ("no certificate file", "chain.pem cannot be read: No such file"),
        ("no key file", "key.pem cannot be read: No such file"),
        ("directory", "chain.pem' is a directory"),
        ("another key", "The TLS key is not the one"),
        ("encrypted", "is encrypted"),
        ("swapped", "has no certificate"),
        ("key twice", "has no certificate"),
        ("certificate twice", "has no private key"),
        ("empty", "has no certificate"),
        ("malformed", "cannot be used"),
        ("malformed key", "cannot be used"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_one_sentence(
    fault: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chain, key = write(tmp_path, passphrase="a secret phrase" if fault == "encrypted" else "")
    secret = key.read_text().splitlines()[1]
    match fault:
        case "no certificate file":
            chain.unlink()
        case "no key file":
            key.unlink()
        case "directory":
            chain.unlink()
            chain.mkdir()
        case "another key":
            (tmp_path / "other").mkdir()
            key = write(tmp_path / "other")[1]
        case "empty":
            chain.write_text("")
        case "malformed":
            chain.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        case "malformed key":
            key.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")
    options = ["--tls-cert", str(chain), "--tls-key", str(key)]
    match fault:
        case "no key option":
            options = options[:2]
        case "no certificate option":
            options = options[2:]
        case "swapped":
            options = ["--tls-cert", str(key), "--tls-key", str(chain)]
        case "key twice":
            options[1] = str(key)
        case "certificate twice":
            options[3] = str(chain)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["serve", *options])
    assert exit_.value.code == cli.USAGE_EXIT_CODE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("mediaserver: ")
    assert output.err.endswith(".\n")
    assert output.err.count("\n") == 1
    assert sentence in output.err
    assert secret not in output.err


def test_old_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    context = Tls(*write(tmp_path)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_settings_hold_what_can_be_served(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    settings = Settings.check(tls_cert=chain, tls_key=key)
    assert settings.tls is not None
    assert Settings.check().tls is None


@pytest.mark.parametrize("fault", ["key not yet written", "vanished", "malformed", "encrypted"])
async def test_a_pair_at_fault_keeps_the_old_one(fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chain, key = write(tmp_path)
    tls, old = Tls(chain, key), der(chain)
    await tls.files.look()
    old_key = key.read_bytes()
    write(tmp_path, passphrase="phrase" if fault == "encrypted" else "")
    match fault:
        case "key not yet written":
            new_key = key.read_bytes()
            key.write_bytes(old_key)
        case "vanished":
            key.unlink()
        case "malformed":
            chain.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for _ in range(2):
        await tls.files.look()
    assert shown(tls.context) == old
    (record,) = caplog.records
    assert record.getMessage().endswith(". The TLS certificate and key stay as they were.")
    if fault == "key not yet written":
        key.write_bytes(new_key)
        await tls.files.look()
        assert shown(tls.context) == der(chain)


def shown(context: ssl.SSLContext) -> bytes:
    """The certificate that a server with this context shows, in DER; a handshake in memory."""
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    for side in (theirs, ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = theirs.getpeercert(binary_form=True)
    assert found is not None
    return found


async def test_https_is_served_and_a_renewed_certificate_without_a_restart(tmp_path: Path) -> None:
    chain, key = write(tmp_path)
    keys = tmp_path / "keys"
    keys.write_text(f"alpha:{'s' * 32}\n")
    options = ("--tls-cert", str(chain), "--tls-key", str(key), "--api-key-file", str(keys), "--state", "none")
    async with serve("--port", "0", "--media-address", "127.0.0.1", *options) as server:
        url = (await server.until(r"serving on (https://\S+)/"))[1]
        async with httpx.AsyncClient(base_url=url, verify=False, timeout=10) as http:
            assert (await http.get("/readyz")).status_code == 200
            assert (await http.get("/v1/rooms", auth=("alpha", "s" * 32))).status_code == 200
            old = await asyncio.to_thread(served, url)
            assert old == der(chain)
            # What is not TLS, or too old, is turned away and not complained of.
            await asyncio.to_thread(speak_plainly, url)
            write(tmp_path)
            await server.until("The TLS certificate and key were read again")
            assert await asyncio.to_thread(served, url) == der(chain) != old
            # The connection from before goes on.
            assert (await http.get("/readyz")).status_code == 200
            keys.write_text(f"beta:{'t' * 32}\n")
            server.process.send_signal(signal.SIGHUP)
            await server.until("The API keys were read again")
            assert (await http.get("/v1/rooms", auth=("alpha", "s" * 32))).status_code == 401
            assert (await http.get("/v1/rooms", auth=("beta", "t" * 32))).status_code == 200
            keys.write_text("beta:hunter2\n")
            await server.until("The API keys stay as they were")
            assert (await http.get("/v1/rooms", auth=("beta", "t" * 32))).status_code == 200
        server.process.terminate()
        assert await server.end() == 0
    for unwanted in ("ERROR", "Traceback", "hunter2", "s" * 32, "t" * 32):
        assert unwanted not in server.output


def speak_plainly(url: str) -> None:
    host, port = url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200" not in plain.recv(1000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.options &= ~ssl.OP_NO_TLSv1_1
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((host, int(port)), timeout=5) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
        old.wrap_socket(raw),
    ):
        pass
