"""One program from start to end: status, environment, terminal, power."""
import os
import re
import time

import pytest

import guest
from conftest import asks_the_program
from guest import Guest, run

BUSYBOX = ("--base", "busybox", "--cpus", "2")


@pytest.mark.parametrize("script, status", [
    ("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137),
    ("kill -TERM $$", 143), ("kill -SEGV $$", 139),
])
def test_exit_status(script, status):
    result = run(*BUSYBOX, argv=["sh", "-c", script])
    assert result.status == status, result


def test_command_not_found():
    assert run(*BUSYBOX, argv=["no-such-program"]).status == 127
    assert run(*BUSYBOX, argv=["/etc/passwd"]).status == 126


def test_erlang_halt():
    result = run("--base", "minimal", argv=["erl", "-noshell", "-eval", "halt(3)."])
    assert result.status == 3, result


def test_df():
    """Does df tell the space of the root? It skips file systems called rootfs."""
    result = run(*BUSYBOX, argv=["sh", "-c", "mkdir -p /srv/x; df -kP /srv/x | tail -1"])
    assert result.status == 0, result
    assert re.search(r"\n\S+ +\d{4,} +\d+ +\d{4,} +\d+% /\n", result.out), result


def test_timeout():
    start = time.monotonic()
    result = run(*BUSYBOX, "--timeout", "6", argv=["sleep", "1000"])
    assert result.status == 124, result
    assert time.monotonic() - start < 30


def test_kernel_panic():
    result = run(*BUSYBOX, argv=["sh", "-c", "echo c > /proc/sysrq-trigger; sleep 60"])
    assert result.status == 125, result
    if not guest.ON_LINUX:
        assert "kernel panic: " in result.err, result


@pytest.mark.skipif(guest.ON_LINUX, reason="Linux says something else at an NMI")
def test_a_machine_that_hangs_says_where_it_stands():
    """Does SIGQUIT show each core and each thread that waits, with what it waits in?"""
    with guest.Guest(*BUSYBOX, "--cpus", "2", argv=[
            "sh", "-c", "echo here; while :; do :; done"]) as machine:
        machine.expect(r"here\r*\n")
        with pytest.raises(guest.Hang) as hang:
            machine.expect("what never comes", 2)
        assert machine.wait() == 125
    text = str(hang.value).replace("\r", "")
    assert re.search(r"\ncore 0, .*\ncore 1, .*\nthreads that do not run:", text, re.S), text
    assert re.search(r"\ncore \d, \d runnable: 'sh' \d+, ", text), text
    assert re.search(r"\n'init' 1, asleep.* signal_wait.* sys_rt_sigtimedwait", text), text


def test_environment_and_arguments():
    script = ('echo "[$A][$B][$LANG][$HOME]"; hostname; pwd; for x; do echo "<$x>"; done; '
              'echo "$PATH"; id -u; tty')
    result = run(*BUSYBOX, "--env", "A=1 2", "--env", "B=ü$x",
                 argv=["sh", "-c", script, "sh", "", "a b", "ö*'\"", "-n"])
    assert result.status == 0, result
    lines = result.out.splitlines()
    at = lines.index("[1 2][ü$x][C.UTF-8][/root]")
    assert lines[at + 1:at + 3] == ["holdfast", "/root"]
    assert lines[at + 3:at + 7] == ["<>", "<a b>", "<ö*'\">", "<-n>"]
    assert "/usr/local/bin" in lines[at + 7] and lines[at + 8] == "0"
    assert lines[at + 9].startswith("/dev/")


def test_output_is_complete():
    """Does the last byte before power off still come out?"""
    result = run(*BUSYBOX, argv=["sh", "-c", "seq 1 20000; printf the-end"])
    assert result.status == 0
    found = re.findall(r"^\d+$", result.out, re.M)
    assert found[-1] == "20000" and len(found) >= 20000
    assert "the-end" in result.out


def test_tree_and_rootfs(tmp_path):
    """A root of one program, by --tree and as an image."""
    tree = tmp_path / "tree" / "bin"
    tree.mkdir(parents=True)
    with open("/bin/busybox", "rb") as source:
        (tree / "busybox").write_bytes(source.read())
    (tree / "busybox").chmod(0o755)
    folder = str(tmp_path / "tree")
    argv = ["/bin/busybox", "sh", "-c", "echo from the tree; exit 9"]
    result = run("--tree", folder, argv=argv)
    assert result.status == 9 and "from the tree" in result.out, result
    image = str(tmp_path / "image")
    assert guest.holdfast("pack", "-o", image, "--tree", folder).status == 0
    result = run("--rootfs", image, argv=argv)
    assert result.status == 9 and "from the tree" in result.out, result


@asks_the_program
def test_power_button():
    with Guest(*BUSYBOX, argv=["sh", "-c", "trap 'echo caught; exit 5' TERM; echo up; "
                               "while :; do sleep 0.1; done"]) as machine:
        machine.expect(r"up\r*\n")
        machine.power_button()
        machine.expect("caught")
        assert machine.wait() == 5


@asks_the_program
def test_second_signal_ends_a_deaf_guest():
    with Guest(*BUSYBOX, argv=["sh", "-c", "trap 'echo heard' TERM; echo up; "
                               "while :; do sleep 0.1; done"]) as machine:
        machine.expect(r"up\r*\n")
        machine.power_button()
        machine.expect("heard")
        machine.power_button()
        assert machine.wait(30) == 143


def test_terminal():
    """A shell on the terminal: size, signals, job control, end of file.

    What a key or a new size does depends on who owns the terminal, so a child
    says when it does: the shell's own echo comes before it has forked one.
    """
    with Guest(*BUSYBOX, argv=["sh"], rows=33, columns=101) as machine:
        machine.expect("# ")
        machine.line("stty size")
        machine.expect(r"\n33 101\r*\n")
        machine.line("sh -c 'trap \"stty size; exit\" WINCH; echo go; while :; do sleep 0.1; done'")
        machine.expect(r"\ngo\r*\n")
        machine.resize(44, 120)
        machine.expect("44 120")
        machine.expect("# ")
        # What is typed before the program reads would go to the shell's editor.
        machine.line("echo go; cat")
        machine.expect(r"\ngo\r*\n")
        machine.line("hello there")
        machine.expect("hello there.*hello there")
        machine.send("\x04")
        machine.expect("# ")
        machine.line("sh -c 'echo go; sleep 1000'")
        machine.expect(r"\ngo\r*\n")
        machine.send("\x03")
        machine.expect("# ")
        machine.line("sh -c 'echo go; sleep 500'")
        machine.expect(r"\ngo\r*\n")
        machine.send("\x1a")
        machine.expect("Stopped")
        machine.line("bg; jobs; kill %1; wait; echo all done")
        machine.expect(r"\nall done")
        machine.line("sleep 0.1 | cat && echo quiet; exit 3")
        assert machine.wait() == 3


def test_terminal_is_given_back():
    """Is the host's terminal as it was, however the machine ends?"""
    import termios
    for end in ("exit 0", "sleep 1000"):
        with Guest(*BUSYBOX, "--timeout", "8", argv=["sh", "-c", end]) as machine:
            # The slave is closed by now; its settings show on the master.
            before = termios.tcgetattr(machine.master)
            machine.wait()
            assert termios.tcgetattr(machine.master)[:4] == before[:4]


@pytest.mark.parametrize("extra", [["-d 10"], ["root.shell=x a=b c"], ["--pause=no -- ignored"],
                                   ["x" * 900]])
def test_odd_kernel_arguments(extra):
    """Do arguments the kernel does not know leave it standing?"""
    result = run(*BUSYBOX, "--kernel-args", extra[0], argv=["sh", "-c", "exit 4"])
    assert result.status == 4, result


def test_dies_with_its_parent():
    """Is QEMU gone when `holdfast` is killed outright?"""
    with Guest(*BUSYBOX, argv=["sh", "-c", "echo up; sleep 1000"]) as machine:
        machine.expect(r"up\r*\n")
        with open("/proc/%d/task/%d/children" % ((machine.process.pid,) * 2),
                  encoding="ascii") as file:
            children = [int(n) for n in file.read().split()]
        assert children
        machine.process.kill()
        machine.process.wait(10)
        end = time.monotonic() + 10
        while any(os.path.exists("/proc/%d/exe" % c) for c in children):
            assert time.monotonic() < end
            time.sleep(0.05)
