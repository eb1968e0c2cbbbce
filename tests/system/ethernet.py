"""A neighbour of the guest on its Ethernet, in Python.

QEMU's user network cannot send what a hostile peer sends. The guest's card
and the user network sit on a hub; a third port of the hub is a datagram
socket, and what is written to it arrives at the guest as it is.
"""
import os
import socket
import struct
import threading

# QEMU's first card has this address.
GUEST_MAC = bytes.fromhex("525400123456")
OUR_MAC = bytes.fromhex("525400abcdef")
GUEST_IP = socket.inet_aton("10.0.2.15")

OUR_IP = socket.inet_aton("10.0.2.2")
PING_ID = 0x4846

SYN, ACK = 0x02, 0x10


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Neighbour:
    """Sends frames; answers ARP for every address the guest asks after,
    but those of the user network."""

    def __init__(self, folder):
        self.ours = os.path.join(folder, "ours")
        self.theirs = os.path.join(folder, "theirs")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.ours)
        self.received = []
        self.dhcp = False
        self.pong = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def arguments(self, guest_port, host_port):
        """For `holdfast run`: a card, a user network and us on one hub."""
        words = ["-netdev", "hubport,id=port0,hubid=0",
                 "-device", "virtio-net-pci,netdev=port0,romfile=,mac=52:54:00:12:34:56",
                 "-netdev", "user,id=user0,hostfwd=tcp:127.0.0.1:%d-:%d" % (host_port, guest_port),
                 "-netdev", "hubport,id=port1,hubid=0,netdev=user0",
                 "-netdev", "dgram,id=dgram0,local.type=unix,local.path=%s,remote.type=unix,"
                 "remote.path=%s" % (self.theirs, self.ours),
                 "-netdev", "hubport,id=port2,hubid=0,netdev=dgram0"]
        return ["--netdev", "none"] + ["--qemu=" + w for w in words]

    def alone(self):
        """For `holdfast run`: a card with nobody else on the wire."""
        self.dhcp = True
        return ["--netdev", "dgram,local.type=unix,local.path=%s,remote.type=unix,"
                "remote.path=%s" % (self.theirs, self.ours)]

    def _listen(self):
        while True:
            try:
                frame = self.socket.recv(65536)
            except OSError:
                return
            self.take(frame)

    def take(self, frame):
        """A frame of the guest's."""
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x01":
            wanted = frame[38:42]
            ours = 15 < wanted[3] < 255 or self.dhcp and wanted == OUR_IP
            if wanted[:3] == GUEST_IP[:3] and ours:
                self.arp_reply(wanted, frame[22:28], frame[28:32])
        elif self.dhcp and frame[23:24] == b"\x11" and frame[36:38] == b"\0\x43":
            self.lease(frame)
        elif frame[34:36] == b"\0\0" and frame[38:40] == struct.pack("!H", PING_ID):
            self.pong.set()
        elif frame[:6] == OUR_MAC and len(self.received) < 100000:
            self.received.append(frame)

    def send(self, frame):
        """=> drops the frame if QEMU is not there or does not keep up"""
        try:
            self.socket.sendto(frame, self.theirs)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            pass

    def arp_reply(self, ours, mac, theirs):
        self.send(mac + OUR_MAC + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 2)
                  + OUR_MAC + ours + mac + theirs)

    def ping(self, seconds=2):
        """=> returns whether the guest answered"""
        self.pong.clear()
        body = struct.pack("!BBHHH", 8, 0, 0, PING_ID, 1) + b"holdfast"
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        self.ipv4(OUR_IP, 1, body)
        return self.pong.wait(seconds)

    def lease(self, frame):
        """Answer DHCP: the one address of the one guest, always."""
        asked = frame[42:]
        options = asked[240:]
        at = options.find(b"\x35\x01")
        kind = {1: 2, 3: 5}.get(options[at + 2])
        if kind is None:
            return
        body = (b"\2\1\6\0" + asked[4:8] + b"\0" * 8 + GUEST_IP + OUR_IP + b"\0" * 4
                + asked[28:44] + b"\0" * 192 + b"\x63\x82\x53\x63"
                + bytes((53, 1, kind)) + b"\x36\4" + OUR_IP + b"\x33\4\0\1\0\0"
                + b"\1\4\xff\xff\xff\0" + b"\3\4" + OUR_IP + b"\6\4" + OUR_IP + b"\xff")
        udp = struct.pack("!HHHH", 67, 68, 8 + len(body), 0) + body
        self.ipv4(OUR_IP, 17, udp, to=frame[6:12])

    def ipv4(self, source, protocol, payload, **change):
        """An IPv4 packet to the guest; `change` may spoil its header."""
        length = change.get("length", 20 + len(payload))
        head = struct.pack("!BBHHHBBH4s4s", change.get("version", 0x45), 0, length, 1,
                           change.get("fragment", 0), 64, protocol, 0, source, GUEST_IP)
        total = change.get("checksum", checksum(head))
        head = head[:10] + struct.pack("!H", total) + head[12:]
        self.send(change.get("to", GUEST_MAC) + OUR_MAC + b"\x08\x00" + head + payload)

    def tcp(self, source, sport, dport, flags, seq=0, ack=0, data=b""):
        head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 65535, 0, 0) + data
        pseudo = source + GUEST_IP + struct.pack("!BBH", 0, 6, len(head))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
        self.ipv4(source, 6, head)

    def close(self):
        self.socket.close()
