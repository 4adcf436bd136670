"""What servers list and what they say of checksums: text in, values out."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest

from production.transfer import base, digest, listing

VSFTPD = """\
drwxr-xr-x    2 0        0            4096 Nov 20 19:48 2015
-rw-r--r--    1 0        0         3145728 Nov 20 19:48 run 1.mid
-rw-------    1 1000     1000  12884901888 Jan 01  2015  run02091.mid
lrwxrwxrwx    1 0        0               9 Nov 20 19:48 last -> run 1.mid"""
"""As vsftpd 3.0.3 prints it."""


def test_a_unix_listing() -> None:
    assert listing.unix(["total 3", *VSFTPD.split("\n")]) == [
        base.Entry(" run02091.mid", 12884901888),
        base.Entry("2015", None, directory=True),
        base.Entry("last", None),
        base.Entry("run 1.mid", 3145728),
    ]
    acl = "-rw-rw-r--+ 1 data physics 17 2026-11-20 19:48 run.mid"
    assert listing.unix([acl]) == [base.Entry("run.mid", 17)]


def test_a_machine_listing() -> None:
    lines = [
        "type=cdir;perm=el; /raw",
        "type=dir;size=4096; 2015",
        "Type=file;Size=17;Modify=20261120194848; run; 1.mid",
        "type=OS.unix=slink:/x; link",
    ]
    assert listing.machine(lines) == [
        base.Entry("2015", None, directory=True),
        base.Entry("link", None),
        base.Entry("run; 1.mid", 17),
    ]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_last_line_needs_no_end(end: str) -> None:
    assert listing.lines_of(f"a\r\nb{end}") == ["a", "b"]
    assert listing.lines_of(end) == ([""] if end else [])


def test_a_size_that_cannot_be_is_not_known() -> None:
    many = "9" * 5000
    assert listing.machine([f"type=file;size={many}; run.mid"]) == [base.Entry("run.mid", None)]
    assert listing.unix([f"-rw-r--r-- 1 0 0 {many} Nov 20 19:48 run.mid"]) == [base.Entry("run.mid", None)]


@pytest.mark.parametrize("parse", [listing.unix, listing.machine])
@hypothesis.given(line=st.text(min_size=1).filter(str.strip))
def test_a_line_that_cannot_be_read_is_an_error(parse: object, line: str) -> None:
    try:
        entries = parse([line])  # type: ignore[operator]
    except ValueError:
        return
    assert all(isinstance(each, base.Entry) for each in entries)


@pytest.mark.parametrize(
    ("features", "algorithm", "command"),
    [
        ({}, "ADLER32", ""),
        ({"SIZE": "", "XCRC": "file", "XMD5": "file"}, "CRC32", "XCRC "),
        ({"XMD5": "", "XSHA256": ""}, "MD5", "XMD5 "),
        ({"CKSUM": "MD5,ADLER32", "XCRC": ""}, "ADLER32", "CKSM ADLER32 0 -1 "),
        ({"HASH": "SHA-512;SHA-256*;MD5"}, "SHA256", "HASH "),
        ({"HASH": "BLAKE7*"}, "ADLER32", ""),
    ],
)
def test_the_cheapest_checksum_is_asked(features: dict[str, str], algorithm: str, command: str) -> None:
    assert digest.choose(features) == digest.Way(algorithm, command)


CONTENT = b"Wikipedia"
KNOWN = {
    "ADLER32": "11e60398",
    "CRC32": "adaac02e",
    "MD5": "9c677286866aad38f8e9b660f5411814",
    "SHA1": "664add438097fbd4307f814de8e62a10f8905588",
}


@pytest.mark.parametrize(("algorithm", "known"), KNOWN.items())
def test_what_it_says_is_compared(algorithm: str, known: str) -> None:
    way = digest.Way(algorithm, "X")
    one, other = way.new(), way.new()
    one.update(memoryview(CONTENT))
    for at in range(len(CONTENT)):
        other.update(memoryview(CONTENT)[at : at + 1])
    assert one.hexdigest() == other.hexdigest() == known
    for reply in (
        f"250 {known}",
        f"213 {known.upper()}",
        f"250-X\r\n {known}\r\n250 end",
        f"213 {algorithm} 0-8 {known}",
    ):
        assert way.agrees(known, reply)
    assert way.agrees(known, f"250 {known[::-1]}") is False
    assert way.agrees(known, "250 done") is None


@pytest.mark.parametrize("reply", ["file is not a crc", "XCRC 5 of a", "be", "a", "0", "faded", "decade", "12 34", ""])
def test_prose_is_no_checksum(reply: str) -> None:
    for algorithm, known in KNOWN.items():
        assert digest.Way(algorithm, "X").agrees(known, f"250 {reply}") is None


def test_zeros_may_be_lost() -> None:
    way = digest.Way("CRC32", "XCRC ")
    assert way.agrees("00ab12cd", "250 AB12CD")
    assert way.agrees("00ab12cd", "250 AB12CE") is False
    assert way.agrees("00ab12cd", "250 AB12CD is it") is None
