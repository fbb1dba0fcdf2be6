"""The two errors that Chorus raises on purpose; the command line turns them into exit codes."""


class ChorusError(Exception):
    """Something failed that was asked for correctly (exit code 1)."""


class InputError(ChorusError, ValueError):
    """What was given cannot be used: the message says what, where and what to do (exit code 2)."""
