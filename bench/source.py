"""Which build was measured: a fingerprint of its sources, so that a run over changing files is not taken for one."""

import subprocess
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

MEASURED = ("gateway", "policies")
_SUFFIXES = frozenset({".py", ".yaml"})


def fingerprint(root: Path) -> str:
    """Of every source file that a gateway started from `root` reads: names and contents."""
    digest = blake2b(digest_size=8)
    for path in _files(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(root: Path) -> Iterable[Path]:
    found = (path for room in MEASURED for path in (root / room).rglob("*"))
    return sorted(path for path in found if path.suffix in _SUFFIXES and path.is_file())


def revision(root: Path) -> str:
    """The commit, with `-dirty` where files differ from it; "unknown" outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return result.stdout.strip() or "unknown"
