"""The user's terminal while a guest has it.

QEMU itself reads and writes it in raw mode; here its settings are saved
and put back whatever becomes of QEMU, and its size is read.
"""
import fcntl
import os
import struct
import sys
import termios


def interactive():
    """Whether a person is on both ends of the console."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def size():
    """(rows, columns), or None when there is no terminal."""
    try:
        answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return None
    rows, columns = struct.unpack("HHHH", answer)[:2]
    return (rows, columns) if rows and columns else None


def kind():
    """TERM for the guest: one that ncurses-base knows."""
    known = ("xterm", "xterm-256color", "linux", "vt100", "vt220", "screen",
             "screen-256color", "tmux", "tmux-256color", "rxvt", "ansi")
    name = os.environ.get("TERM", "dumb")
    if not interactive():
        return "dumb"
    return name if name in known else "xterm"


class Saved:
    """With-block after which the terminal is as it was."""

    def __enter__(self):
        self.state = None
        if sys.stdin.isatty():
            self.state = termios.tcgetattr(sys.stdin.fileno())
        return self

    def __exit__(self, *error):
        if self.state is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self.state)
        for stream in (sys.stdin, sys.stdout):
            # QEMU leaves the descriptors non-blocking, also for the shell.
            try:
                os.set_blocking(stream.fileno(), True)
            except (OSError, ValueError):
                pass
