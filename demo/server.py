#!/usr/bin/env python3
"""The demo's archive: an FTP server on loopback, python -m demo.server DIRECTORY NETRC LOG.

Serves DIRECTORY, to be read only, with the login and password that NETRC has for 127.0.0.1. Says in one line which port
the system has given it, and goes on until it is ended.

As a tape archive does, it knows STAGE, by which a file is asked for ahead; here that takes no time. With --rate it is as slow
as one.
"""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without a word, during these imports, too

import argparse
import logging
import netrc
import os
import sys

from pyftpdlib import authorizers, handlers, servers

from demo import command, password


class Handler(handlers.FTPHandler):
    """A session of FTP that knows STAGE, too."""

    banner = "the demo's archive"
    proto_cmds = {  # noqa: RUF012  as in its base
        **handlers.FTPHandler.proto_cmds,
        "STAGE": {"perm": "r", "auth": True, "arg": True, "help": "Syntax: STAGE <SP> file-name (ask for it ahead)."},
    }

    def ftp_STAGE(self, file: str) -> None:  # noqa: N802  so pyftpdlib finds it
        """Say whether the file is there: all of them are on disk."""
        self.log(f"STAGE {file}")
        if os.path.isfile(file):
            self.respond("200 It is on disk.")
        else:
            self.respond("550 No such file.")


class Slowly(handlers.ThrottledDTPHandler):
    """A transfer that takes its time."""


def serve(directory: str, netrc_file: str, log: str, rate: float) -> None:
    """Serve for good; each file with so many MiB/s, 0: as quick as can be."""
    logging.basicConfig(filename=log, level=logging.INFO, format="%(asctime)s %(message)s")
    found = netrc.netrc(netrc_file).authenticators(password.HOST)
    if found is None:
        sys.exit(f"{netrc_file}: no login for {password.HOST}")
    authorizer = authorizers.DummyAuthorizer()
    authorizer.add_user(found[0], found[2], directory, perm="elr")
    Handler.authorizer = authorizer
    if rate:
        Slowly.write_limit = round(rate * 2**20)
        Handler.dtp_handler = Slowly
    server = servers.FTPServer((password.HOST, 0), Handler)
    print(server.address[1], flush=True)
    server.serve_forever()


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m demo.server")
    for name in ("directory", "netrc", "log"):
        parser.add_argument(name)
    parser.add_argument("--rate", type=float, default=0.0, help="MiB/s of each file (as quick as can be)")
    options = parser.parse_args()
    try:
        serve(options.directory, options.netrc, options.log, options.rate)
    except OSError as error:
        sys.exit(f"server: {command.in_the_way(error, options.directory)}")


if __name__ == "__main__":
    main()
