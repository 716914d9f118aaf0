"""The store: what was settled is there after any crash, in its order; files that are not ours; disks that refuse."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mediaserver import store as module
from mediaserver.events import Event
from mediaserver.store import APPLICATION_ID, StateError, Store, StoredCursor, StoredRoom, event_of

Placed = tuple[int, Event]


def event(sequence: int, room: str = "hall", type_: str = "speaker.muted") -> Event:
    return Event(room, "k3v9", sequence, type_, "ann", 1_700_000_000 + sequence, {"source": "host"})


def room(name: str, revision: int = 1) -> StoredRoom:
    document = '{"speakers":{"ünal":{}}}'
    return StoredRoom(name, "k3v9", revision, 7, document)


async def log_of(store: Store) -> list[Placed]:
    rows = await store.read(lambda connection: connection.execute("SELECT * FROM events ORDER BY position").fetchall())
    return [event_of(row) for row in rows]


def kept(path: str) -> list[Placed]:
    """The log in a file that nobody has open."""
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT * FROM events ORDER BY position").fetchall()
    connection.close()
    return [event_of(row) for row in rows]


async def recovered(store: Store) -> None:
    """Returns when the disk takes what waits."""
    for _ in range(200):
        with contextlib.suppress(StateError):
            return await store.settled()
    raise AssertionError("it does not recover")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state.db")


Open = Callable[[], Store]


@pytest.fixture
async def start(path: str) -> AsyncIterator[Open]:
    """Opens the store of `path` and starts it; several times in turn."""
    opened: list[Store] = []

    def start() -> Store:
        store = Store(path)
        opened.append(store)
        store.start(asyncio.get_running_loop())
        return store

    yield start
    for store in opened:
        store.stop()


async def test_what_is_settled_is_there_when_the_file_is_opened_again(start: Open) -> None:
    store = start()
    for name in ("b", "ä", "a"):
        store.put_room(room(name))
    store.append(event(1))
    store.put_cursor("reader", StoredCursor(1, 5))
    await store.settled()
    store.stop()
    again = Store(str(store.path))
    assert again.load() == [room("b"), room("ä"), room("a")]
    assert again.cursors() == {"reader": StoredCursor(1, 5)}
    assert again.id == store.id
    again.start(asyncio.get_running_loop())
    assert await log_of(again) == [(1, event(1))]
    again.stop()


def test_the_file_is_for_its_owner_alone(path: str) -> None:
    Store(path).stop()
    assert Path(path).stat().st_mode & 0o077 == 0


async def test_the_last_change_of_a_room_wins_and_the_room_keeps_its_place(start: Open) -> None:
    store = start()
    for name in "abc":
        store.put_room(room(name))
    await store.settled()
    store.put_room(room("a", 2))
    store.put_room(room("a", 3))
    store.delete_room("b")
    store.put_room(room("b", 1))
    store.put_room(room("d"))
    store.delete_room("d")
    store.delete_room("never was")
    await store.settled()
    store.stop()
    assert Store(str(store.path)).load() == [room("a", 3), room("c"), room("b", 1)]


async def test_rooms_are_as_if_each_change_had_been_written_alone(start: Open) -> None:
    """Whatever is coalesced, and wherever batches end."""
    chance = random.Random(4)
    store = start()
    expected: dict[str, StoredRoom] = {}
    for revision in range(2_000):
        name = chance.choice("abcdef")
        if chance.random() < 0.4:
            store.delete_room(name)
            expected.pop(name, None)
        else:
            store.put_room(room(name, revision))
            expected[name] = room(name, revision)
        if chance.random() < 0.05:
            await store.settled()
    store.stop()
    assert Store(str(store.path)).load() == list(expected.values())


async def test_facts_of_users_are_kept_with_their_room_and_go_with_it(start: Open) -> None:
    store = start()
    for name in "ab":
        store.put_room(room(name))
        store.put_fact(name, "present", "ünal", ["listen"])
        store.put_fact(name, "kicked", "bob", 12.5)
    await store.settled()
    store.put_fact("a", "present", "ünal", ["listen", "publish"])
    store.put_fact("a", "kicked", "bob", None)
    store.put_fact("b", "kicked", "carol", 13.5)
    store.delete_room("b")
    store.put_room(room("b"))
    store.put_fact("b", "kicked", "dave", 14.5)
    await store.settled()
    store.stop()
    facts = {found.name: found.facts for found in Store(str(store.path)).load()}
    assert facts == {"a": {"present": {"ünal": ["listen", "publish"]}}, "b": {"kicked": {"dave": 14.5}}}


async def test_a_room_counts_on_from_its_last_event_and_another_instance_does_not(start: Open) -> None:
    store = start()
    store.put_room(room("hall"))
    store.append(event(8))
    store.append(event(9))
    store.append(Event("hall", "another", 99, "room.ended", None, 0.0, {}))
    await store.settled()
    store.stop()
    assert [found.sequence for found in Store(str(store.path)).load()] == [9]


async def test_readers_are_told_of_every_event_in_the_order_of_the_log(start: Open) -> None:
    store = start()
    told: list[Placed] = []
    store.on_commit.append(told.extend)
    for sequence in range(1, 3_001):
        store.append(event(sequence))
        if sequence % 700 == 0:
            await store.settled()
            assert told[-1][1].sequence == sequence
    await store.settled()
    await asyncio.sleep(0)
    assert told == [(sequence, event(sequence)) for sequence in range(1, 3_001)]
    assert await log_of(store) == told


async def test_many_who_wait_share_one_commit(start: Open) -> None:
    store = start()
    commits: list[int] = []
    store.on_commit.append(lambda placed: commits.append(len(placed)))

    async def change(sequence: int) -> None:
        store.append(event(sequence))
        await store.settled()

    await asyncio.gather(*(change(sequence) for sequence in range(1, 501)))
    await asyncio.sleep(0)
    assert sum(commits) == 500
    assert len(commits) < 50


async def test_stopping_commits_what_is_queued(start: Open) -> None:
    store = start()
    for sequence in range(1, 101):
        store.append(event(sequence))
    store.stop()
    again = start()
    assert [placed.sequence for _, placed in await log_of(again)] == list(range(1, 101))
    with pytest.raises(StateError, match="closed"):
        await store.settled()


async def test_without_a_file_it_is_kept_in_memory() -> None:
    store = Store(None)
    store.start(asyncio.get_running_loop())
    store.append(event(1))
    await store.settled()
    assert await log_of(store) == [(1, event(1))]
    store.stop()


async def test_forgotten_events_leave_what_is_wanted_and_their_positions_are_not_used_again(start: Open) -> None:
    store = start()
    for sequence in range(1, 21):
        store.append(event(sequence))
    await store.settled()
    store.prune(20, {3, 5})
    await asyncio.sleep(module.LAZY_S + 0.2)
    assert [position for position, _ in await log_of(store)] == [3, 5, 20]
    store.stop()
    again = start()
    assert again.pruned == 20
    again.append(event(21))
    assert [position for position, _ in await log_of(again)] == [3, 5, 20, 21]


WRITER = """
import asyncio, sys, time
from mediaserver.store import Store
from mediaserver.events import Event
async def main():
    store = Store(sys.argv[1])
    store.start(asyncio.get_running_loop())
    sequence = store.head
    while True:
        for _ in range(sequence % 37 + 1):
            sequence += 1
            store.append(Event("hall", "k3v9", sequence, "room.changed", None, 0.0, {"etag": "x" * (sequence % 300)}))
        await store.settled()
        print(sequence, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 40, 150, 400])
