"""A disk whose faults a test decides: an NBD server for QEMU over an image file.

	with FaultDisk(path) as disk:
	    disk.fault = lambda kind, n, at, data: errno.EIO if (kind, n) == ("write", 3) else 0
	    Guest("--disk", disk.url, ...)

`fault` is asked before every command. It returns 0 (do it), an errno (fail
it, nothing done), DROPPED (say that it is done), or raises PowerCut (this
command and all that follow are never answered). It may sleep: the disk is then
slow, or hangs.

Reads of blocks in `bad` fail, too: sectors that went bad.

With `volatile`, writes reach the image only at a flush, as on a disk with a
write cache; power_cut() loses the rest, or keeps some of it.
"""
import errno
import mmap
import os
import random
import socket
import struct
import tempfile
import threading

OPTION_MAGIC = b"IHAVEOPT"
REPLY_MAGIC = 0x3E889045565A9
REQUEST_MAGIC, ANSWER_MAGIC = 0x25609513, 0x67446698
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, 0x80000001
SIZE = 64 << 20         # of most tests' disks
BLOCK = 4096
KINDS = {0: "read", 1: "write", 2: "end", 3: "flush"}
HAS_FLAGS, SEND_FLUSH = 1, 4
DROPPED = -1
DRAIN_S = 60            # only catches a machine that was left on


class PowerCut(Exception):
    """The disk answers no more."""


class FaultDisk:
    """One image, served to one QEMU after the other."""

    def __init__(self, path, size=None, volatile=False):
        if size is not None and not os.path.exists(path):
            with open(path, "xb") as file:
                file.truncate(size)
        self.path = str(path)
        self.size = os.path.getsize(path)
        self.volatile = volatile
        self.fault = None
        self.bad = frozenset()          # numbers of blocks
        self.lying = False              # flushes return and do nothing
        self.count = {}                 # commands so far, by kind
        self.cut = threading.Event()    # the power went
        self._cache = []                # writes that no flush has covered: (at, data)
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-nbd-")
        self._name = os.path.join(self._folder.name, "disk")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._name)
        self._listener.listen()
        self._file = open(path, "r+b")
        self._image = mmap.mmap(self._file.fileno(), 0)
        self._servers = []              # a thread per connection
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self):
        return "nbd+unix:///?socket=" + self._name

    def restart(self, fault=None):
        """For the next machine: counting begins anew. => no machine is on"""
        self._drain()
        self.count.clear()
        self.cut.clear()
        self.bad = frozenset()
        self.fault = fault

    def power_cut(self, keep=0.0):
        """What was not flushed is lost, but for a share of it. => no machine is on"""
        self._drain()
        self._lose(keep)

    def _drain(self):
        """What a machine sent before it went is done: nothing of it may come after the cut."""
        while self._servers:
            server = self._servers.pop()
            server.join(DRAIN_S)
            assert not server.is_alive(), "a machine is on"

    def _lose(self, keep):
        with self._lock:
            for at, data in self._cache:
                if random.random() < keep:
                    self._image[at:at + len(data)] = data
            self._cache.clear()

    def save(self):
        return bytes(self._image)

    def load(self, image):
        self._image[:] = image

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # A close alone does not wake who is in accept, and a call that the kernel begins anew would
        # take the next disk's connections, by the number of its listener.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._image.close()
        self._file.close()
        self._folder.cleanup()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            server = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            server.start()
            self._servers.append(server)

    def _serve(self, connection):
        with connection:
            try:
                if self._negotiate(connection):
                    while self._command(connection):
                        pass
            except PowerCut:
                self.cut.set()
                # Held open, not answered, until the machine is gone.
                try:
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
            except (OSError, ValueError):
                pass        # the machine is gone, or the test is over

    @staticmethod
    def _exactly(connection, n):
        data = bytearray()
        while len(data) < n:
            more = connection.recv(n - len(data))
            if not more:
                raise OSError("gone")
            data += more
        return bytes(data)

    def _negotiate(self, connection):
        """=> returns whether commands follow"""
        connection.sendall(b"NBDMAGIC" + OPTION_MAGIC + struct.pack(">H", 3))
        self._exactly(connection, 4)
        while True:
            _, option, n = struct.unpack(">8sII", self._exactly(connection, 16))
            self._exactly(connection, n)
            flags = HAS_FLAGS | SEND_FLUSH

            def reply(kind, data=b""):
                connection.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)
            if option == OPT_EXPORT_NAME:
                connection.sendall(struct.pack(">QH", self.size, flags))
                return True
            if option in (OPT_INFO, OPT_GO):
                reply(REP_INFO, struct.pack(">HQH", 0, self.size, flags))
                reply(REP_ACK)
                if option == OPT_GO:
                    return True
            elif option == OPT_ABORT:
                reply(REP_ACK)
                return False
            else:
                reply(REP_ERR_UNSUP)

    def _command(self, connection):
        """=> returns whether more follow"""
        magic, _, kind, cookie, at, n = struct.unpack(">IHHQQI", self._exactly(connection, 28))
        if magic != REQUEST_MAGIC or KINDS.get(kind, "end") == "end":
            return False
        kind = KINDS[kind]
        data = self._exactly(connection, n) if kind == "write" else b""
        self.count[kind] = self.count.get(kind, 0) + 1
        error = self.fault(kind, self.count[kind], at, data) if self.fault else 0
        if kind == "read" and not self.bad.isdisjoint(range(at // BLOCK, -(-(at + n) // BLOCK))):
            error = errno.EIO
        if error > 0 and kind == "flush":
            self._lose(0.0)
        out = b"" if error else self._do(kind, at, n, data)
        connection.sendall(struct.pack(">IIQ", ANSWER_MAGIC, max(error, 0), cookie) + out)
        return True

    def _do(self, kind, at, n, data):
        with self._lock:
            if kind == "read":
                return self._read(at, n)
            if kind == "flush" and not self.lying:
                for where, what in self._cache:
                    self._image[where:where + len(what)] = what
                self._cache.clear()
            elif kind == "write" and (self.volatile or self.lying):
                self._cache.append((at, data))
            elif kind == "write":
                self._image[at:at + len(data)] = data
        return b""

    def _read(self, at, n):
        out = bytearray(self._image[at:at + n])
        for where, what in self._cache:
            first, last = max(at, where), min(at + n, where + len(what))
            if first < last:
                out[first - at:last - at] = what[first - where:last - where]
        return bytes(out)


# --- faults ---

def fails_once(kind, number):
    return lambda k, n, at, data: errno.EIO if (k, n) == (kind, number) else 0


def fails_from(kind, number):
    return lambda k, n, at, data: errno.EIO if k == kind and n >= number else 0


def counted(fault):
    """The same with numbers of its own, from now on."""
    count = {}

    def anew(kind, number, at, data):
        count[kind] = count.get(kind, 0) + 1
        return fault(kind, count[kind], at, data)
    return anew
