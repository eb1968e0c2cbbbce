"""The two channels to a running machine beside its console.

Control is the guest's second serial port. The guest writes lines `exit N`,
`panic TEXT` and `again` (start me once more); the host writes `winsize ROWS COLUMNS`. Lines with other
keys are kept in `values`. Monitor is QEMU's QMP, used for the power button and
for an NMI, which makes the kernel say where everything stands.
"""
import socket


class Control:
    """Our end of the second serial port."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.status = None
        self.panic = None
        self.again = False
        self.values = {}
        self._rest = b""

    def receive(self):
        """Take in what has come; => returns False when the guest is gone"""
        try:
            data = self.ours.recv(65536)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace").strip())
        return bool(data)

    def _line(self, line):
        key, _, value = line.partition(" ")
        if key == "exit" and value.isdigit():
            self.status = int(value) & 255
        elif key == "panic":
            self.panic = value
        elif key == "again":
            self.again = True
        elif key:
            self.values[key] = value

    def send(self, line):
        try:
            self.ours.send(line.encode() + b"\n")
        except OSError:
            pass  # A guest that does not listen is not our trouble.


class Monitor:
    """QMP, as far as we need it: no answers are read but thrown away."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)

    def _say(self, text):
        try:
            self.ours.recv(65536)
        except OSError:
            pass
        try:
            self.ours.send(text.encode() + b"\n")
        except OSError:
            pass

    def start(self):
        self._say('{"execute": "qmp_capabilities"}')

    def power_button(self):
        self._say('{"execute": "system_powerdown"}')

    def nmi(self):
        self._say('{"execute": "inject-nmi"}')
