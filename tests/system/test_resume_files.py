"""The power goes: what programs held of files, pipes, sockets and terminals is there again.

guest/resume_*.c build kernel objects, are cut off by SIGKILL of the machine,
and look at them after the resume. Each runs on Linux first, uncut.
"""
import os
import signal
import socket
import subprocess
import threading

import pytest

from guest import Guest, free_port, holdfast

PROGRAMS = ["resume_calls", "resume_io", "resume_files", "resume_sockets", "resume_memory"]


def power_cut(guest):
    """SIGKILL for QEMU and what runs it."""
    os.killpg(guest.process.pid, signal.SIGKILL)
    guest.process.wait()


# Root needs no user name space, which a chroot or a container may refuse.
OWN_MOUNTS = ["unshare", "-m" if os.geteuid() == 0 else "-rm"]


@pytest.mark.skipif(subprocess.run([*OWN_MOUNTS, "true"], capture_output=True).returncode != 0,
                    reason="no mount name space may be made here")
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs_themselves(programs, program, tmp_path):
    """On Linux, with nothing between building and looking, and a /tmp of its own."""
    path = os.path.join(programs, program)
    result = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", "exec 9<%s; mount -t tmpfs t /tmp && cd /tmp && "
         "exec /proc/self/fd/9 0" % path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("cpus", [["--cpus", "4", "--clusters", "2"], ["--cpus", "1"]],
                         ids=["4 cores", "1 core"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_objects_are_there_again(programs, program, cpus, tmp_path):
    """Twice in a row, so that what a resume has made is written down like what calls made."""
    args = ["--base", "busybox", "--headless", *cpus, "--disk", str(tmp_path / "s.img"),
            "--add", os.path.join(programs, program) + ":/program"]
    for cut in (1, 2):
        with Guest(*args, argv=["/program", "2"]) as guest:
            guest.expect("READY %d" % cut)
            power_cut(guest)
    with Guest(*args, argv=["/program", "2"]) as guest:
        found = guest.expect(r"(\d+) passed, (\d+) failed")
        assert int(found.group(1)) > 0 and found.group(2) == "0", guest.text[-4000:]
        power_cut(guest)


def test_a_directory_of_many_names(tmp_path):
    """100,000 names fit no buffer that the kernel can have: are they all there, twice, and do they
    come out of the image?"""
    image = str(tmp_path / "s.img")
    args = ["--base", "busybox", "--cpus", "2", "--memory", "512M", "--netdev", "none", "--disk", image]
    script = ("mkdir /d; cd /d; seq 100000 | xargs touch; sync; sum=$(seq 100000 | md5sum); "
              "while echo; do if [ \"$(ls | sort -n | md5sum)\" = \"$sum\" ]; then echo all there; "
              "else echo WRONG; fi; read x; touch one; rm one; sync; done")
    for cut in range(3):
        with Guest(*args, argv=["sh", "-c", script]) as guest:
            if cut:
                guest.expect("goes on")
                guest.line("")
            guest.expect("all there|WRONG")
            assert "WRONG" not in guest.text, guest.text
            power_cut(guest)
    assert holdfast("store", "check", image).status == 0
    assert holdfast("store", "export", image, "/d", str(tmp_path / "out")).status == 0
    assert len(os.listdir(tmp_path / "out")) == 100000


def test_more_objects_than_one_piece_of_memory_can_list(programs, tmp_path):
    """Does a checkpoint come about of 180,000 sockets, which are twice as many objects?"""
    args = ["--base", "busybox", "--cpus", "2", "--memory", "1G", "--netdev", "none",
            "--disk", str(tmp_path / "s.img"), "--add", os.path.join(programs, "crowd") + ":/bin/crowd"]
    for cut in range(2):
        with Guest(*args, argv=["crowd", "3", "60000"]) as guest:
            if cut:
                guest.expect("goes on")
            guest.expect("written down|fsync: ")
            assert "fsync" not in guest.text, guest.text
            if not cut:
                power_cut(guest)
                continue
            guest.line("")
            guest.expect("gone on")
            assert guest.wait() == 0


@pytest.fixture
def greeter():
    """A server on this host that says hello to who says something; its port."""
    def serve(connection):
        with connection:
            if connection.recv(1):
                connection.sendall(b"hello")
            connection.recv(1)

    def accept():
        while True:
            try:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_the_outside_and_the_terminal(programs, greeter, tmp_path):
    """Connections are over with ECONNRESET, a server serves on, nothing typed is lost."""
    port = free_port()
    args = ["--base", "busybox", "--cpus", "2", "--disk", str(tmp_path / "s.img"),
            "--env", "HOST_PORT=%d" % greeter, "--port", "%d:7777" % port,
            "--add", os.path.join(programs, "resume_outside") + ":/program"]
    with Guest(*args, argv=["/program"]) as guest:
        guest.expect("TYPE")
        guest.send("half ")
        guest.expect("READY 1")
        power_cut(guest)
    with Guest(*args, argv=["/program"]) as guest:
        guest.expect("goes on")
        guest.send("a line")
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.settimeout(60)
            assert client.recv(64) == b"served"
        found = guest.expect(r"(\d+) passed, (\d+) failed")
        assert found.groups() == ("3", "0"), guest.text[-4000:]
        power_cut(guest)
