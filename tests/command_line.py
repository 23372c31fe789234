"""Running the command line, in this process and in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from browser import ROOT

import core.__main__ as cli

QUICK = ("--epochs", "1", "--ranges", "percentile", "--head", "round")
DISCRIMINATIVE = ("--model", "discriminative", *QUICK)
GENERATIVE = ("--model", "generative", *QUICK)


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one line of stdout as strict JSON."""
        assert (self.code, self.out.count("\n")) == (0, 1), self.err
        return json.loads(self.out, parse_constant=_refuse)


Run = Callable[..., Ran]


def command_line(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs `core.__main__.main` with the given arguments."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return Ran(code, *capsys.readouterr())

    return run


def process(*arguments: str, **environment: str) -> Ran:
    """The real command in a process of its own."""
    command = [sys.executable, "-m", "core", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, done.stderr)


def _refuse(constant: str) -> None:
    pytest.fail(f"{constant} is not JSON")
