"""The disk of the jobs, ours and another machine's: the same answers of plain files, and of errands in any POSIX shell."""

from __future__ import annotations

import os
import pathlib
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence

import hypothesis
import pytest
from hypothesis import strategies

from production import errors
from production.batch import array, base, depot, far, scheduler, shell

pytestmark = pytest.mark.feature("PC-02")

SHELLS = ["dash", "bash --posix", "busybox sh", "ksh"]
ODD = ["plain", "a b", "it's", 'a "b"', "$HOME", "a\\b", "-n", "*", "µ⁺", "two\nlines", "`id`", "a;b", "~"]


class Any:
    """A Shell of this machine whose ``sh`` is this one. It may be away, or say things."""

    def __init__(self, kind: str) -> None:
        self._kind = kind.split()
        self._here = shell.Here()
        self.away = False
        self.verbs: list[str] = []
        self.cut: int | None = None
        """Only so many bytes of the input arrive."""

    def run(self, argv: Sequence[str], *, input: bytes = b"", timeout: float) -> scheduler.Completed:
        if self.away:
            raise errors.BatchUnasked("no connection to login")
        self.verbs.append(argv[4])
        return self._here.run([*self._kind, *argv[1:]], input=input[: self.cut], timeout=timeout)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(params=["here", *SHELLS])
def place(request: pytest.FixtureRequest) -> base.Depot:
    if request.param == "here":
        return depot.Here("/data")
    if shutil.which(request.param.split()[0]) is None:
        pytest.skip(f"no {request.param}")
    return far.Far(Any(request.param), "login:/data", 30)


@pytest.fixture
def away() -> Any:
    return Any("sh")


@pytest.fixture
def there(away: Any) -> far.Far:
    return far.Far(away, "login:/data", 30)


def own(directory: pathlib.Path, name: str = "1", **more: object) -> base.Belongings:
    jobs = directory / "jobs"
    jobs.mkdir(exist_ok=True)
    return base.Belongings(
        str(jobs / f"{name}.ticket"), str(jobs / "manager1.tickets"), str(jobs / f"{name}.witness"), **more  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_what_an_attempt_needs_is_made(place: base.Depot, tmp_path: pathlib.Path, odd: str) -> None:
    """Whatever its paths are called; what an earlier start left is gone."""
    work = tmp_path / f"work {odd}" / odd
    link, target = work / "home" / odd / "x.mid", tmp_path / odd / "raw.mid"
    (work / "old").mkdir(parents=True)
    one = own(
        tmp_path, work=str(work), directories=(str(work / "home"), str(work / "out" / odd)), links=((str(link), str(target)),)
    )  # fmt: skip
    assert place.prepare([one]) == {}
    assert not (work / "old").exists()
    assert (work / "out" / odd).is_dir()
    assert os.readlink(link) == str(target)
    assert os.path.exists(one.ticket)
    assert place.prepare([one]) == {}


def test_who_comes_late_takes_nothing_from_a_job_that_has_begun(there: far.Far, tmp_path: pathlib.Path) -> None:
    """What was sent over a line that broke may be done when the job is there already."""
    one = own(tmp_path, work=str(tmp_path / "work"))
    assert there.prepare([one]) == {}
    pathlib.Path(one.witness).write_text("start a b 1 2 3\n")
    (tmp_path / "work/half").write_text("")
    assert there.prepare([one]) == {}
    assert (tmp_path / "work/half").exists()


def test_what_keeps_an_attempt_from_that_is_its_own(place: base.Depot, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    bad = own(tmp_path, "1", work=str(tmp_path / "file/work"))
    good = own(tmp_path, "2", work=str(tmp_path / "work"))
    wrong = place.prepare([bad, good])
    assert list(wrong) == [bad.ticket]
    assert "Not a directory" in wrong[bad.ticket]
    assert not os.path.exists(bad.ticket)
    assert os.path.exists(good.ticket)


def test_a_ticket_is_taken_back_unless_its_job_has_begun(place: base.Depot, tmp_path: pathlib.Path) -> None:
    late, begun, empty, gone = (own(tmp_path, name) for name in ("late", "begun", "empty", "gone"))
    place.give_tickets([late, begun, empty])
    pathlib.Path(begun.witness).write_text("start a b 1 2 3\n")
    pathlib.Path(empty.witness).write_text("")
    taken, was_begun = base.Revoked.TAKEN, base.Revoked.BEGUN
    assert place.revoke([late, begun, empty, gone]) == {
        late.ticket: taken, begun.ticket: was_begun, empty.ticket: taken, gone.ticket: taken,
    }  # fmt: skip
    assert [os.path.exists(one.ticket) for one in (late, begun, empty, gone)] == [False, True, False, False]


def test_cancelling_is_begun_seen_and_taken_back(place: base.Depot, tmp_path: pathlib.Path) -> None:
    one, other, none = (own(tmp_path, name) for name in ("one", "other", "none"))
    place.give_tickets([one, other])
    place.begin_cancel([one, none])
    place.begin_cancel([one])
    assert set(place.cancelled([one, other, none])) == {one.ticket}
    assert not os.path.exists(one.ticket)
    place.cancel_in_vain([one, none])
    assert not place.cancelled([one, other, none])
    assert os.path.exists(one.ticket)


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("start node 1-2 7 8 1.5\n0m0.00s 0m0.00s\n0m1.25s 0m0.50s\nend 3 2.5\n", True),
        ("start node 1-2 7 8 1.5 12_1\n0m0.00s 0m0.00s\n0m1.25s 0m0.50s\nend 3 2.5", False),  # its newline is to come
        ("start node 1-2 7 8 1.5\n", False),
    ],
)
def test_witnesses_are_read(place: base.Depot, tmp_path: pathlib.Path, text: str, ended: bool) -> None:
    directory = tmp_path / "a b"
    directory.mkdir()
    (directory / "1.1.witness").write_text(text)
    (directory / "3.1.witness").write_bytes(b"\0\xff something else\n" * 1000)
    (directory / "4.1.witness").write_text("")
    found = place.witnesses(str(directory), [f"{run}.1.witness" for run in range(1, 5)])
    assert list(found) == ["1.1.witness"]
    one = found["1.1.witness"]
    assert (one.host, one.pid, one.ended, one.exit) == ("node", 7, ended, 3 if ended else None)
    assert place.witnesses(str(tmp_path / "none"), ["1.1.witness"]) == {}


