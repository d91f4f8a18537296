"""The one writer of the SQLite store, in its own thread. Never gives up on a database that fails: it tries again.

What is not committed is not reported as stored, so the workers keep it and nothing is lost while the disk is full.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from gateway.link.records import ExchangeRecord
from gateway.scheduling import give_way
from gateway.store import rows
from gateway.store.tables import UnusableDatabaseError, migrate

_log = structlog.get_logger("gateway.store")

_TRANSACTION_RECORDS = 1000
_TIDY_EVERY_S = 60.0
_TIDY_STEP = 200
_BACKOFF_S, _BACKOFF_MAX_S = 0.1, 5.0
_PATIENCE = 3
"""Attempts at a batch that no outage explains, before its records are tried one at a time."""
_IMPOSSIBLE = (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, OverflowError, ValueError)
_OUTAGE = (sqlite3.Error, OSError, UnusableDatabaseError)
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
    """Implements the link's `RecordSink`. Whatever fails, its thread goes on: it opens the database again and retries.

    While nothing can be stored, nothing is acknowledged; the link then reads no further, the workers keep what their
    bounds allow and count the rest as dropped. No call waits for any of this.
    """

    def __init__(
        self,
        path: Path,
        retention_s: float,
        clock: Callable[[], float] = time.time,
        connect: Callable[[Path], sqlite3.Connection] = connect_writer,
        close_after_s: float = 86400.0,
    ) -> None:
        """`close_after_s`: the session processor's."""
        self.path = path
        self.trouble: str | None = None
        """Why nothing is being stored at the moment, for health; None when all is well."""
        self._retention_s = retention_s
        self._close_after_ns = round(close_after_s * 1e9)
        self._clock = clock
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._batches = self._stored = self._retries = self._dropped = self._pruned = self._closed = self._unheard = 0

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
        """`dropped`: records that could not be stored however often; `unheard`: batches nobody waited for any more;
        `closed`: sessions that were idle for too long."""
        return {
            "stored": self._stored,
            "batches": self._batches,
            "retried": self._retries,
            "dropped": self._dropped,
            "pruned": self._pruned,
            "closed": self._closed,
            "unheard": self._unheard,
        }

    def _run(self, opened: "Future[None]") -> None:
        try:
            self._connection = self._connect(self.path)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        try:
            self._work()
        finally:
            self._close()

    def _work(self) -> None:
        tidy_at = 0.0
        while not self._stopping.is_set():
            batch, last = self._next_batch(max(0.0, tidy_at - time.monotonic()))
            if batch and not self._store(batch):
                return
            if last:
                return
            if time.monotonic() >= tidy_at:
                more = self._tidy()
                tidy_at = time.monotonic() + (0.0 if more else _TIDY_EVERY_S)

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

    def _store(self, batch: list[_Item]) -> bool:
        """False only where the end came first."""
        if not self._until_done([record for part, _ in batch for record in part], _PATIENCE):
            return False
        self._batches += 1
        for _, stored in batch:
            try:
                stored()
            except Exception:
                # The boundary to whoever sent the batch and may be gone; the next one must not suffer. Counted.
                self._unheard += 1
        return True

    def _until_done(self, records: Sequence[ExchangeRecord], patience: int) -> bool:
        """Commit, however long the database fails; False only where the end came first.

        What fails by no fault of the database is a mistake of ours, and gets `patience` attempts.
        """
        backoff = _BACKOFF_S
        while True:
            try:
                self._commit(records)
            except _IMPOSSIBLE:
                return self._one_by_one(records)
            except Exception as error:
                # The boundary of the writer: a thread that dies would store nothing until somebody looks. Counted.
                self._failed(error)
                patience -= not isinstance(error, _OUTAGE)
                if not patience:
                    return self._one_by_one(records)
                if self._stopping.wait(backoff):
                    return False
                backoff = min(backoff * 2, _BACKOFF_MAX_S)
            else:
                return True

    def _one_by_one(self, records: Sequence[ExchangeRecord]) -> bool:
        """One that cannot be stored (a number beyond 64 bits) is dropped, and must not hold up the others."""
        if len(records) == 1:
            if not self._dropped:
                _log.error("an exchange cannot be stored; further ones are counted", exchange=records[0].id)
            self._dropped += 1
            return True
        return all(self._until_done([record], 1) for record in records)

    def _commit(self, records: Sequence[ExchangeRecord]) -> None:
        with self._transaction() as connection:
            rows.insert(connection, records, int(self._clock() // 86400))
        self._stored += len(records)

    def _tidy(self) -> bool:
        """One small step: forget what is too old, close what is idle; returns whether there may be more."""
        try:
            now = self._clock()
            with self._transaction() as connection:
                pruned = rows.prune(connection, int((now - self._retention_s) * 1e9), _TIDY_STEP)
                rows.close_after(connection, self._close_after_ns)
                closed = rows.close_idle(connection, int(now * 1e9), _TIDY_STEP)
        except Exception as error:  # as in `_until_done`; tried again at the next step
            self._failed(error)
            return False
        self._pruned += pruned
        self._closed += closed
        return pruned + closed > 0

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """On the open database; where it fails the database is closed, which rolls back, and opened again next time."""
        try:
            if self._connection is None:
                self._connection = self._connect(self.path)
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            self._close()
            raise
        self.trouble = None

    def _failed(self, error: Exception) -> None:
        # The database's own words name no content; anybody else's might.
        reason = str(error) if isinstance(error, _OUTAGE) else f"the writer failed ({type(error).__name__})"
        if self.trouble is None:
            _log.error("the store cannot be written; trying again", error=type(error).__name__)
        self.trouble = f"{self.path}: {reason}"
        self._retries += 1

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # a checkpoint that fails on closing is made at the next opening
                connection.close()
