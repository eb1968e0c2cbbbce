"""The command line: what it may say, and which command does it."""
import argparse
import os

from . import VERSION, pack, rootfs, sets
from .errors import Failure, WrongUse, say


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
    return top


def recipe_of(options):
    """The recipe that the root options ask for."""
    return rootfs.Recipe(options.base, options.debian, options.release, options.tree,
                         options.add)


def main(arguments):
    """=> returns the exit status"""
    try:
        top = _parser()
        options = top.parse_args(arguments)
        if options.command is None:
            raise WrongUse("no command (see: holdfast --help)")
        if options.command == "pack":
            pack.pack(recipe_of(options), options.output)
        return 0
    except Failure as failure:
        say(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os._exit(141)
