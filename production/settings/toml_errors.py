"""What is wrong with a file that isn't TOML, and what to write instead: one line for whoever has just edited it.

In comes what ``tomllib`` says of the text, out goes an error with file, line and key. Next is ``layer``. The line itself
is never repeated: there may be a password in it.
"""

from __future__ import annotations

import re
import tomllib

from production import errors

_MENDS = {
    "Expected '=' after a key": "write key = value; a text stands in quotes, a comment begins with #",
    "Invalid value": 'a text stands in quotes, as key = "text"; true and false are written small',
    "Illegal character '\\n'": "a text that begins with a quote ends with one, on the same line",
    "Illegal character": "there is a sign in it that can't be seen: type the line anew",
    "Unclosed array": "values in [ ] have commas between them, and a ] behind the last",
    "Unclosed inline table": "what is in { } stands on one line, with commas between",
    "Invalid initial character for a key part": "what is in { } stands on one line, without a comma behind the last",
    "Cannot overwrite a value": "it is set above already: leave one of them out",
    "Cannot declare": "this table stands above already: leave one of the two headers out",
    "Expected newline or end of document": 'one key = value a line; a text stands in quotes, as limit = "2T"; no 0 before a number',
    "Unescaped '\\'": "write \\\\ for one \\, or put the text into single quotes",
    "Expected ']'": "a table's header is a name in [ ], alone on its line",
    "Invalid statement": "a line is key = value, a [table], or a # comment",
    'Expected "\'"': "a text that begins with a quote ends with one, on the same line",
    "Expected '\"'": "a text that begins with a quote ends with one, on the same line",
    "Unterminated string": "a text that begins with a quote ends with one",
}
"""What the parser says, by its beginning, and the mend."""
_ELSE = "how it is written: toml.io"


def explained(error: tomllib.TOMLDecodeError, text: str, name: str) -> errors.UsageError:
    """The error to raise for what the parser says of this file."""
    problem, _, at = str(error).rpartition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", at)
    number = int(found[1]) if found else text.count("\n") + 1
    column = f"column {found[2]}" if found else "end of the file"
    problem = problem or str(error)
    mend = next((mend for begin, mend in _MENDS.items() if problem.startswith(begin)), _ELSE)
    key = _key(text.splitlines()[:number])
    return errors.UsageError(f"{name}:{number}: {key}{problem} ({column}); {mend}")


def not_text(content: bytes, error: UnicodeDecodeError, name: str) -> errors.UsageError:
    """The error to raise for bytes that are no UTF-8."""
    number = content.count(b"\n", 0, error.start) + 1
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return errors.UsageError(f"{name}: it is UTF-16 text; save it as UTF-8")
    if b"\0" in content:
        return errors.UsageError(f"{name}: it is no text file; is it the right one?")
    return errors.UsageError(f"{name}:{number}: not UTF-8 text; save it as UTF-8, e.g. by iconv -f latin1 -t utf8")


def _key(lines: list[str]) -> str:
    """``programs.alcapana.script: ``, if the last line begins with a key; without a table that can't be told."""
    here = re.match(r"\s*([\w.-]+)\s*=", lines[-1]) if lines else None
    if here is None:
        return ""
    headers = (re.match(r"\s*\[\s*([\w.-]+)\s*\]", line) for line in reversed(lines))
    table = next((header[1] for header in headers if header), "")
    return f"{table}.{here[1]}: " if table else f"{here[1]}: "
