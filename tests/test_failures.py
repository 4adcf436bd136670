"""Which failures are one, and which setting would help them."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib

import hypothesis
import pytest
from hypothesis import strategies

from production import facts
from production import filter as filters
from production import settings as settings_
from production.monitor import advice, failures, likeness

FAILURE = facts.Failure(
    run=1, label=None, state="failed", why="program: exit 9", asked_by=None, attempt=3, cause="program",
    message="exit 9: no", exit=9, signal=None, host="n01", ended="2026-11-20T21:00:00.000000Z", wall=60.0, memory=None,
    resources=None, olog=None, elog=None,
)  # fmt: skip


def failed(*messages: str, **more: object) -> list[facts.Failure]:
    """Runs 1, 2, 3, … that said this."""
    return [
        dataclasses.replace(FAILURE, run=run, message=message, **more)  # type: ignore[arg-type]  # by their names
        for run, message in enumerate(messages, 1)
    ]


def grouped(*messages: str, **more: object) -> list[list[int]]:
    """The runs of each group."""
    return [group.numbers for group in failures.groups(failed(*messages, **more))]


SAME = [
    ("run02091.mid: bad magic 0x1f", "run02092.mid: bad magic 0x2e"),
    ("cannot open /data/work/02091.1/home/tree02091.root", "cannot open /data/work/2092.3/home/tree2092.root"),
    ("2026-11-20 21:00:03 ERROR lost sync in block 17", "2026-11-21 04:59:01 ERROR lost sync in block 3"),
    ("[Sat Nov 21 14:46:00 2026] pedestal missing", "[Sun Nov 22 04:06:01 2026] pedestal missing"),
    ("no room in /tmp/tmp8f3k2x/buffer", "no room in /tmp/tmpq0zz71/buffer"),
    ("key 3f2a9c77-0b1e-4c55-9a3e-0123456789ab unknown", "key 99999999-0b1e-4c55-9a3e-ba9876543210 unknown"),
    ("chi2 = 1.7e+05 is too large", "chi2 = -2.25 is too large"),
    ("digest deadbeef01 is wrong", "digest 0123abcdef is wrong"),
    ("connection to n03 lost", "connection to n17 lost"),
]


@pytest.mark.parametrize("pair", SAME)
def test_what_differs_in_numbers_paths_and_dates_only_is_one(pair: tuple[str, str]) -> None:
    assert grouped(*pair) == [[1, 2]]


DIFFERENT = [
    ("run02091.mid: bad magic 0x1f", "run02091.mid: bad checksum 0x1f"),
    ("cannot open /data/calib.txt", "cannot open /data/odb.txt"),
    ("OSError: [Errno 2]", "OSError: [Errno 13]"),
    ("server says: status 404", "server says: status 500"),
    ("KeyError: 'pedestal'", "KeyError: 'gain'"),
    ("file is there", "file is not there"),
    ("", "Aborted"),
]


@pytest.mark.parametrize("pair", DIFFERENT)
def test_different_words_codes_and_files_are_not(pair: tuple[str, str]) -> None:
    assert grouped(*pair) == [[1], [2]]


def test_causes_exits_and_signals_are_never_one() -> None:
    found = [
        *failed("the end"),
        *failed("the end", exit=8),
        *failed("the end", exit=None, signal=11),
        *failed("the end", cause="time"),
    ]
    assert len(failures.groups(found)) == 4


def test_of_ten_words_one_may_differ() -> None:
    long = "the fit of detector {} did not converge after all the steps it may make"
    assert grouped(long.format("SiL"), long.format("GeHigh")) == [[1, 2]]
    short = "the fit of {} fails"
    assert grouped(short.format("SiL"), short.format("GeHigh")) == [[1], [2]]


def test_the_largest_group_comes_first_whatever_the_order() -> None:
    assert grouped("a", "b 1", "b 2", "b 3", "a", "c") == [[2, 3, 4], [1, 5], [6]]


def test_a_label_is_as_good_as_a_number() -> None:
    labelled = [
        dataclasses.replace(FAILURE, run=run, label=label, message=f"{label}: empty")
        for run, label in enumerate(("cosmics-a", "cosmics-b"), 1)
    ]
    assert [group.form for group in failures.groups(labelled)] == ["<run>: empty"]


def test_a_held_run_without_a_failure_is_told_by_its_holder() -> None:
    held = dataclasses.replace(FAILURE, state="held", why="held by mu: look at 17", cause=None, message=None, exit=None)
    [group] = failures.groups([held])
    assert (group.cause, group.form) == (None, "held by mu: look at <N>")


@hypothesis.given(strategies.lists(strategies.text(max_size=60), max_size=30))
def test_no_failure_is_lost_or_told_twice(messages: list[str]) -> None:
    found = [run for runs in grouped(*messages) for run in runs]
    assert sorted(found) == list(range(1, len(messages) + 1))


@hypothesis.given(strategies.text(max_size=120))
def test_many_messages_have_the_forms_of_each(message: str) -> None:
    """The short way to a form leads to the same one."""
    forms = likeness.Forms()
    assert forms.of(message) == likeness.form(message) == forms.of(message)


def test_codes_are_told_apart_among_many_messages_too() -> None:
    forms = likeness.Forms()
    found = [forms.of(f"run{run}: error {code}") for run, code in ((1, 5), (2, 5), (3, 7))]
    assert found == ["run<N>: error 5", "run<N>: error 5", "run<N>: error 7"]


def logged(logs: dict[str, list[str]], found: list[facts.Failure]) -> list[failures.Group]:
    return failures.look_into(failures.groups(found), lambda path: logs.get(path, []))


def test_logs_that_end_alike_in_another_order_are_one() -> None:
    """Two threads, or stdout and stderr: what comes last is chance."""
    logs = {
        "/1": ["begin", "worker 3 died", "giving up"],
        "/2": ["begin", "giving up", "worker 4 died"],
        "/3": ["begin", "quite different"],
    }
    found = [
        dataclasses.replace(FAILURE, run=1, message="giving up", elog="/1"),
        dataclasses.replace(FAILURE, run=2, message="worker 4 died", elog="/2"),
        dataclasses.replace(FAILURE, run=3, message="quite different", elog="/3"),
    ]
    groups = logged(logs, found)
    assert [group.numbers for group in groups] == [[1, 2], [3]]
    assert groups[0].lines == ("begin", "worker 3 died", "giving up")


def test_of_a_large_group_few_logs_are_read() -> None:
    read = []

    def look(path: str) -> list[str]:
        read.append(path)
        return ["the end"]

    found = [dataclasses.replace(FAILURE, run=run, elog=f"/{run}") for run in range(1000)]
    [group] = failures.look_into(failures.groups(found), look)
    assert read == ["/0", "/500", "/999"]
    assert group.example.run == 0


def test_logs_that_have_only_the_last_line_in_common_are_told() -> None:
    logs = {
        "/1": ["reading", "channel a", "channel b", "no pedestal", "Aborted"],
        "/2": ["writing", "tree full", "branch c", "disk gone", "Aborted"],
    }
    found = [dataclasses.replace(FAILURE, run=run, message="Aborted", elog=f"/{run}") for run in (1, 2)]
    assert logged(logs, found)[0].unlike
    logs["/2"] = logs["/1"]
    assert not logged(logs, found)[0].unlike


def test_ranges() -> None:
    assert filters.joined((run, run) for run in [9, 1, 2, 3, 7, 10]) == ((1, 3), (7, 7), (9, 10))
    assert filters.ranges([1, 2, 3, 7, 9, 10], most=2) == "1-3 7 and 2 more"
    assert filters.ranges([]) == ""


def test_only_what_is_nearly_all_of_enough_is_concentrated() -> None:
    assert failures.concentrated({"n03": 34, "n01": 3}, 37) == ("n03", 34)
    assert failures.concentrated({"n03": 20, "n01": 17}, 37) is None
    assert failures.concentrated({"n03": 2}, 2) is None
    assert failures.concentrated({}, 0) is None


# --- which setting would help -------------------------------------------------------------------------------------------

PROGRAM = """
[programs.sim]
script = "sim.sh"
arguments = ["{run}", "{tree}"]
outputs.tree.path = "tree/v{version}/tree{run:05d}.root"
"""


def load(directory: pathlib.Path, text: str) -> settings_.Settings:
    """Settings as a command has them; the suggested lines in a file over those that are there."""
    (directory / "production.toml").write_text(PROGRAM)
    (directory / "more.toml").write_text(text)
    return settings_.load(
        config=str(directory / "more.toml"),
        flags={},
        environ={},
        cwd=str(directory),
        home=str(directory),
        system="/none",
    )


GIGABYTE = 1 << 30

CASES: list[tuple[dict[str, object], str, dict[str, object]]] = [
    (
        {"cause": "memory", "memory": 2 * GIGABYTE, "resources": '{"memory": 2147483648, "cores": 1}'},
        "",
        {"programs.sim.resources.memory": "3G"},
    ),
    (
        {"cause": "memory", "resources": '{"memory": 2147483648}'},
        'programs.sim.retry.memory = "2G"',
        {"programs.sim.resources.memory": "3G", "programs.sim.retry.memory": "3G"},
    ),
    ({"cause": "memory", "memory": None}, "", {}),
    ({"cause": "time", "resources": '{"time": 3840}', "wall": 3850.0}, "", {"programs.sim.resources.time": "1:37:00"}),
    (
        {"cause": "time", "resources": '{"time": 3600}', "wall": 3600.0},
        'programs.sim.retry.time = "1:00:00"',
        {"programs.sim.resources.time": "1:30:00", "programs.sim.retry.time": "1:30:00"},
    ),
    ({"cause": "node"}, "", {}),
    ({"cause": "launch", "message": "Invalid job array specification"}, "", {"batch.tasks": 100}),
    ({"cause": "launch", "message": "/data/sim.sh: No such file or directory"}, "", {}),
    ({"cause": "staging", "message": "/pnfs/run00001.mid is missing in the archive"}, "", {}),
    (
        {"cause": "staging", "message": "ftp://a/b broke off: no byte for 60 s"},
        "archive.stall = 100",
        {"archive.stall": 200, "archive.first_byte": 3600},
    ),
    (
        {"cause": "staging", "message": "its input has 3.0 GiB, more than the 2.0 GiB that quota and spacelim allow"},
        'spacelim = 100\n[quota]\nlimit = "2G"',
        {"quota.limit": "3687M"},
    ),
    (
        {"cause": "staging", "message": "its input has 1.9 GiB, more than the 1.8 GiB that quota and spacelim allow"},
        'spacelim = 50\n[quota]\nlimit = "8G"',
        {"spacelim": 100},
    ),
    (
        {"cause": "output", "message": "output tree: only 812 bytes, less than its minimum of 1,000"},
        "programs.sim.outputs.tree.minimum = 1000",
        {"programs.sim.outputs.tree.minimum": 812},
    ),
    (
        {"cause": "output", "message": "output tree: /data/x is missing"},
        "",
        {"programs.sim.outputs.tree.optional": True},
    ),
    ({"cause": "output", "message": "/data/tree00001.root is there already and is not this run's"}, "", {}),
    ({"cause": "output", "message": "output tree: no ROOT file"}, "", {}),
    ({"cause": "program", "exit": 127, "message": "exit 127: root: command not found"}, "", {}),
    ({"cause": "program", "message": "exit 9: no"}, "", {}),
    (
        {"cause": "program", "message": "exit 1: std::bad_alloc", "memory": 3 * GIGABYTE},
        "",
        {"programs.sim.resources.memory": "5G"},
    ),
    ({"cause": "lost"}, "grace = 400", {"grace": 800}),
    ({"cause": "killed", "memory": GIGABYTE}, "", {"programs.sim.resources.memory": "1536M"}),
    ({"cause": "killed"}, "", {}),
    ({"cause": "cancelled"}, "", {}),
    ({"cause": None, "state": "held"}, "", {}),
]


@pytest.mark.parametrize(("told", "now", "wanted"), CASES)
def test_the_setting_that_would_help_can_be_set(
    told: dict[str, object], now: str, wanted: dict[str, object], tmp_path: pathlib.Path
) -> None:
    """What is proposed for a group is read by the settings, together with those that are in force."""
    chosen = load(tmp_path, now)
    [group] = failures.groups([dataclasses.replace(FAILURE, run=run, **told) for run in (1, 2, 3)])  # type: ignore[arg-type]  # by their names
    found = advice.advise(group, "sim", chosen)
    assert found.text
    assert {".".join(key): value for key, value in found.settings.items()} == wanted
    if wanted:
        both = merged(tomllib.loads(now), tomllib.loads(found.toml))
        assert load(tmp_path, toml(both)) != chosen


def test_a_fetch_on_the_login_node_is_tried_there(tmp_path: pathlib.Path) -> None:
    said = "batch.fetch (dccp) on login: exit 127: sh: 1: exec: dccp: not found"
    [group] = failures.groups([dataclasses.replace(FAILURE, cause="staging", message=said)])
    batch = 'batch = { system = "slurm", host = "login", remote_data = "~/rp", stage = "remote", fetch = ["dccp", "dcap://d/raw/{input}", "{to}"] }'
    found = advice.advise(group, "sim", load(tmp_path, batch))
    assert found.text == "try it by hand on login: dccp dcap://d/raw/INPUT TO"
    assert advice.advise(group, "sim", load(tmp_path, "")).text == "try batch.fetch by hand on the login node"


def test_nodes_in_trouble_everywhere_are_given_time(tmp_path: pathlib.Path) -> None:
    nodes = [dataclasses.replace(FAILURE, run=run, cause="node", host=f"n{run}") for run in range(5)]
    found = advice.advise(failures.groups(nodes)[0], "sim", load(tmp_path, ""))
    changed = load(tmp_path, found.toml)
    assert changed.programs["sim"].retry.pause == 600


def test_one_bad_node_is_named(tmp_path: pathlib.Path) -> None:
    nodes = [dataclasses.replace(FAILURE, run=run, cause="node", host="n03") for run in range(5)]
    found = advice.advise(failures.groups(nodes)[0], "sim", load(tmp_path, ""))
    assert "n03" in found.text
    assert found.toml == ""


def merged(one: dict[str, object], other: dict[str, object]) -> dict[str, object]:
    """Tables of both; the other's values where both have one."""
    both = dict(one)
    for key, value in other.items():
        mine = both.get(key)
        both[key] = merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both


def toml(table: dict[str, object], before: str = "") -> str:
    """Of tables of tables and simple values."""
    lines = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines.append(toml(value, f"{before}{key}."))
        else:
            shown = str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else value
            lines.append(f"{before}{key} = {shown}")
    return "\n".join(lines)
