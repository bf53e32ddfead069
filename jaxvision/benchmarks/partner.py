"""Another interpreter, which has torch: it runs a script of ours and answers line by line, so that sides take turns."""

import pathlib
import subprocess
import tempfile

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
        self.version, parameters = self._answer().split()
        self.parameters = int(parameters)

    def ask(self, *words: object) -> list[float]:
        """Writes the words as a line, and waits for the figures of the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(' '.join(map(str, words)) + '\n')
        self._process.stdin.flush()
        return [float(word) for word in self._answer().split()]

    def close(self) -> None:
        self._process.communicate()
        self._said.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            said = self._said.read().strip().splitlines()
            raise UserError(f'the interpreter of --pytorch ended: {said[-1] if said else "it said nothing"}')
        return line
