"""The one writer of the SQLite store, in its own thread. Never gives up on a full disk or a lock: it tries again.

What is not committed is not reported as stored, so the workers keep it and nothing is lost while the disk is full.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import structlog

from gateway.link.records import ExchangeRecord
from gateway.process import give_way
from gateway.store import rows
from gateway.store.tables import migrate

_log = structlog.get_logger("gateway.store")

_TRANSACTION_RECORDS = 1000
_PRUNE_EVERY_S = 60.0
_PRUNE_STEP = 200
_BACKOFF_S, _BACKOFF_MAX_S = 0.1, 5.0
_STEPS_AT_A_TIME = 500
"""Of SQLite's virtual machine, some 0.1 ms; then whoever else wants this core may have it."""

Stored = Callable[[], None]
_Item = tuple[Sequence[ExchangeRecord], Stored]


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection for the only writer, the tables made or brought up to date.

    Raises sqlite3.Error or OSError for a file that cannot be opened, UnusableDatabase for one that must not be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # SECURITY: conversations are nobody else's on this machine.
        path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode NORMAL cannot corrupt; a power cut may lose the last commits, a crash of the process none.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -16384")
        connection.set_progress_handler(_give_way, _STEPS_AT_A_TIME)
        migrate(connection, str(path))
        rows.prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _give_way() -> int:
    give_way()
    return 0  # go on


class StoreWriter:
    """Implements the link's `RecordSink`."""

    def __init__(self, path: Path, retention_s: float, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.trouble: str | None = None
        """Why nothing is being stored at the moment, for health; None when all is well."""
        self._retention_s = retention_s
        self._clock = clock
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._batches = self._stored = self._retries = self._rejected = self._pruned = 0

    def start(self) -> None:
        """Open the database in the writer's thread and begin. Raises what `connect_writer` raises."""
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="store-writer", daemon=True)
        self._thread.start()
        opened.result()

    def submit(self, records: Sequence[ExchangeRecord], stored: Stored) -> None:
        """Queue a batch; `stored` is called in the writer's thread after the commit. The callers' windows bound it."""
        self._queue.put((records, stored))

    def stop(self, deadline_s: float) -> None:
        """Store what is queued, at most until the deadline. A batch that does not get through stays unacknowledged."""
        self._queue.put(None)
        if self._thread is None:
            return
        self._thread.join(deadline_s)
        self._stopping.set()
        self._thread.join(5.0)

    def counters(self) -> dict[str, int]:
        return {
            "stored": self._stored,
            "batches": self._batches,
            "retried": self._retries,
            "rejected": self._rejected,
            "pruned": self._pruned,
        }

    def _run(self, opened: "Future[None]") -> None:
        try:
            connection = connect_writer(self.path)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            self._work(connection)
        except Exception as error:  # a bug of ours: nothing is stored any more, and that must not look healthy
            self.trouble = f"{self.path}: the writer failed ({type(error).__name__}); restart the control plane"
            _log.error("the store's writer failed", error=type(error).__name__)
        finally:
            connection.close()

    def _work(self, connection: sqlite3.Connection) -> None:
        prune_at = 0.0
        while not self._stopping.is_set():
            batch, last = self._next_batch(max(0.0, prune_at - time.monotonic()))
            if batch and not self._store(connection, batch):
                return
            if last:
                return
            if time.monotonic() >= prune_at:
                more = self._prune(connection)
                prune_at = time.monotonic() + (0.0 if more else _PRUNE_EVERY_S)

    def _next_batch(self, timeout_s: float) -> tuple[list[_Item], bool]:
        """What is queued, joined to one transaction; and whether the end was asked for."""
        batch: list[_Item] = []
        records = 0
        try:
            while records < _TRANSACTION_RECORDS:
                item = self._queue.get(timeout=timeout_s) if not batch and timeout_s else self._queue.get_nowait()
                if item is None:
                    return batch, True
                batch.append(item)
                records += len(item[0])
        except queue.Empty:
            pass
        return batch, False

    def _store(self, connection: sqlite3.Connection, batch: list[_Item]) -> bool:
        records = [record for part, _ in batch for record in part]
        if not self._until_done(connection, records):
            return False
        self._batches += 1
        for _, stored in batch:
            stored()
        return True

    def _until_done(self, connection: sqlite3.Connection, records: Sequence[ExchangeRecord]) -> bool:
        """Commit, however long the disk is full or the file locked; False only where the end came first."""
        backoff = _BACKOFF_S
        while True:
            try:
                self._commit(connection, records)
            except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, OverflowError, ValueError):
                return self._without_the_impossible(connection, records)
            except sqlite3.Error as error:
                self.trouble = f"{self.path}: {error}"
                self._retries += 1
                if self._stopping.wait(backoff):
                    return False
                backoff = min(backoff * 2, _BACKOFF_MAX_S)
            else:
                self.trouble = None
                return True

    def _without_the_impossible(self, connection: sqlite3.Connection, records: Sequence[ExchangeRecord]) -> bool:
        """One record at a time: one that SQLite cannot take (a number beyond 64 bits) must not hold up the others."""
        if len(records) == 1:
            self._rejected += 1
            return True
        return all(self._until_done(connection, [record]) for record in records)

    def _commit(self, connection: sqlite3.Connection, records: Sequence[ExchangeRecord]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            rows.insert(connection, records, int(self._clock() // 86400))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._stored += len(records)

    def _prune(self, connection: sqlite3.Connection) -> bool:
        """One small step; returns whether there may be more."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                pruned = rows.prune(connection, int((self._clock() - self._retention_s) * 1e9), _PRUNE_STEP)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            self.trouble = f"{self.path}: {error}"
            self._retries += 1
            return False
        self._pruned += pruned
        self.trouble = None
        return pruned > 0