def test_last_words(place: base.Depot, tmp_path: pathlib.Path) -> None:
    texts = {"a b": "one\n two \n\n", "long": "x" * 5000, "none": "", "bytes": "caf\xe9\n"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    paths = [str(tmp_path / name) for name in (*texts, "absent")]
    words = {os.path.basename(path): line for path, line in place.last_words(paths).items()}
    assert words == {"a b": "two", "long": "x" * 200, "bytes": "caf\ufffd"}


def test_nobody_waits_for_a_pipe(place: base.Depot, tmp_path: pathlib.Path) -> None:
    """In the place of a log, a witness or a manifest; nor is a link followed."""
    pipe, link, true = tmp_path / "1.1.witness", tmp_path / "2.1.witness", tmp_path / "true"
    os.mkfifo(pipe)
    true.write_text("start node 1-2 7 8 1.5\n")
    link.symlink_to(true)
    assert place.last_words([str(pipe), str(link)]) == {}
    assert place.witnesses(str(tmp_path), [pipe.name, link.name]) == {}
    if place.far:
        assert place.marks([str(pipe)]) == {}


def test_what_is_over_is_cleared(place: base.Depot, tmp_path: pathlib.Path) -> None:
    """Also what a job has shut, and a job's own directory in the place of a file of ours."""
    work, input_ = tmp_path / "work", tmp_path / "input"
    for directory in (work / "shut/deep", input_):
        directory.mkdir(parents=True)
    (work / "shut/deep/file").write_text("")
    (work / "shut").chmod(0)
    one = own(tmp_path, work=str(work), input=str(input_) if place.far else "")
    place.give_tickets([one])
    place.begin_cancel([one])
    pathlib.Path(one.witness).mkdir()
    assert place.clear([one, own(tmp_path, "never")]) == {}
    assert not work.exists()
    assert not (place.far and input_.exists())
    assert [name for name in place.names(str(tmp_path / "jobs")) if name not in (".", "..", "manager1.tickets")] == []


def test_a_manifest_is_written_read_and_removed(place: base.Depot, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "a b.manifest")
    place.write(path, array.manifest(["mark-1 /o /e", "mark-2 'a b' /e"]))
    assert place.marks([path, str(tmp_path / "none")]) == {path: ["mark-1", "mark-2"]}
    assert place.remove([path, str(tmp_path / "none")]) == {}
    assert place.marks([path]) == {}
    (tmp_path / "a b.manifest").write_text("")
    with pytest.raises(errors.SubmitRefused, match=r"a b[.]manifest"):
        place.write(path + "/x", b"")


def test_directories_that_may_not_be_made(place: base.Depot, tmp_path: pathlib.Path) -> None:
    place.make([str(tmp_path / "a b/c"), str(tmp_path / "d")])
    assert (tmp_path / "a b/c").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ProductionError, match="file"):
        place.make([str(tmp_path / "file/x")])
    place.fold([str(tmp_path / "a b/c"), str(tmp_path / "a b"), str(tmp_path)])
    assert not (tmp_path / "a b").exists()
    assert tmp_path.exists()


