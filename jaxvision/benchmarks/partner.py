"""Another interpreter, which has torch: it runs a script of ours and answers line by line, so that sides take turns."""

import contextlib
import pathlib
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from jaxvision.errors import UserError


class Partner:
    """A process PYTHON SCRIPT ARGS ... that first says its version and one figure, then answers each line with one.

    Attributes:
      version: of its torch.
      parameters: of its model.

    Args:
      python: the interpreter.
      script: beside this file.
      *args: of the script.

    Raises:
      UserError: it cannot be run, or ended; here and whenever it is asked.
    """

    def __init__(self, python: str, script: str, *args: str):
        command = [python, str(pathlib.Path(__file__).with_name(script)), *args]
        self._said = tempfile.TemporaryFile('w+')  # noqa: SIM115  (closed with the process)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
            )
        except OSError as error:
            raise UserError(f'--pytorch={python} cannot be run: {error.strerror}') from error
        try:
            self.version, parameters = self._answer(str, 2)
            if not parameters.isdecimal():
                raise UserError(f'the interpreter of --pytorch said {parameters!r}, not a number of parameters')
        except UserError:
            self.close()
            raise
        self.parameters = int(parameters)

    def ask(self, *words: object, figures: int = 1) -> list[float]:
        """Writes the words as a line, and waits for so many figures."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # It has ended, and does not answer.
            self._process.stdin.write(' '.join(map(str, words)) + '\n')
            self._process.stdin.flush()
        return self._answer(float, figures)

    def close(self) -> None:
        """Ends the process, once it has answered all."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._said.close()

    def _answer(self, kind: Callable[[str], Any], count: int) -> list[Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            said = self._said.read().strip().splitlines()
            raise UserError(f'the interpreter of --pytorch ended: {said[-1] if said else "it said nothing"}')
        try:
            words = [kind(word) for word in line.split()]
        except ValueError:
            words = []
        if len(words) != count:
            raise UserError(f'the interpreter of --pytorch said {line.strip()!r}, not {count} figures')
        return words