def test_a_process_that_is_killed_has_lost_nothing_that_was_settled(path: str, after: int) -> None:
    settled = 0
    for _ in range(2):  # the second goes on where the first was killed
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(after):
            settled = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        # What it had printed until then was settled as well.
        settled = max([settled, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
        process.wait()
        process.stdout.close()
    numbers = [(position, found.sequence) for position, found in kept(path)]
    assert numbers == [(number, number) for number in range(1, len(numbers) + 1)]
    assert len(numbers) >= settled


def test_a_second_process_is_refused_in_a_sentence(path: str) -> None:
    store = Store(path)
    program = "import sys; from mediaserver.store import Store; Store(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"StateError: The state file {path} is in use by another process.")
    with pytest.raises(StateError, match="in use"):
        Store(path)
    store.stop()
    Store(path).stop()


def foreign(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name TEXT)")
    connection.commit()
    connection.close()


def newer(path: str) -> None:
    Store(path).stop()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()


def empty_but_marked(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT)")
    connection.commit()
    connection.close()


def scribbled(path: str) -> None:
    """A page in the middle is damaged."""
    store = Store(path)
    for sequence in range(1, 200):
        store.append(event(sequence))
    store.stop()
    with Path(path).open("r+b") as file:
        file.seek(4096 * 3)
        file.write(random.Random(1).randbytes(4096 * 3))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (foreign, "is a database, but not the state of a media server"),
        (newer, "written by a newer version"),
        (empty_but_marked, "is damaged"),
        (scribbled, "is damaged"),
        (lambda path: Path(path).write_bytes(b"not a database" * 100), "is damaged or not a database"),
        (lambda path: Path(path).mkdir(), "cannot be opened: Is a directory"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_in_a_sentence_and_left_alone(
    path: str, make: Callable[[str], object], why: str
) -> None:
    make(path)
    before = Path(path).read_bytes() if Path(path).is_file() else b""
    with pytest.raises(StateError, match=rf"^The [^\n]*{why}[^\n]*\.$"):
        Store(path)
    assert not before or Path(path).read_bytes() == before


def test_a_file_in_a_directory_that_does_not_exist_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be opened: No such file or directory"):
        Store(str(tmp_path / "none" / "state.db"))


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)


@pytest.mark.usefixtures("_quick")
async def test_a_full_disk_is_said_and_nothing_is_lost_when_it_has_room_again(
    start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = start()
    pages = await store.read(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await store.read(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
    sequence = 0
    with pytest.raises(StateError, match="cannot be written: database or disk is full"):  # noqa: PT012 - it fills
        while sequence < 10_000:
            sequence += 1
            store.append(event(sequence))
            await store.settled()
    for _ in range(3):
        sequence += 1
        store.append(event(sequence))
        with pytest.raises(StateError):
            await store.settled()
    assert store.failing
    assert store.waiting == 4
    assert len(await log_of(store)) == sequence - 4  # it can still be read
    await store.read(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchall())
    await recovered(store)
    assert not store.failing
    assert [placed.sequence for _, placed in await log_of(store)] == list(range(1, sequence + 1))
    messages = [record.message for record in caplog.records]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"], messages


@pytest.mark.usefixtures("_quick")
async def test_a_disk_that_stays_full_does_not_keep_the_process_from_ending(
    start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = start()
    await store.read(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    store.append(event(1))
    waiting = asyncio.ensure_future(store.settled())
    with pytest.raises(StateError):
        await waiting
    last = asyncio.ensure_future(store.settled())
    await asyncio.sleep(0)
    store.stop()
    with pytest.raises(StateError):
        await last
    assert "ends with 1 changes" in caplog.records[-1].message
    assert not any(thread.name == "store" for thread in threading.enumerate())


@pytest.mark.usefixtures("_quick")
async def test_beyond_its_bound_the_queue_counts_what_it_loses_and_says_so_in_the_log(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT", 50)
    store = start()
    store.put_room(room("hall"))
    await store.settled()
    await store.read(lambda connection: connection.execute("PRAGMA query_only = ON").fetchall())
    for sequence in range(1, 81):
        store.append(event(sequence))
    with pytest.raises(StateError):
        await store.settled()
    for revision in range(100):
        store.put_room(room("one", revision))
    await store.read(lambda connection: connection.execute("PRAGMA query_only = OFF").fetchall())
    await recovered(store)
    assert store.lost == 30
    events = [found for _, found in await log_of(store)]
    assert [found.sequence for found in events[:50]] == list(range(1, 51))
    assert {found.type for found in events[50:]} == {"gap"}
    assert sum(found.data["dropped"] for found in events[50:]) == 30
    store.stop()
    # The numbers of lost events are not given again.
    hall, one = Store(str(store.path)).load()
    assert (hall.sequence, one) == (80, room("one", 99))


def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], check=False).returncode:
        pytest.skip("this container may not mount")

    async def fill() -> int:
        store = Store(str(mount / "state.db"))
        store.start(asyncio.get_running_loop())
        sequence = 0
        with pytest.raises(StateError, match="cannot be written"):  # noqa: PT012 - it fills
            while sequence < 100_000:
                sequence += 1
                store.append(event(sequence))
                await store.settled()
        remount = await asyncio.create_subprocess_exec("mount", "-o", "remount,size=8m", str(mount))
        assert await remount.wait() == 0
        await recovered(store)
        store.stop()
        return sequence

    try:
        settled = asyncio.run(fill())
        numbers = [found.sequence for _, found in kept(str(mount / "state.db"))]
        assert numbers == list(range(1, settled + 1))
    finally:
        subprocess.run(["umount", mount], check=True)
