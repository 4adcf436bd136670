"""Looks at outputs without threads: asked once it is still looking, asked again it has looked."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence

from production.outputs import base


class FakeInspector:
    """One manager's."""

    def __init__(self) -> None:
        self._rules: dict[str, list[base.Rule]] = {}
        self._asked: set[str] = set()

    def start(self, mark: str, rules: Sequence[base.Rule]) -> None:
        self._rules.setdefault(mark, list(rules))

    def waits(self) -> str:
        return ""

    def coming(self) -> dict[str, int]:
        return {}

    def verdict(self, mark: str) -> base.Verdict | None:
        rules = self._rules[mark]
        if mark not in self._asked:
            self._asked.add(mark)
            return None
        self._asked.remove(mark)
        del self._rules[mark]
        return _look(rules)

    def close(self) -> None:
        """There are no threads."""


def _look(rules: Sequence[base.Rule]) -> base.Verdict:
    seen = []
    for rule in rules:
        output = rule.output
        if not os.path.isfile(output.temporary):
            return base.Verdict((), f"output {output.name}: {output.temporary} is missing")
        with open(output.temporary, "rb") as file:
            text = file.read()
        if len(text) < rule.minimum:
            return base.Verdict((), f"output {output.name}: only {len(text)} bytes")
        checksum = f"adler32:{zlib.adler32(text):08x}"
        seen.append(type(output)(output.name, output.temporary, output.final, len(text), checksum))
    return base.Verdict(tuple(seen))
