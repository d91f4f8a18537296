"""`tls: {cert_file, key_file}` of a listener: what a user writes, checked before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, model_validator

from gateway.units import ConfigModel

if TYPE_CHECKING:
    from ssl import SSLContext  # imported where it is used: whoever only reads a configuration need not wait for it


def _pem_with(kind: str) -> Callable[[str], str]:
    """Checks that a file can be read and holds a PEM block that ends in `kind`."""

    def check(path: str) -> str:
        try:
            text = Path(path).read_bytes()
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file; name a PEM file, relative to the working directory") from None
        except OSError as error:
            raise ValueError(
                f"{path} cannot be read ({error.strerror}); name a PEM file that the gateway's user may read"
            ) from error
        if f"{kind}-----".encode() not in text:
            raise ValueError(f"{path} holds no PEM block of a {kind.lower()}; name the file that does")
        return path

    return check


class ServerTlsConfig(ConfigModel):
    cert_file: Annotated[str, AfterValidator(_pem_with("CERTIFICATE"))]
    """PEM: the certificate, then those between it and the authority that clients know."""
    key_file: Annotated[str, AfterValidator(_pem_with("PRIVATE KEY"))]
    """PEM, not encrypted; may be the same file."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        self.context()
        return self

    def context(self) -> "SSLContext":
        """TLS 1.2 and later, HTTP/1.1. Reads the files; raises ValueError where they are of no use."""
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        asked = False

        def password() -> str:  # without one, OpenSSL asks for it at the terminal
            nonlocal asked
            asked = True
            return ""

        try:
            context.load_cert_chain(self.cert_file, self.key_file, password)
        except (OSError, ValueError) as error:
            raise ValueError(self._remedy(getattr(error, "reason", None), asked)) from None
        return context

    def _remedy(self, reason: str | None, encrypted: bool) -> str:
        if encrypted:
            return f"key_file {self.key_file} is encrypted; write it without a password, as openssl pkey does"
        if reason == "KEY_VALUES_MISMATCH":
            return f"key_file {self.key_file} is not the key of the certificate in cert_file {self.cert_file}"
        return (
            f"cert_file {self.cert_file} and key_file {self.key_file} cannot be used ({reason or 'unreadable'}); "
            "write a certificate chain and its key as PEM"
        )
