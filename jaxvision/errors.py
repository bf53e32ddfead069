"""The exceptions that `launch/` turns into one line and an exit status; nothing else in the code base catches them."""


class UserError(Exception):
    """A mistake that the user can mend. Its text is one line: what is wrong, where, and how to mend it."""


class Stopped(Exception):
    """A run was asked to stop (SIGTERM, Ctrl-C) and has saved where it was.

    Attributes:
      signal: the signal's number.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.signal = signal
