"""The command line: what it may say, and which command does it."""
import argparse
import os

from . import VERSION, pack, qemu, rootfs, run, sets, store
from .errors import Failure, WrongUse, say


STATUSES = ("Exit status: the program's; 128+n if signal n ended it; 2 wrong use; "
            "124 timeout; 125 kernel panic, or no resume; 126 QEMU is missing or failed.")


class Parser(argparse.ArgumentParser):
    """Wrong arguments are one line and exit status 2."""

    def error(self, message):
        raise WrongUse("%s (see: holdfast %s)" % (message, self.hint))

    hint = "--help"


def _pair(text, mark, what):
    left, found, right = text.partition(mark)
    if not found or not left or not right:
        raise argparse.ArgumentTypeError("%r is not of the form %s" % (text, what))
    return left, right


def added(text):
    """SRC:DEST, cut at the last colon that a slash follows."""
    at = text.rfind(":/")
    if at <= 0:
        raise argparse.ArgumentTypeError("%r is not of the form SRC:DEST, with DEST "
                                         "starting with /" % text)
    return text[:at], text[at + 1:]


def port(text):
    """[ADDRESS:]HOST:GUEST[/udp]"""
    text, _, proto = text.partition("/")
    words = text.rsplit(":", 2)
    numbers = words[-2:]
    if len(words) < 2 or proto not in ("", "tcp", "udp") or not all(
            n.isdigit() and 0 < int(n) < 65536 for n in numbers):
        raise argparse.ArgumentTypeError("%r is not of the form HOST:GUEST, two port numbers"
                                         % text)
    address = words[0] if len(words) == 3 else "127.0.0.1"
    return address, int(numbers[0]), int(numbers[1]), proto or "tcp"


def _number(low, high):
    def number(text):
        if not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError("%r is not a number from %d to %d"
                                             % (text, low, high))
        return int(text)
    return number


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("%r is not a number of seconds" % text)
    return value


def _run_options(parser):
    machine = parser.add_argument_group("machine")
    machine.add_argument("--cpus", metavar="N", type=_number(1, 64),
                         default=min(8, len(os.sched_getaffinity(0))),
                         help="processors (default: as many as the host has, up to 8)")
    machine.add_argument("--memory", metavar="SIZE", help="such as 512M or 2G (default: 512M, "
                         "more for a large image)")
    machine.add_argument("--clusters", metavar="N", type=_number(1, 16), default=1,
                         help="NUMA nodes that share processors and memory; "
                         "--kernel-args clusters=N instead splits a machine that has none")
    machine.add_argument("--arch-info", metavar="FILE", help="an arch_info.bin made by "
                         "tools/arch-info, which leaves out or regroups cores and memory")
    machine.add_argument("--port", metavar="HOST:GUEST", action="append", type=port,
                         help="connections to the host's port go to the guest's; "
                         "default with the Erlang shell: 5555:8080")
    machine.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto",
                         help="auto takes KVM if a test guest runs on it within 2 seconds")
    machine.add_argument("--netdev", metavar="STRING", help="QEMU's words for another network, "
                         "such as tap,ifname=tap0,script=no; or none. With queues=N "
                         "the card has N queues: one for each cluster is best")
    machine.add_argument("--disk", metavar="FILE", help="a disk image that the machine's state "
                         "outlives in; made if there is none. The next run with it goes on where "
                         "this one was, power cut or not. Also what QEMU calls a file by its "
                         "protocol: nbd:..., json:{...}")
    machine.add_argument("--disk-bus", choices=sorted(qemu.DISKS), default="virtio-blk",
                         help="how the disk is attached (default: virtio-blk)")
    machine.add_argument("--disk-aio", choices=("auto", "io_uring", "threads"), default="auto",
                         help="how QEMU reads and writes it. auto takes io_uring, which costs less, "
                         "for a file, where QEMU and the host have it")
    machine.add_argument("--disk-cache", choices=("auto", "none", "writeback"), default="auto",
                         help="whether what is read and written stays in the host's memory, too. "
                         "auto takes none, which costs less, for a file, where its file system "
                         "can (O_DIRECT)")
    machine.add_argument("--disk-size", metavar="SIZE", help="of a new disk (default: 4G; the file "
                         "takes what is written to it)")
    machine.add_argument("--checkpoint", metavar="PERIOD", type=store.period, help="such as 1s, "
                         "100ms or 10ms (default: 1s); off: only when a program asks, with "
                         "fsync for one, and at the end; none: the disk is the programs'")
    machine.add_argument("--fresh", action="store_true", help="processes on the disk are "
                         "forgotten, files stay")
    machine.add_argument("--wipe", action="store_true", help="with --fresh: files are forgotten, "
                         "too, and all epochs. Asks first")
    machine.add_argument("--yes", action="store_true", help="the answer to what --wipe asks")
    machine.add_argument("--epoch", metavar="N", type=int, help="go on from an older epoch "
                         "(holdfast store info says which)")
    machine.add_argument("--qemu", metavar="ARG", action="append", default=[],
                         help="one more argument for QEMU")
    program = parser.add_argument_group("program")
    program.add_argument("--env", metavar="K=V", action="append", default=[],
                         help="set a variable of the program's environment")
    program.add_argument("--headless", action="store_true",
                         help="no terminal: nothing is read, output is only written")
    program.add_argument("--timeout", metavar="SECONDS", type=seconds,
                         help="stop the machine then, exit status 124")
    program.add_argument("--dry-run", action="store_true",
                         help="print QEMU's command line and do not run it")
    kernel = parser.add_argument_group("kernel")
    kernel.add_argument("--kernel", metavar="FILE", help="another kernel than build/holdfast-pvh.elf; "
                        "the word linux takes Debian's cloud kernel")
    kernel.add_argument("--kernel-args", metavar="STRING", default="",
                        help="the kernel's command line: startup arguments, name=value ...")


