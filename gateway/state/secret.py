"""The secret that makes principals of credentials: one for all who share a state, kept beside it. Never shown."""

import contextlib
import os
import threading
from pathlib import Path

_SECRET_BYTES = 32


def kept_secret(folder: Path) -> bytes:
    """32 random bytes that all processes over this folder share, made once. Raises OSError.

    SECURITY: for this user's eyes only; who knows it can tell whether a credential he has belongs to a principal.
    """
    path = folder / "principals.key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        made = folder / f"principals.key.{os.getpid()}.{threading.get_ident()}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(os.urandom(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)  # whole or not at all, and whoever comes second takes the first one's
        made.unlink()
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise OSError(f"{path} is not a secret of {_SECRET_BYTES} bytes; delete it, and another one is made")
    return secret
