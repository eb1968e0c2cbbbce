"""The disk of faultdisk.py: a machine that is gone does nothing more to it, or to the next one."""
import socket
import struct
import threading

from faultdisk import BLOCK, OPTION_MAGIC, OPT_EXPORT_NAME, REQUEST_MAGIC, SIZE, FaultDisk

WRITE = 1


def machine_of(disk):
    """A connection of an NBD client that has the disk open."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(disk.url.partition("socket=")[2])
    client.sendall(struct.pack(">I", 0) + OPTION_MAGIC + struct.pack(">II", OPT_EXPORT_NAME, 0))
    assert len(client.recv(28, socket.MSG_WAITALL)) == 28
    return client


def test_what_a_machine_sent_is_done_before_the_cut(tmp_path):
    asked, told = threading.Event(), threading.Event()

    def slow(*_):
        asked.set()
        told.wait()
        return 0
    with FaultDisk(tmp_path / "d.img", SIZE, volatile=True) as disk:
        disk.fault = slow
        with machine_of(disk) as client:
            client.sendall(struct.pack(">IHHQQI", REQUEST_MAGIC, 0, WRITE, 1, 0, BLOCK) +
                           b"x" * BLOCK)
            asked.wait()
        cut = threading.Thread(target=disk.power_cut)
        cut.start()
        assert cut.is_alive()
        told.set()
        cut.join()
        disk.power_cut(1.0)
        assert disk.save()[:BLOCK] == bytes(BLOCK)


def test_a_disk_that_is_gone_takes_no_connection(tmp_path):
    before = set(threading.enumerate())
    with FaultDisk(tmp_path / "d.img", SIZE) as disk:
        machine_of(disk).close()
        disk.restart()
    assert set(threading.enumerate()) <= before
