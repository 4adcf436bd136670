"""An FTP server that misbehaves when it is told to: cuts at any byte, stalls, refuses, lies."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
import re
import socket
import socketserver
import struct
import threading
import zlib
from collections.abc import Callable

LONG = 30.0


@dataclasses.dataclass
class Mood:
    """What it does wrong; a new one is a good server."""

    greeting: str = "220 ready"
    most: int = 1000
    """Connections at a time; further ones are refused."""
    login: Callable[[str, str], str] = lambda _user, _password: "230 come in"
    answers: dict[str, str] = dataclasses.field(default_factory=dict)
    """{command: what it says instead of obeying}"""
    killer: str = ""
    """A file at whose RETR it leaves."""
    hang_up_at: str = ""
    """A command at which it closes the control connection without a word."""
    silent: str = ""
    """A command (or CONNECT) that it doesn't answer until ``over`` is set."""
    drip: str = ""
    """A command that it answers with "150 wait" again and again, until ``over`` is set."""
    doubled: str = ""
    """A command that it answers twice."""
    endless: bool = False
    """Its listings."""
    trickle: bool = False
    """Bytes come one by one, until ``over`` is set."""
    cut: int | None = None
    """Bytes of the file, counted from its beginning, before which the transfer ends."""
    how: str = "426"
    """How it is cut: "426" and "226" are told, "reset" and "close" take the control connection along."""
    stall: int | None = None
    """Bytes of this transfer after which nothing comes, until ``over`` is set."""
    over: threading.Event = dataclasses.field(default_factory=threading.Event)
    size: int | None = None
    """What it says is the size of everything."""
    no_rest: bool = False
    """REST is taken, and not heeded."""
    features: tuple[str, ...] = ("MDTM", "SIZE", "REST STREAM")
    stage: Callable[[], str] = lambda: "200 staged"
    checksum: Callable[[bytes], str] = lambda content: f"250 {zlib.crc32(content):08X}"


