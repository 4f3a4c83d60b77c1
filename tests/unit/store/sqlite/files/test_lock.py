from __future__ import annotations

import os
from pathlib import Path

import pytest

from outlast._store.sqlite.backup import copy_database, restore
from outlast._store.sqlite.files import byte_locks as sqlite_byte_locks
from outlast._store.sqlite.files import lock as sqlite_lock
from outlast._store.sqlite.files.lock import OwnerLock, file_system_of
from outlast._store.sqlite.store import SqliteStore
from outlast._world import RealWorld
from outlast.errors import StoreError, StoreLocked
from tests.unit.store.sqlite.processes import kill, next_line, output_of, python

OPEN_AND_WAIT = """
async def main(world):
    store = await SqliteStore.open(path, world=world)
    say(os.getpid())
    sys.stdin.read()
    await store.close()
"""

TRY_TO_OPEN = """
async def main(world):
    try:
        store = await SqliteStore.open(path, world=world)
    except StoreLocked as error:
        say("locked by", error.pid)
    else:
        say("opened")
        await store.close()
"""

FORK = """
def in_child(work):
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.set_event_loop(None)
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

async def main(world):
    store = await SqliteStore.open(path, world=world)
    lease = await begin(store)

    def use():
        verbs = (
            lambda: store.read_run("a").send(None),
            lambda: store.commit(CommitId("engine-1", 2), []),
        )
        for verb in verbs:
            try:
                verb()
            except StoreError as error:
                say(type(error).__name__, "fork" in str(error))
        try:
            store.renew_leases([lease])
        except StoreError as error:
            say(type(error).__name__, "fork" in str(error))
    in_child(use)

    def open_another():
        async def attempt():
            try:
                await SqliteStore.open(path, world=RealWorld())
            except StoreLocked as error:
                say("locked by parent", error.pid == os.getppid())
        asyncio.Runner().run(attempt())
    # A thread, because a forked child still has its parent's running loop set.
    import threading
    def apart():
        thread = threading.Thread(target=open_another)
        thread.start()
        thread.join()
    in_child(apart)

    [result] = await store.commit(
        CommitId("engine-1", 2), [Transaction(lease, "a", [record(2)])]
    )
    say("parent wrote", result.position)
    sys.stdin.read()
    await store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outlast.db"


async def test_a_second_engine_in_one_process_is_refused_and_the_first_goes_on(path: Path) -> None:
    store = await SqliteStore.open(path, world=RealWorld())

    with pytest.raises(StoreLocked, match=f"owned by process {os.getpid()}"):
        await SqliteStore.open(path, world=RealWorld())

    # A POSIX lock would be gone now if the second one had opened and closed the lock file.
    assert output_of(TRY_TO_OPEN, path) == f"locked by {os.getpid()}"
    await store.close()
    assert output_of(TRY_TO_OPEN, path) == "opened"


async def test_another_name_of_the_same_file_is_the_same_store(path: Path) -> None:
    store = await SqliteStore.open(path, world=RealWorld())
    link = path.with_name("link.db")
    link.symlink_to(path)

    with pytest.raises(StoreLocked):
        await SqliteStore.open(link, world=RealWorld())
    await store.close()


async def test_a_second_process_is_told_who_owns_it(path: Path) -> None:
    with python(OPEN_AND_WAIT, path) as owner:
        pid = int(next_line(owner))

        with pytest.raises(StoreLocked, match=f"owned by process {pid}") as caught:
            await SqliteStore.open(path, world=RealWorld())

        assert caught.value.pid == pid
        owner.communicate()
    store = await SqliteStore.open(path, world=RealWorld())
    await store.close()


@pytest.mark.skipif(not sqlite_byte_locks.ARE_SUPPORTED, reason="the locks are Linux's")
@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_second_process_does_not_get_in_where_the_lock_file_was_deleted(
    path: Path, is_replaced: bool
) -> None:
    lock = path.with_name("outlast.db.lock")
    with python(OPEN_AND_WAIT, path) as owner:
        next_line(owner)
        lock.unlink()
        if is_replaced:
            lock.touch()

        for _ in range(2):
            with pytest.raises(StoreLocked, match="owned by another process"):
                await SqliteStore.open(path, world=RealWorld())
        with pytest.raises(StoreLocked):
            restore(_backup_of(path), path)
        assert lock.exists() == is_replaced

        kill(owner)
    store = await SqliteStore.open(path, world=RealWorld())
    await store.close()


def _backup_of(path: Path) -> Path:
    backup = path.with_name("backup.db")
    backup.touch()
    copy_database(path, backup)
    return backup


async def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    with python(OPEN_AND_WAIT, path) as owner:
        next_line(owner)
        kill(owner)

    store = await SqliteStore.open(path, world=RealWorld())
    await store.close()


async def test_the_lock_file_is_private_and_stays(path: Path) -> None:
    store = await SqliteStore.open(path, world=RealWorld())
    await store.close()

    assert path.with_name("outlast.db.lock").stat().st_mode & 0o777 == 0o600


def test_a_fork_cannot_use_its_parents_store_and_leaves_it_whole(path: Path) -> None:
    with python(FORK, path) as owner:
        lines = [next_line(owner) for _ in range(5)]
        locked = output_of(TRY_TO_OPEN, path)
        _, errors = owner.communicate()

    assert lines == ["StoreError True"] * 3 + ["locked by parent True", "parent wrote 2"], errors
    assert locked == f"locked by {owner.pid}"


def test_a_lock_file_deleted_while_held_does_not_pass_for_the_lock(path: Path) -> None:
    # There is no database yet, whose own lock would turn the second one away.
    lock = OwnerLock(path)
    path.with_name("outlast.db.lock").unlink()
    lock.release()

    again = OwnerLock(path)
    assert path.with_name("outlast.db.lock").read_text() == f"{os.getpid()}\n"
    again.release()


MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/me/disk ext4 rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
tmpfs /mnt/my\\040share/ram tmpfs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/a.db", "ext4"),
        ("/home/me/a.db", "nfs4"),
        ("/home/me/disk/a.db", "ext4"),
        ("/homely/a.db", "ext4"),
        ("/mnt/my share/a.db", "cifs"),
        ("/mnt/my share/ram/a.db", "tmpfs"),
        ("/mnt/ssh/deep/a.db", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_says_what_a_path_is_on(path: str, expected: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == expected


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"])
async def test_a_network_file_system_is_refused_unless_it_is_asked_for(
    path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_lock, "_mounts", lambda: f"x {path.parent} {kind} rw 0 0\n")

    with pytest.raises(StoreError, match=f"network file system \\({kind}\\)"):
        await SqliteStore.open(path, world=RealWorld())
    assert list(path.parent.iterdir()) == []

    monkeypatch.setenv("OUTLAST_ALLOW_NETWORK_FS", "1")
    await (await SqliteStore.open(path, world=RealWorld())).close()
