"""A card with several queues, in Python: QEMU's vhost-user backend.

Needs no tap. QEMU hands over the guest's memory and the addresses of the
rings; frames are taken from and put into whatever queue a test wants, so a
device that steers badly can be played, too. Offers neither indirect
descriptors nor event indexes. vhost-user's messages are in QEMU's
docs/interop/vhost-user.rst.
"""
import array
import mmap
import os
import select
import socket
import struct
import threading

from ethernet import Neighbour

(GET_FEATURES, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE,
 SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM) = \
    1, 5, 8, 9, 10, 11, 12, 13, 15, 17

# MRG_RXBUF, STATUS, CTRL_VQ, MQ, vhost-user's own, VERSION_1
FEATURES = 1 << 15 | 1 << 16 | 1 << 17 | 1 << 22 | 1 << 30 | 1 << 32
PROTOCOL_MQ = 1
VERSION, REPLY = 1, 4
NO_FD = 0x100
HEADER = 12
DESC_NEXT, NO_INTERRUPT = 1, 1


def load16(memory, at):
    """A word at an even offset, read in one step."""
    return memoryview(memory)[at:at + 2].cast("H")[0]


def store16(memory, at, value):
    """A word at an even offset, written in one step: struct.pack_into writes zeroes first, and a
    guest that looks at an index then finds the ring broken."""
    memoryview(memory)[at:at + 2].cast("H")[0] = value


class Ring:
    """A split virtqueue, from the device's side."""

    def __init__(self):
        self.size = self.last = self.used_index = 0
        self.desc = self.avail = self.used = None   # (memory, offset)
        self.kick = self.call = -1

    @staticmethod
    def _word(place, offset):
        return load16(place[0], place[1] + offset)

    def take(self):
        """The next chain's head and descriptors [(address, bytes)]; None: there is none."""
        if self.avail is None or self._word(self.avail, 2) == self.last:
            return None
        head = self._word(self.avail, 4 + self.last % self.size * 2)
        self.last = (self.last + 1) & 0xFFFF
        chain, at, flags = [], head, DESC_NEXT
        while flags & DESC_NEXT:
            address, count, flags, following = struct.unpack_from(
                "<QIHH", self.desc[0], self.desc[1] + at * 16)
            chain.append((address, count))
            at = following
        return head, chain

    def give(self, head, count):
        struct.pack_into("<II", self.used[0], self.used[1] + 4 + self.used_index % self.size * 8,
                         head, count)
        self.used_index = (self.used_index + 1) & 0xFFFF
        store16(self.used[0], self.used[1] + 2, self.used_index)
        if not self._word(self.avail, 0) & NO_INTERRUPT and self.call >= 0:
            os.write(self.call, struct.pack("<Q", 1))


    def state(self):
        """One line for who looks for a lost frame."""
        if self.avail is None:
            return "not started"
        return "avail %d taken %d used %d flags %d" % (
            self._word(self.avail, 2), self.last, self._word(self.used, 2),
            self._word(self.avail, 0))