class Server(socketserver.ThreadingTCPServer):
    """Serves a directory to everybody."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, files: pathlib.Path) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.files = files
        self.mood = Mood()
        self.heard: list[str] = []
        """Every command."""
        self.port = int(self.server_address[1])
        self.open: set[socket.socket] = set()
        self.connections = 0
        """How often somebody came."""
        self.silence = threading.Semaphore(0)
        """Released when it keeps silent."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str = "") -> str:
        return f"ftp://127.0.0.1:{self.port}/{path}"

    def count(self, command: str) -> int:
        return sum(line.partition(" ")[0] == command for line in list(self.heard))

    def hang_up(self) -> None:
        """On everybody."""
        for each in list(self.open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.mood.over.set()
        self.shutdown()
        self.server_close()
        self.hang_up()
        self._thread.join(LONG)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Over(Exception):
    """This session."""


class _Session(socketserver.StreamRequestHandler):
    server: Server
    request: socket.socket

    def handle(self) -> None:
        self.server.open.add(self.request)
        self.server.connections += 1
        self.offset, self.user, self.listener, self.twice = 0, "", None, False
        try:
            self.keep_silent("CONNECT")
            crowded = len(self.server.open) > self.server.mood.most
            self.say("421 too many of you" if crowded else self.server.mood.greeting)
            for line in self.rfile:
                self.obey(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))
        except (_Over, OSError):
            pass
        finally:
            self.server.open.discard(self.request)
            if self.listener:
                self.listener.close()

    def say(self, text: str) -> None:
        final = self.twice and not text.startswith("1")
        self.wfile.write((text.encode() + b"\r\n") * (2 if final else 1))
        if text.startswith("421"):
            raise _Over

    def keep_silent(self, command: str) -> None:
        if command == self.server.mood.silent:
            self.server.silence.release()
            self.server.mood.over.wait(LONG)

    def obey(self, line: str) -> None:
        self.server.heard.append(line)
        command, _, argument = line.partition(" ")
        mood = self.server.mood
        if command == mood.hang_up_at:
            raise _Over
        if command in mood.answers:
            self.say(mood.answers[command])
            return
        self.keep_silent(command)
        while command == mood.drip and not mood.over.wait(0.02):
            self.say("150 wait")
        self.twice = command == mood.doubled
        deed = getattr(self, f"do_{command.lower()}", None)
        if deed is None:
            self.say(f"500 {command} not understood")
        else:
            deed(argument)

    def path(self, name: str) -> pathlib.Path:
        return self.server.files / name

    def do_user(self, user: str) -> None:
        self.user = user
        self.say("331 password?")

    def do_pass(self, password: str) -> None:
        self.say(self.server.mood.login(self.user, password))

    def do_quit(self, _: str) -> None:
        self.say("221 bye")
        raise _Over

    def do_type(self, _: str) -> None:
        self.say("200 fine")

    def do_feat(self, _: str) -> None:
        self.say("\r\n".join(["211-Features:", *(f" {each}" for each in self.server.mood.features), "211 End"]))

    def do_size(self, name: str) -> None:
        if not self.path(name).is_file():
            self.say("550 no such file")
        else:
            size = self.server.mood.size
            self.say(f"213 {self.path(name).stat().st_size if size is None else size}")

    def do_mdtm(self, name: str) -> None:
        changed = datetime.datetime.fromtimestamp(self.path(name).stat().st_mtime, datetime.UTC)
        self.say(f"213 {changed:%Y%m%d%H%M%S}")

    def do_xcrc(self, name: str) -> None:
        self.say(self.server.mood.checksum(self.path(name).read_bytes()))

    def do_stage(self, _: str) -> None:
        self.say(self.server.mood.stage())

    def do_rest(self, offset: str) -> None:
        self.offset = 0 if self.server.mood.no_rest else int(offset)
        self.say("350 go on")

    def do_cwd(self, name: str) -> None:
        self.directory = self.path(name)
        self.say("250 there" if self.directory.is_dir() else "550 no such directory")

    def do_list(self, _: str) -> None:
        directory = getattr(self, "directory", self.server.files)
        lines = [
            f"{'d' if each.is_dir() else '-'}rw-r--r--    1 0  0  {each.stat().st_size} Nov 20 19:48 {each.name}\r\n"
            for each in directory.iterdir()
        ]
        self.send("".join(lines).encode(), 0)

    def do_pasv(self, _: str) -> None:
        if self.listener:
            self.listener.close()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(LONG)
        port = self.listener.getsockname()[1]
        self.say(f"227 here (192,0,2,1,{port >> 8},{port & 255})")  # an address that isn't ours: not to be believed

    def do_retr(self, name: str) -> None:
        if not re.fullmatch(r"[^/].*", name) or not self.path(name).is_file():
            self.say("550 no such file")
            return
        if name == self.server.mood.killer:
            self.say("421 this is too much")
        begin, self.offset = self.offset, 0
        self.send(self.path(name).read_bytes(), begin)

    def send(self, content: bytes, begin: int) -> None:
        mood = self.server.mood
        assert self.listener is not None
        self.say("150 it comes")
        data, _ = self.listener.accept()
        with data:
            end = len(content) if mood.cut is None else max(begin, mood.cut)
            if mood.stall is not None:
                data.sendall(content[begin : begin + mood.stall])
                mood.over.wait(LONG)
                begin += mood.stall
            while mood.trickle and begin < end and not mood.over.wait(0.02):
                data.sendall(content[begin : begin + 1])
                begin += 1
            while mood.endless:
                data.sendall(b"x" * (1 << 20))
            data.sendall(content[begin:end])
            if mood.cut is not None and mood.how == "reset":
                data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if mood.cut is None or mood.how == "226":
            self.say("226 that was it")
        elif mood.how in {"reset", "close"}:
            raise _Over
        else:
            self.say("426 cut")
