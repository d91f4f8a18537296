"""A listener's certificate and key: checked before anything starts, each mistake with its path and remedy."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.config.load import load
from gateway.config.schema import ConfigErrors
from gateway.config.source import Source
from gateway.registry import REGISTRY
from gateway.tls import ServerTlsConfig
from tests.certificates import self_signed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files, and every kind of bad one."""
    folder = tmp_path_factory.mktemp("tls")
    self_signed(folder / "both.pem", "localhost")
    self_signed(folder / "other.pem", "localhost")
    text = (folder / "both.pem").read_text()
    key, _, certificate = text.partition("-----BEGIN CERTIFICATE")
    (folder / "key.pem").write_text(key)
    (folder / "cert.pem").write_text("-----BEGIN CERTIFICATE" + certificate)
    (folder / "empty.pem").write_text("")
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n")
    (folder / "loop.pem").symlink_to(folder / "loop.pem")
    (folder / "locked.pem").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    return folder


@pytest.mark.parametrize(("cert", "key"), [("both.pem", "both.pem"), ("cert.pem", "key.pem")])
def test_a_certificate_with_its_key_is_good_in_one_file_or_two(folder: Path, cert: str, key: str) -> None:
    context = ServerTlsConfig(cert_file=str(folder / cert), key_file=str(folder / key)).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize("listener", ["receivers::llm::tls", "extensions::console::tls"])
@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("none.pem", "key.pem", "::cert_file: FOLDER/none.pem: no such file; name a PEM file"),
        ("cert.pem", "none.pem", "::key_file: FOLDER/none.pem: no such file; name a PEM file"),
        ("cert.pem", ".", "::key_file: FOLDER cannot be read (Is a directory); name a PEM file that"),
        ("loop.pem", "key.pem", "::cert_file: FOLDER/loop.pem cannot be read ("),
        ("empty.pem", "key.pem", "::cert_file: FOLDER/empty.pem holds no PEM block of a certificate"),
        ("key.pem", "key.pem", "::cert_file: FOLDER/key.pem holds no PEM block of a certificate"),
        ("cert.pem", "cert.pem", "::key_file: FOLDER/cert.pem holds no PEM block of a private key"),
        ("cert.pem", "other.pem", ": key_file FOLDER/other.pem is not the key of the certificate in cert_file FOLDER"),
        ("cert.pem", "locked.pem", ": key_file FOLDER/locked.pem is encrypted; write it without a password"),
        ("broken.pem", "key.pem", ": cert_file FOLDER/broken.pem and key_file FOLDER/key.pem cannot be used ("),
    ],
)
def test_what_is_wrong_is_told_with_its_path_and_remedy(
    folder: Path, listener: str, cert: str, key: str, said: str
) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(REGISTRY, [_config(listener, folder / cert, folder / key)], [], {})
    assert f"{listener}{said.replace('FOLDER', str(folder))}" in str(caught.value)


def test_both_mistakes_are_told_at_once(folder: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(REGISTRY, [_config("receivers::llm::tls", folder / "no.pem", folder / "neither.pem")], [], {})
    assert "no.pem" in str(caught.value)
    assert "neither.pem" in str(caught.value)


def _config(listener: str, cert: Path, key: Path) -> Source:
    tls = {"receivers::llm::tls": "", "extensions::console::tls": ""}
    tls[listener] = f"tls: {{cert_file: {cert}, key_file: {key}}}"
    return Source(
        "test",
        f"""\
extensions: {{storage: {{}}, console: {{{tls["extensions::console::tls"]}}}}}
receivers: {{llm: {{{tls["receivers::llm::tls"]}}}}}
exporters: {{store: {{}}}}
service:
  extensions: [storage, console]
  pipelines: {{traces: {{receivers: [llm], exporters: [store]}}}}
""",
    )
