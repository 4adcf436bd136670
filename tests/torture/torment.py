"""Lets managers die over a production, again and again, starts them anew until all is done, and judges what is left."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import random
import shutil
import signal
import threading
from collections.abc import Callable, Sequence

from tests.torture import check, mortal, production

Choice = Callable[[], Sequence[mortal.Deed]]


@dataclasses.dataclass(slots=True)
class Score:
    """What was done in all productions so far, and what was wrong. Shared by those that go on side by side."""

    done: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """``SIGNAL POINT``: how often."""
    dirty: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """The same, in productions with a finding."""
    findings: list[str] = dataclasses.field(default_factory=list)
    productions: int = 0
    seen: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """Points that undisturbed managers came by."""
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def hits(self, deed: str) -> collections.Counter[str]:
        """Points at which that was done: how often."""
        with self.lock:
            return collections.Counter(
                {key.partition(" ")[2]: n for key, n in self.done.items() if key.startswith(f"{deed} ")}
            )

    def satisfied(self, deed: str, target: int) -> tuple[str, ...]:
        """Points at which that was done often enough."""
        return tuple(point for point, number in self.hits(deed).items() if number >= target)

    def add(self, life: production.Life) -> None:
        """A manager is over."""
        with self.lock:
            self.done.update(f"{deed} {point}" for deed, point in life.done)
            self.seen.update(life.counts)

    def close(self, lives: Sequence[production.Life], findings: Sequence[str], where: pathlib.Path) -> None:
        """A production is over."""
        with self.lock:
            self.productions += 1
            if findings:
                self.dirty.update(f"{deed} {point}" for life in lives for deed, point in life.done)
                self.findings += [f"{where}: {finding}" for finding in findings]


def judge(life: production.Life) -> list[str]:
    """What is odd in how one manager ended, whatever became of the production."""
    findings = []
    deeds = [deed for deed, _ in life.done]
    told = f"{life.program}, after {life.done or 'nothing'}"
    if "Traceback" in life.said or "unexpected" in life.said:
        findings.append(f"an error nobody thought of ({told}):\n{life.tail}")
    if "KILL" in deeds:
        expected: tuple[int, ...] = (-signal.SIGKILL,)
    elif {"INT", "TERM", "HUP"} & set(deeds):
        expected = (130, 0)  # 0: told at the very end, when all had been done
        if life.done[0][1].startswith("campaign."):
            expected += (-signal.SIGTERM, -signal.SIGHUP)  # before it listens, and has anything to give back
    else:
        expected = (0,)
    if life.code not in expected:
        hung = " (it hung, and was killed)" if life.code == -signal.SIGKILL else ""
        findings.append(f"exit {life.code}{hung}, not {expected[0]} ({told}):\n{life.tail}")
    return findings


def drive(
    one: production.Production, choose: Choice, most: int, score: Score, lives: list[production.Life]
) -> list[str]:
    """Start managers, each with its deeds, until all is finished; after ``most`` of them undisturbed ones.

    The lives are added to ``lives``; returned is what was wrong.
    """
    findings: list[str] = []
    for program in one.programs:
        idle = 0
        while one.unfinished(program) or not lives or lives[-1].program != program or lives[-1].code != 0:
            life = one.live(program, choose() if len(lives) < most else ())
            lives.append(life)
            score.add(life)
            findings += judge(life)
            # Who is told to stop at once doesn't clean up after one that was killed before, and who is told twice leaves
            # everything to the next.
            if life.code == 130 and len(life.done) == 1 and all(earlier.code != -signal.SIGKILL for earlier in lives):
                findings += [f"after {life.done[-1]}: {finding}" for finding in check.gone(one)]
            if life.code == 0 and one.unfinished(program):
                findings.append(f"left with exit 0, and {one.unfinished(program)} runs unfinished:\n{life.tail}")
            idle = 0 if life.done else idle + 1
            if idle > 3:
                return [*findings, *check.finished(one)]
    return findings + check.finished(one)


def to_go(score: Score, times: int) -> dict[str, int]:
    """Points that haven't been hit so often yet: how many are missing."""
    hits = score.hits("KILL")
    return {point: times - hits[point] for point in hits.keys() | score.seen.keys() if hits[point] < times}


def kills_at_points(score: Score, target: int, chance: random.Random) -> Choice:
    """Deaths at points that haven't been hit often enough: soon, or somewhere on the way, or on the way out."""

    def choose() -> Sequence[mortal.Deed]:
        spare, missing = score.satisfied("KILL", target), to_go(score, target)
        # The rare points come at the beginning, when what the one before has left is found; and there is something to
        # be found only if that one was killed, at whatever point; best between an intent and its deed.
        skip = 0 if chance.random() < 0.6 else int(chance.expovariate(1 / 60))
        dice, on_the_way_out = chance.random(), sum(point.startswith("leave/") for point in missing)
        if dice < 0.1:
            return (mortal.Deed("KILL", ("submit*:os.posix_spawn:before",), (), int(chance.expovariate(1 / 20))),)
        if dice < 0.25 + 0.6 * on_the_way_out / max(1, len(missing)):
            told = mortal.Deed("INT", None, (), int(chance.expovariate(1 / 300)))
            return (told, mortal.Deed("KILL", None, spare, skip // 4))
        latest = 50 + int(chance.expovariate(1 / 700)) if chance.random() < 0.9 else None
        return (mortal.Deed("KILL", None, spare, skip, latest),)

    return choose


def one_deed(name: str, chance: random.Random, mean: float = 400) -> Choice:
    """The same signal, anywhere."""
    return lambda: (mortal.Deed(name, None, (), int(chance.expovariate(1 / mean))),)


def torture(
    score: Score, directory: pathlib.Path, runs: int, choose: Choice, most: int, **keywords: object
) -> list[str]:
    """One production from nothing to its end. Its directory is kept if there was a finding."""
    lives: list[production.Life] = []
    one = production.Production(directory, runs, **keywords)  # type: ignore[arg-type]
    findings = drive(one, choose, most, score, lives)
    score.close(lives, findings, directory)
    if not findings:
        shutil.rmtree(directory)
    return findings


def torture_from_outside(
    score: Score, directory: pathlib.Path, runs: int, chance: random.Random, kills: int, **keywords: object
) -> list[str]:
    """The same, killed by us at random times."""
    one = production.Production(directory, runs, **keywords)  # type: ignore[arg-type]
    lives: list[production.Life] = []
    findings: list[str] = []
    for program in one.programs:
        for _ in range(kills // len(one.programs)):
            life = one.live_for(program, chance.expovariate(1 / 1.2))
            lives.append(life)
            score.add(life)
            if life.code == 0:
                break
            if life.code != -signal.SIGKILL or "Traceback" in life.said:
                findings.append(f"exit {life.code}:\n{life.tail}")
        for life in one.finish_program(program):
            lives.append(life)
            score.add(life)
            findings += judge(life)
    findings += check.finished(one)
    score.close(lives, findings, directory)
    if not findings:
        shutil.rmtree(directory)
    return findings
