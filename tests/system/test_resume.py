"""The power cut is not the end: what was running goes on, what was promised is there.

What single kinds of object keep is tested beside this, in test_resume_*.py.
"""
import errno
import os
import random
import re

import pytest

import bank
import long_checkpoint
import powercut
from guest import Erlang, Guest, ON_LINUX, holdfast, run
from keeper import Keeper

SHELL = ("--base", "busybox", "--cpus", "2")

needs_store = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


# --- processes ---

@needs_store
def test_a_shell_goes_on_and_its_pipe_loses_nothing(tmp_path):
    disk = ("--disk", str(tmp_path / "d.img"), "--disk-size", "256M", "--checkpoint", "100ms")
    script = ("i=0; while :; do i=$((i+1)); echo $i; done | "
              "while read x; do y=$((y+1)); [ $x = $y ] || echo WRONG; echo at $x; sleep 0.02; done")
    last = 0
    for turn in range(3):
        with Guest(*SHELL, *disk, argv=["sh", "-c", script]) as machine:
            if turn:
                machine.expect(r"epoch \d+, \d+ ms old, goes on")
            first = int(machine.expect(r"at (\d+)\r*\n").group(1))
            assert first <= last + 1 and (turn == 0 or first > 1), machine.text
            for _ in range(40):
                machine.expect(r"at \d+\r*\n")
            machine.power_cut()
            last = int(re.findall(r"at (\d+)\r*\n", machine.text)[-1])
            assert "WRONG" not in machine.text
    result = holdfast("store", "check", str(tmp_path / "d.img"))
    assert result.status == 0, result


@needs_store
def test_what_sync_promised_is_there_and_the_end_is_the_end(tmp_path):
    disk = ("--disk", str(tmp_path / "d.img"), "--checkpoint", "1000s")
    with Guest(*SHELL, *disk, argv=["sh", "-c", "echo kept > /a; sync; echo lost > /b; "
                                    "echo done; sleep 100"]) as machine:
        machine.expect(r"\ndone")
        machine.power_cut()
    # The processes are forgotten, the files stay.
    result = run(*SHELL, *disk, "--fresh", argv=["sh", "-c", "cat /a; ls /b; echo two > /a; echo $$"])
    assert "kept\n" in result.out and "/b: No such file" in result.out, result
    # That one ended by itself: nothing of it goes on, and its last words are in the file.
    result = run(*SHELL, *disk, argv=["sh", "-c", "cat /a; sleep 0"])
    assert result.status == 0 and "\ntwo\n" in result.out and "kept" not in result.out, result
    assert "its files without its processes" in result.out, result
    # And then neither.
    result = run(*SHELL, *disk, "--fresh", "--wipe", "--yes", argv=["sh", "-c", "ls /a; echo $$"])
    assert result.status == 0 and "/a: No such file" in result.out, result
    assert "epoch 0, 0 MiB" in result.out, result


@needs_store
def test_timers_are_on_time_after_a_resume(programs, tmp_path):
    """The clock jumps ahead at a resume. A processor whose timer had been set before, to the 30 s of
    patience with a disk, let those who slept on it sleep on until then, if the system was older."""
    args = (*SHELL, "--cpus", "4", "--disk", str(tmp_path / "d.img"), "--checkpoint", "50ms",
            "--add", os.path.join(programs, "naps") + ":/bin/naps")
    with Guest(*args, argv=["naps"]) as machine:
        machine.expect("round 33 of", 150)
        machine.power_cut()
    for _ in range(3):
        with Guest(*args, argv=["naps"]) as machine:
            machine.expect("goes on")
            machine.expect(r"round \d+ of", 20)
            assert "WRONG" not in machine.text, machine.text
            machine.power_cut()


@needs_store
@pytest.mark.parametrize("end", ["exit", "--fresh"])
def test_a_start_from_the_files_goes_on_after_a_power_cut(end, tmp_path):
    """Process 1 is process 1 again, whatever numbers the system before it had given."""
    disk = ("--disk", str(tmp_path / "d.img"))
    script = "echo as $$; echo more >> /f; sync; echo ready; while read x; do wc -l < /f; done"
    if end == "exit":
        assert run(*SHELL, *disk, argv=["sh", "-c", "echo one > /f; exit 3"]).status == 3
    else:
        with Guest(*SHELL, *disk, argv=["sh", "-c", script]) as machine:
            machine.expect(r"\nready")
            machine.power_cut()
    fresh = ["--fresh"] if end == "--fresh" else []
    with Guest(*SHELL, *disk, *fresh, argv=["sh", "-c", script]) as machine:
        machine.expect("its files without its processes")
        machine.expect(r"\nas 2\r*\nready")
        machine.power_cut()
    with Guest(*SHELL, *disk, argv=["sh", "-c", script]) as machine:
        machine.expect(r"epoch \d+, \d+ ms old, goes on")
        machine.line("")
        machine.expect(r"\n2\r*\n")
        machine.power_cut()


