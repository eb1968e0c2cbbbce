"""One Erlang session that tries what BEAM asks of a system."""
import re
import time

import pytest

import guest
from conftest import asks_the_program, erlang_guest

CASES = ["os_cmd", "port_to_cat", "port_exit_status", "many_ports", "getifaddrs", "resolve",
         "files", "big_file", "directory", "links", "random", "tls", "sleep_accuracy",
         "timers", "ets_storm", "message_storm", "ring", "binaries", "udp", "udp6", "tcp6",
         "unix_socket", "sendfile", "os_mon", "tcp_options", "socket_module", "env", "time",
         "compile", "loopback_net", "distribution"]


def test_is_the_jit(erlang):
    assert erlang.eval("erlang:system_info(emu_flavor)") == "jit"
    assert erlang.eval("erlang:system_info(schedulers_online)") == "4"


@pytest.mark.parametrize("case", CASES)
def test_case(erlang, case):
    assert erlang.eval("hf_test:%s()" % case, limit=300) == "ok"


def test_name_server(erlang):
    """Does Erlang's own resolver reach the name server that DHCP gave?

    The name server of QEMU's network answers as well as the host's does;
    what counts is that an answer comes.
    """
    answer = erlang.eval('inet_res:resolve("holdfast.invalid", in, a, [], 10000)')
    assert "timeout" not in answer and "formerr" not in answer


def test_everything_again_at_once(erlang):
    """Do the same things work side by side, and a second time?"""
    value = erlang.eval(
        "[receive {'DOWN', R, process, _, normal} -> ok; {'DOWN', R, process, _, W} -> W end"
        " || {_, R} <- [spawn_monitor(fun() -> ok = hf_test:F() end) || F <- [timers,"
        " ets_storm, message_storm, binaries, random, os_cmd, port_exit_status, udp]]]",
        limit=300)
    assert set(value.strip("[]").split(",")) == {"ok"}


def test_line_editing(erlang):
    erlang.send("1+\x01" + "4\x05" + "2.\n")    # ^A and ^E: 41+2.
    assert erlang.expect(r"\n(\d+)\r*\n").group(1) == "43"
    erlang.expect(r"\d+> ")
    erlang.send("123456\x7f\x7f.\n")
    assert erlang.expect(r"\n(\d+)\r*\n").group(1) == "1234"
    erlang.expect(r"\d+> ")


def test_history(erlang):
    erlang.line("777+1.")
    erlang.expect(r"\n778\r*\n\d+> ")
    erlang.send("\x1b[A")
    erlang.expect(r"777\+1\.")
    erlang.send("\n")
    erlang.expect(r"\n778\r*\n\d+> ")


def test_tab_completion(erlang):
    erlang.send("lists:rever\t")
    erlang.expect("lists:reverse")
    erlang.send("[1,2]).\n")
    erlang.expect(r"\[2,1\]\r*\n\d+> ")


def test_utf8(erlang):
    erlang.line('length("grüße €").')
    erlang.expect(r"\n7\r*\n\d+> ")
    erlang.line('io:format("~ts~n", [[128640, 8364]]).')
    erlang.expect("\U0001F680\u20ac")
    erlang.expect(r"\d+> ")


def test_window_size(erlang):
    assert erlang.eval("io:columns()") == "{ok,80}"
    erlang.resize(50, 132)
    end = time.monotonic() + 20
    while erlang.eval("io:columns()") != "{ok,132}":
        assert time.monotonic() < end
    assert erlang.eval("io:rows()") == "{ok,50}"


def test_break_menu(erlang):
    erlang.send("\x03")
    erlang.expect("BREAK: \\(a\\)bort")
    erlang.line("c")
    assert erlang.eval("1+1") == "2"


def test_crash_dump():
    """Does erlang:halt("x") leave a dump, written to the end?"""
    script = ("cd /tmp; erl -noshell -eval 'erlang:halt(\"slogan here\").'; "
              "echo status $?; head -3 erl_crash.dump; tail -1 erl_crash.dump")
    result = guest.run("--cpus", "2", argv=["sh", "-c", script])
    assert result.status == 0 and "status 1" in result.out
    assert "Slogan: slogan here" in result.out and "=end" in result.out, result


@asks_the_program
def test_power_button_stops_erlang(testing):
    """Does the button end in init:stop(), applications stopped in order?"""
    with erlang_guest(testing, "--cpus", "2") as machine:
        machine.ready()
        machine.power_button()
        machine.expect("SIGTERM received - shutting down")
        assert machine.wait() == 0


@pytest.mark.parametrize("cpus, clusters", [(1, 1), (2, 1), (4, 1), (8, 1), (8, 2), (8, 4)])
def test_schedulers(cpus, clusters):
    script = ('I = fun erlang:system_info/1, io:format("~p ~p ~p~n", '
              '[I(emu_flavor), I(schedulers_online), I(cpu_topology)]), halt(3).')
    result = guest.run("--cpus", str(cpus), "--clusters", str(clusters),
                       argv=["erl", "-noshell", "-eval", script])
    assert result.status == 3, result
    found = re.search(r"jit (\d+) (.*)", result.out, re.S)
    assert found and int(found.group(1)) == cpus, result
    if clusters > 1:
        nodes = found.group(2).count("{node,") + found.group(2).count("{processor,")
        assert nodes >= clusters, result


def test_clusters_from_the_command_line():
    if guest.ON_LINUX:
        pytest.skip("clusters=N is Holdfast's own")
    result = guest.run("--cpus", "4", "--kernel-args", "clusters=2", argv=[
        "sh", "-c", "ls -d /sys/devices/system/node/node[0-9]* | wc -l"])
    assert result.status == 0 and "2" in result.out.split(), result


def test_job_menu():
    """Do Ctrl-G's menu, a second shell and the interruption of a hung one work?"""
    with guest.Erlang("--cpus", "2") as machine:
        machine.ready()
        machine.send("\x07")
        machine.expect("--> ")
        machine.line("s")
        machine.expect("--> ")
        machine.line("j")
        machine.expect(r"2\* \{shell,start,\[\]\}")
        machine.expect("--> ")
        machine.line("c")
        machine.expect(r"Eshell V.*1> ")
        machine.line('io:format("~s~n", ["hung"]), timer:sleep(infinity).')
        machine.expect(r"\nhung\r*\n")
        machine.send("\x07")
        machine.expect("--> ")
        machine.line("i")
        machine.expect("--> ")
        machine.line("c")
        machine.expect("exception exit: killed")
        machine.expect(r"\d+> ")
        machine.line("20+22.")
        machine.expect(r"\n42\r*\n")
        assert machine.quit() == 0