class Card(Neighbour):
    """A neighbour of the guest on a card of `queues` queue pairs.

    handle(frame, queue) gets what the guest sends; send() puts a frame into
    the pair `self.queue`, which belongs to who has `self.sending`.
    """

    def __init__(self, folder, queues):
        self.queues, self.queue = queues, 0
        self.path = os.path.join(folder, "card")
        self.rings = [Ring() for _ in range(2 * queues)]
        self.regions = []           # (guest's address, QEMU's, bytes, memory, offset)
        self.lock = threading.Lock()
        self.sending = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        super().__init__(folder)
        self.dhcp = True

    def arguments(self, nodes):
        """For `holdfast run`: the card, and `nodes` clusters whose memory can be shared."""
        words = ["-chardev", "socket,id=card,path=" + self.path]
        for n in range(nodes):
            words += ["-object", "memory-backend-memfd,share=on,id=m%d,size=128M" % n, "-numa",
                      "node,nodeid=%d,cpus=%d-%d,memdev=m%d" % (n, 2 * n, 2 * n + 1, n)]
        # QEMU 7.2 without KVM crashes with a vhost device that has MSI-X and a vector for changes
        # of its configuration: so it has one interrupt for all.
        words += ["-netdev", "vhost-user,id=net0,chardev=card,queues=%d" % self.queues,
                  "-device", "virtio-net-pci,netdev=net0,mq=on,romfile=,vectors=0"]
        return ["--cpus", str(2 * nodes), "--memory", "%dM" % (128 * nodes), "--netdev", "none"] + \
            ["--qemu=" + word for word in words]

    # --- what the guest sends and gets ---

    def _place(self, address, of_guest=True):
        for guest, qemu, size, memory, offset in self.regions:
            start = guest if of_guest else qemu
            if start <= address < start + size:
                return memory, offset + address - start
        raise ValueError("no memory at %#x" % address)

    def _sent(self, pair):
        """Frames in the guest's transmit queue."""
        out, ring = [], self.rings[2 * pair + 1]
        with self.lock:
            while True:
                taken = ring.take()
                if taken is None:
                    return out
                frame = b""
                for address, count in taken[1]:
                    memory, at = self._place(address)
                    frame += memory[at:at + count]
                out.append(frame[HEADER:])
                ring.give(taken[0], 0)

    def send(self, frame):
        """=> drops the frame if the guest has no buffer for it"""
        ring = self.rings[2 * self.queue]
        with self.lock:
            taken = ring.take()
            if taken is None:
                return
            memory, at = self._place(taken[1][0][0])
            data = struct.pack("<BBHHHHH", 0, 0, 0, 0, 0, 0, 1) + frame
            memory[at:at + len(data)] = data
            ring.give(taken[0], len(data))

    def handle(self, frame, queue):
        """One of the guest's frames."""
        self.take(frame)

    def state(self):
        """A line for each ring: what the guest wrote, and how far the card has come."""
        with self.lock:
            return "\n".join("%sx%d: %s" % ("rt"[n % 2], n // 2, ring.state())
                             for n, ring in enumerate(self.rings))

    # --- the protocol ---

    def _listen(self):
        qemu, _ = self.listener.accept()
        while True:
            kicks = {r.kick: n for n, r in enumerate(self.rings) if r.kick >= 0 and n % 2}
            ready, _, _ = select.select([qemu, *kicks], [], [])
            for source in ready:
                if source is qemu:
                    if not self._message(qemu):
                        return
                    continue
                try:
                    os.read(source, 8)
                except OSError:
                    continue
                for frame in self._sent(kicks[source] // 2):
                    self.handle(frame, kicks[source] // 2)

    def _message(self, qemu):
        fds = array.array("i")
        head, control, _, _ = qemu.recvmsg(12, socket.CMSG_SPACE(8 * 4))
        for _, _, data in control:
            fds.frombytes(data[:len(data) // 4 * 4])
        if len(head) < 12:
            return False
        request, _, size = struct.unpack("<III", head)
        body = b""
        while len(body) < size:
            body += qemu.recv(size - len(body))
        with self.lock:
            answer = self._do(request, body, fds)
        if answer is not None:
            qemu.sendall(struct.pack("<III", request, VERSION | REPLY, len(answer)) + answer)
        return True

    def _do(self, request, body, fds):
        number = {GET_FEATURES: FEATURES, GET_PROTOCOL_FEATURES: PROTOCOL_MQ,
                  GET_QUEUE_NUM: self.queues}.get(request)
        if number is not None:
            return struct.pack("<Q", number)
        if request == SET_MEM_TABLE:
            self._map(body, fds)
            return None
        if request in (SET_VRING_KICK, SET_VRING_CALL):
            word = struct.unpack("<Q", body)[0]
            name = "kick" if request == SET_VRING_KICK else "call"
            setattr(self.rings[word & 0xFF], name, -1 if word & NO_FD else fds[0])
            return None
        if SET_VRING_NUM <= request <= GET_VRING_BASE:
            return self._ring(request, body)
        return None

    def _ring(self, request, body):
        index, value = struct.unpack_from("<II", body)
        ring = self.rings[index]
        if request == SET_VRING_NUM:
            ring.size = value
        elif request == SET_VRING_BASE:
            ring.last = value
        elif request == GET_VRING_BASE:
            ring.avail = None
            return struct.pack("<II", index, ring.last)
        else:
            desc, used, avail = struct.unpack_from("<QQQ", body, 8)
            ring.desc, ring.used, ring.avail = (self._place(a, False) for a in (desc, used, avail))
        return None

    def _map(self, body, fds):
        self.regions = []
        for n, fd in enumerate(fds):
            guest, size, qemu, offset = struct.unpack_from("<QQQQ", body, 8 + 32 * n)
            self.regions.append((guest, qemu, size, mmap.mmap(fd, size + offset), offset))
            os.close(fd)