@needs_store
def test_the_power_button_keeps_everything(tmp_path):
    disk = ("--disk", str(tmp_path / "d.img"), "--checkpoint", "1000s")
    script = "i=0; while :; do i=$((i+1)); echo at $i; sleep 0.1; done"
    with Guest(*SHELL, *disk, argv=["sh", "-c", script]) as machine:
        machine.expect(r"at 5\r*\n")
        machine.power_button()
        machine.wait()
        last = int(re.findall(r"at (\d+)\r*\n", machine.text)[-1])
    with Guest(*SHELL, *disk, argv=["sh", "-c", script]) as machine:
        assert int(machine.expect(r"at (\d+)\r*\n").group(1)) == last + 1
        machine.power_cut()


@needs_store
def test_off_takes_what_is_there_and_no_checkpoint_unasked(tmp_path):
    """And `none` leaves the disk alone, store or not."""
    disk = ("--disk", str(tmp_path / "d.img"), "--checkpoint")
    script = "echo kept > /a; sync; i=0; while :; do i=$((i+1)); echo at $i; sleep 0.1; done"
    with Guest(*SHELL, *disk, "off", argv=["sh", "-c", script]) as machine:
        machine.expect(r"at 15\r*\n")
        machine.power_cut()
    with Guest(*SHELL, *disk, "off", argv=["sh", "-c", script]) as machine:
        machine.expect(r"epoch 1, \d+ ms old, goes on")
        assert int(machine.expect(r"at (\d+)\r*\n").group(1)) == 1
        machine.power_button()
        machine.wait()
        last = int(re.findall(r"at (\d+)\r*\n", machine.text)[-1])
    result = run(*SHELL, *disk, "none", argv=["cat", "/a", "/proc/holdfast/store"])
    assert result.status == 1 and "goes on" not in result.out and "kept" not in result.out, result
    with Guest(*SHELL, *disk, "off", argv=["sh", "-c", script]) as machine:
        assert int(machine.expect(r"at (\d+)\r*\n").group(1)) == last + 1
        machine.power_cut()


@needs_store
def test_an_epoch_that_does_not_come_up_is_given_up(tmp_path):
    disk = ("--disk", str(tmp_path / "d.img"), "--checkpoint", "1000s")
    script = "for i in 1 2 3; do echo mark $i > /m; sync; done; echo ready; sleep 1000"
    with Guest(*SHELL, *disk, argv=["sh", "-c", script]) as machine:
        machine.expect(r"\nready")
        machine.power_cut()
    epochs = [int(n) for n in re.findall(r"^epoch (\d+)", holdfast(
        "store", "info", str(tmp_path / "d.img")).out, re.M)]
    for _ in range(3):
        with Guest(*SHELL, *disk, argv=["sh"]) as machine:
            assert int(machine.expect(r"epoch (\d+), .* goes on").group(1)) == epochs[0]
            machine.power_cut()
    with Guest(*SHELL, *disk, argv=["sh"]) as machine:
        machine.expect(r"epoch %d was resumed 3 times and came to nothing" % epochs[0])
        machine.expect(r"epoch %d, \d+ ms old, goes on" % epochs[1])
        machine.power_cut()


@needs_store
@pytest.mark.parametrize("call", ["fsync", "fdatasync", "sync", "osync", "msync"])
def test_the_power_goes_in_a_call_that_waits_for_the_disk(programs, disk, call):
    """There is no checkpoint but those that the call asks for, so that it is cut in each. It returns
    when it is resumed, what it was called for is there, and nothing is appended twice."""
    keeper = Keeper(disk, programs, 0, 0, "over", call, args=("--checkpoint", "1000s"))
    for turn in range(3):
        with keeper.start() as machine:
            if turn:
                machine.expect(r"goes on")
            for _ in range(3):
                machine.expect(r"\bkept \d+\r*\n")
            keeper.off(machine)
            assert "refused" not in machine.text, machine.text[-3000:]


# --- Erlang ---