def _root_options(parser, with_image):
    group = parser.add_argument_group("root image")
    one = group.add_mutually_exclusive_group()
    one.add_argument("--release", metavar="DIR",
                     help="a mix or rebar3 release, or a Gleam shipment, as it is")
    one.add_argument("--tree", metavar="DIR", help="a whole root tree")
    if with_image:
        one.add_argument("--rootfs", metavar="FILE", help="an image made by pack")
    group.add_argument("--debian", metavar="PACKAGE", action="append", default=[],
                       help="add a Debian package with its dependencies")
    group.add_argument("--add", metavar="SRC:DEST", action="append", default=[], type=added,
                       help="add a file or folder")
    group.add_argument("--base", metavar="SET", choices=sorted(sets.SETS), default="default",
                       help="what the root starts from: %s (default: default)"
                       % ", ".join(sorted(sets.SETS)))


def _store_commands(commands):
    parser = commands.add_parser("store", help="look into a disk's store, check it, or take files out",
                                 description="Look into the store of a disk that Holdfast ran "
                                 "with, check it, or take files out. The disk is only read.")
    parser.hint = "store --help"
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser,
                                    required=True)
    for name, text in (("info", "what it is, and its epochs"),
                       ("check", "read and verify everything; exit status 1 if something is "
                        "wrong"),
                       ("export", "files out of it, without booting; exit status 1 if some are "
                        "damaged, the rest is there then")):
        action = actions.add_parser(name, help=text, description="A store: %s." % text)
        action.hint = "store %s --help" % name
        action.add_argument("file", metavar="FILE", help="a disk image, or a device")
        action.add_argument("--epoch", metavar="N", type=_number(1, 1 << 62),
                            help="an older epoch that is still kept (default: the last)")
        if name == "export":
            action.add_argument("path", metavar="PATH", help="of a file, or of a directory whose "
                                "contents are wanted; / for all")
            action.add_argument("to", metavar="DIR", help="the folder they go into; made if there "
                                "is none")
            action.add_argument("--force", action="store_true", help="the folder need not be "
                                "empty; files there give way to those of the same name")


def _parser():
    top = Parser(prog="holdfast", description="Run Erlang and other programs on Holdfast.")
    top.add_argument("--version", action="version", version="holdfast " + VERSION)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    packer = commands.add_parser("pack", help="make a root image",
                                 description="Make a root image.")
    packer.hint = "pack --help"
    packer.add_argument("-o", dest="output", metavar="FILE", required=True,
                        help="where the image goes")
    _root_options(packer, with_image=False)
    runner = commands.add_parser("run", help="boot and run a program",
                                 usage="holdfast run [OPTION]... [-- COMMAND ARGS...]",
                                 description="Boot Holdfast and run a program: COMMAND, the "
                                 "release's own start, or the Erlang shell. " + STATUSES)
    runner.hint = "run --help"
    _run_options(runner)
    _root_options(runner, with_image=True)
    _store_commands(commands)
    return top


def recipe_of(options):
    """The recipe that the root options ask for."""
    return rootfs.Recipe(options.base, options.debian, options.release, options.tree,
                         options.add)


def _split(arguments):
    """What is ours and what comes after --."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    if at + 1 == len(arguments):
        raise WrongUse("no command after --")
    return arguments[:at], arguments[at + 1:]


def parse(arguments):
    """=> returns the options and what follows --, None if nothing does"""
    arguments, argv = _split(arguments)
    options = _parser().parse_args(arguments)
    if options.command is None:
        raise WrongUse("no command (see: holdfast --help)")
    if getattr(options, "port", ()) is None:
        options.port = []
        if argv is None and recipe_of(options).command() == rootfs.SHELL:
            options.port = [port("5555:8080")]
    return options, argv


def main(arguments):
    """=> returns the exit status"""
    try:
        options, argv = parse(arguments)
        if options.command == "pack":
            if argv:
                raise WrongUse("pack takes no command (see: holdfast pack --help)")
            pack.pack(recipe_of(options), options.output)
            return 0
        if options.command == "store":
            if argv:
                raise WrongUse("store takes no command (see: holdfast store --help)")
            return store.COMMANDS[options.action](options)
        options.argv = argv
        return run.run(options, recipe_of(options))
    except Failure as failure:
        say(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os._exit(141)
