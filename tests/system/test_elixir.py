"""Elixir: Debian's package, iex, and a release with its scripts."""
import glob
import os
import shutil
import subprocess

import pytest

import guest
from conftest import asks_the_program
from guest import Guest, run

ELIXIR = ("--debian", "elixir", "--cpus", "2", "--memory", "768M")


@pytest.fixture(scope="session")
def release():
    """`mix release` of releases/mix_demo, built on this host."""
    if shutil.which("mix") is None:
        pytest.fail("mix is missing: make deps")
    source = os.path.join(guest.TOP, "tests", "system", "releases", "mix_demo")
    out = os.path.join(guest.TOP, "build", "tests", "mix_demo")
    made = os.path.join(out, "rel", "bin", "mix_demo")
    files = [p for p in glob.glob(source + "/**", recursive=True) if os.path.isfile(p)]
    if not os.path.exists(made) or \
            os.path.getmtime(made) < max(os.path.getmtime(p) for p in files):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out + "/src")
        subprocess.run(["mix", "release", "--quiet", "--overwrite", "--path", out + "/rel"],
                       cwd=out + "/src", check=True, stdout=subprocess.DEVNULL,
                       env=dict(os.environ, MIX_ENV="prod", LC_ALL="C.UTF-8"))
    return os.path.join(out, "rel")


def test_elixir_e():
    result = run(*ELIXIR, argv=["elixir", "-e", 'IO.puts("#{System.version()} grüße"); '
                                'System.halt(6)'])
    assert result.status == 6 and "grüße" in result.out, result
    assert "latin1" not in result.out, "the warning about the locale"


def test_iex():
    with Guest(*ELIXIR, argv=["iex"]) as machine:
        machine.expect(r"iex\(1\)> ")
        machine.line("Enum.map([1, 2, 3], & &1 * 2)")
        machine.expect(r"\[2, 4, 6\]")
        machine.expect(r"iex\(2\)> ")
        machine.send("Enum.rever\t")
        machine.expect("Enum.reverse")
        machine.send("([1, 2])\n")
        machine.expect(r"\[2, 1\]")
        machine.expect(r"iex\(\d+\)> ")
        machine.line("Task.await(Task.async(fn -> :pong end))")
        machine.expect(":pong")
        machine.line("System.stop(2)")
        assert machine.wait() == 2


@asks_the_program
def test_release_starts_by_itself(release):
    with Guest("--release", release, "--cpus", "2", "--env", "PLACE=Holdfast") as machine:
        machine.expect("mix_demo is up in Holdfast")
        machine.power_button()
        machine.expect("mix_demo_stopped_in_order")
        assert machine.wait() == 0


def test_release_scripts(release):
    """Do start, rpc, remote, pid and stop work unmodified in one guest?"""
    with Guest("--release", release, "--cpus", "2", "--memory", "768M", argv=["sh"]) as machine:
        machine.expect("# ")
        machine.line("cd /srv/rel; bin/mix_demo start </dev/null & true")
        machine.expect("mix_demo is up in no place")
        machine.line("until bin/mix_demo rpc ':ok' 2>/dev/null; do sleep 1; done; echo ready")
        machine.expect(r"\nready")
        machine.expect("# ")
        for count in (1, 2, 3):
            machine.line("bin/mix_demo rpc 'IO.puts(\"count #{MixDemo.next()}\")'")
            machine.expect(r"\ncount %d\r*\n" % count)
            machine.expect("# ")    # Until then rpc reads the terminal too.
        machine.line("bin/mix_demo eval 'IO.puts(40 + 2)'")
        machine.expect(r"\n42\r*\n")
        machine.expect("# ")
        machine.line("bin/mix_demo remote")
        machine.expect(r"iex\(mix_demo@holdfast\)1> ")
        machine.line("MixDemo.next()")
        machine.expect(r"\n4\r*\n")
        machine.expect(r"iex\(mix_demo@holdfast\)2> ")
        machine.send("\x03")
        machine.expect("BREAK")
        machine.line("a")
        machine.expect("# ")
        machine.line("bin/mix_demo pid; bin/mix_demo stop; echo stop gave $?")
        # stop asks and returns; it does not wait for the end.
        machine.expect("stopped_in_order.*stop gave 0|stop gave 0.*stopped_in_order")
        machine.line("wait; exit 8")
        assert machine.wait() == 8