@pytest.mark.parametrize("kind", SHELLS)
def test_a_script_is_kept_once(kind: str, tmp_path: pathlib.Path) -> None:
    """Under its content, for all who want the same; a line that breaks leaves nothing half."""
    if shutil.which(kind.split(maxsplit=1)[0]) is None:
        pytest.skip(f"no {kind}")
    calling = Any(kind)
    there = far.Far(calling, "login:/data", 30)
    content = b"#!/bin/sh\necho \xff\0\n" * 1000
    calling.cut = 100
    with pytest.raises(errors.ProductionError, match=r"login:/data: .*broke off"):
        there.keep(str(tmp_path / "a b"), "sim.sh", content)
    calling.cut = None
    path = pathlib.Path(there.keep(str(tmp_path / "a b"), "sim.sh", content))
    assert path.read_bytes() == content
    assert path.stat().st_mode & stat.S_IXUSR
    inode = path.stat().st_ino
    assert there.keep(str(tmp_path / "a b"), "sim.sh", content) == str(path)
    assert path.stat().st_ino == inode
    path.chmod(0o755)
    path.write_text("exit 7")  # somebody has changed it
    assert there.keep(str(tmp_path / "a b"), "sim.sh", content) == str(path)
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == ["sim.sh"]


def test_a_script_that_was_purged_is_put_back(there: far.Far, tmp_path: pathlib.Path) -> None:
    """With the next submission."""
    path = pathlib.Path(there.keep(str(tmp_path / "script"), "sim.sh", b"exit 0"))
    shutil.rmtree(path.parent)
    there.make([str(tmp_path / "jobs")])
    assert path.read_bytes() == b"exit 0"


def test_where_it_is_and_whose(there: far.Far, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("home")
    assert there.settle("~/a b") == far.Ground(str(tmp_path / "home/a b"), str(tmp_path / "home"))
    assert there.settle(str(tmp_path / "link/x")).data == str(tmp_path / "home/x")
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ProductionError, match=r"login:/data: .*file"):
        there.settle(str(tmp_path / "file/x"))


def test_what_cannot_be_removed_now_is_removed_later(there: far.Far, away: Any, tmp_path: pathlib.Path) -> None:
    """A machine that is away keeps nobody from going on."""
    one, other = own(tmp_path, "one"), own(tmp_path, "other")
    there.give_tickets([one, other])
    away.away = True
    assert there.clear([one]) == {}
    assert os.path.exists(one.ticket)
    away.away = False
    there.clear([other])
    assert not os.path.exists(one.ticket)
    assert not os.path.exists(other.ticket)


def test_a_thousand_attempts_are_few_commands(there: far.Far, away: Any, tmp_path: pathlib.Path) -> None:
    attempts = [own(tmp_path, str(run), work=str(tmp_path / f"work/{run}")) for run in range(1000)]
    assert there.prepare(attempts) == {}
    assert len(list((tmp_path / "work").iterdir())) == 1000
    assert len(there.witnesses(str(tmp_path / "jobs"), [f"{run}.witness" for run in range(1000)])) == 0
    assert there.clear(attempts) == {}
    assert len(away.verbs) == 6
    assert not list((tmp_path / "work").iterdir())


@pytest.fixture
def small_disk(tmp_path: pathlib.Path, need: Callable[[str, object], object]) -> Iterator[pathlib.Path]:
    """A file system of 64 kB."""
    path = tmp_path / "small"
    path.mkdir()
    words = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    done = subprocess.run([str(need("mount", shutil.which("mount"))), *words], check=False, capture_output=True)
    need("the right to mount a tmpfs", done.returncode == 0)
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_nobodys_fault(there: far.Far, small_disk: pathlib.Path) -> None:
    disk = small_disk
    with pytest.raises(errors.DiskFull, match="the disk under login:/data is full"):
        there.keep(str(disk), "x", os.urandom(100_000))
    with pytest.raises(errors.DiskFull, match="the disk under login:/data is full"):
        there.write(str(disk / "x"), os.urandom(100_000))


@hypothesis.given(
    strategies.lists(strategies.text(strategies.characters(exclude_characters="\0", codec="utf-8")), max_size=5)
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_any_word_arrives(words: list[str]) -> None:
    """As the errands have them: quoted, one line each."""
    line = " ".join(map(array.quoted, words))
    assert "\n" not in line
    program = "rp_newline='\n'\nIFS= read -r line; eval \"set -- $line\"; printf '%s\\0' \"$@\""
    said = shell.Here().run(["sh", "-c", program], input=os.fsencode(line + "\n"), timeout=10).stdout
    assert said == "".join(f"{word}\0" for word in words or [""]), shlex.join(words)