# The store's room, the last checkpoint, the period that --checkpoint had.
FIGURES = ("#{size_bytes := Size, used_bytes := Used, room_bytes := Room, pages := Pages, "
           "pause_us := Pause, commit_us := Commit, period_ms := Period} = holdfast:status(), "
           "{Size =:= 4 bsl 30 andalso Used > Pages * 1000 andalso Used + Room =< Size, "
           "Pause > 0 andalso Commit > 0, Period}")


@needs_store
def test_exec_ends_threads_that_stand_still(programs, tmp_path):
    """Who calls execve waits for its other threads, which may be parked for a checkpoint, and that
    waits for the caller."""
    result = run("--base", "busybox", "--cpus", "2", "--disk", str(tmp_path / "d.img"),
                 "--checkpoint", "10ms", "--add", os.path.join(programs, "reexec") + ":/bin/reexec",
                 argv=["reexec", "3", "300"])
    assert result.status == 0 and "all rounds" in result.out, result


@needs_store
def test_the_same_node_of_erlang(tmp_path):
    """No checkpoints but the one: with four more the epoch could not be had any more."""
    disk = ("--cpus", "2", "--disk", str(tmp_path / "d.img"), "--checkpoint", "1000s")
    with Erlang(*disk) as erlang:
        erlang.ready()
        erlang.eval("X = make_ref(), T = ets:new(t, [public]), "
                    "[ets:insert(T, {I, I * I}) || I <- lists:seq(1, 10000)], ok")
        assert erlang.eval("holdfast:subscribe(), {ok, Fs} = file:list_dir(\"/proc/self/fd\"), "
                           "length([1 || F <- Fs, file:read_link(\"/proc/self/fd/\" ++ F) =:= "
                           "{ok, \"/dev/holdfast\"}])") == "1"
        assert erlang.eval("crypto:start()") == "ok"
        before = erlang.eval("{self(), X, whereis(init), ets:info(T, size)}")
        clock = int(erlang.eval("erlang:monotonic_time()"))
        epoch = re.match(r"\{ok,(\d+)\}", erlang.eval("holdfast:checkpoint()")).group(1)
        assert erlang.eval(FIGURES) == "{true,true,1000000}"
        erlang.power_cut()
    seen = []
    for _ in range(2):
        with Erlang(*disk, "--epoch", epoch) as erlang:
            erlang.count = 100
            erlang.expect(r"epoch %s, \d+ ms old, goes on" % epoch)
            assert erlang.eval("{self(), X, whereis(init), ets:info(T, size)}") == before
            assert erlang.eval("receive {holdfast, resumed, #{epoch := E}} -> E end") == epoch
            assert int(erlang.eval("erlang:monotonic_time()")) > clock
            assert erlang.eval("lists:sum([V || {_, V} <- ets:tab2list(T)])") == "333383335000"
            seen.append(erlang.eval("{crypto:strong_rand_bytes(8), element(2, file:read_file("
                                    "\"/proc/sys/kernel/random/uuid\"))}"))
            erlang.power_cut()
    assert seen[0] != seen[1]
    # An epoch that is not there: a line, and nothing is written.
    with Erlang(*disk, "--epoch", str(int(epoch) + 7)) as erlang:
        erlang.expect(r"it has no epoch %d \(error 2\); nothing is kept" % (int(epoch) + 7))
        erlang.power_cut()


@needs_store
def test_a_bank_in_mnesia(ebin, tmp_path):
    """Three power cuts, the second of a start from the files alone; `make bank` has more."""
    random.seed(0)
    bank.power_cuts(3, str(tmp_path / "d.img"), ebin, lambda line: None, fresh_every=2)


@needs_store
def test_the_beam_set_with_a_checkpoint_each_10_ms(ebin, tmp_path):
    """Some of it; `make long-checkpoint` has all for ten minutes, and compares how long sleeps take."""
    some = "fun() -> [{T, R} || T <- [os_cmd, random, files, unix_socket], (R = hf_test:T()) =/= ok] end"
    (each,), figures = long_checkpoint.rounds(
        0, ebin, "--disk", str(tmp_path / "d.img"), "--kernel-args", "count-errors", tests=some,
        ways=["10"])
    assert each.wrong == "[]" and figures["commits"] > 5
    assert each.errors["newfstatat", errno.ENOENT] > 0, each.errors
    assert all(us >= long_checkpoint.SLEEP_US for us in each.sleeps)


@needs_store
def test_power_cuts_at_random_instants(ebin, programs):
    random.seed(0)
    powercut.powercut(10, ebin, os.path.join(programs, "blocked"), lambda line: None, rows=20000)
