"""Exit statuses of `holdfast`, and the errors that lead to them."""
import sys

WRONG_USE = 2
TIMEOUT = 124
PANIC = 125
NO_QEMU = 126


class Failure(Exception):
    """Ends the command with one line on stderr and an exit status."""

    status = 1


class WrongUse(Failure):
    """The user can put this right: arguments, files, ports, memory."""

    status = WRONG_USE


class NoQemu(Failure):
    """QEMU is missing or did not start."""

    status = NO_QEMU


def say(text):
    """Tell the user something that is not the program's own output."""
    sys.stderr.write("holdfast: %s\n" % text)
    sys.stderr.flush()
