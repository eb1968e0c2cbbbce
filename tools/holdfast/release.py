"""Recognises a release somebody built: mix, rebar3 or Gleam.

A release is packed as it is, at /srv/NAME; `shape` says which program
starts it and whether it brings its own Erlang runtime.
"""
import glob
import os

from .errors import WrongUse


class Release:
    """What a release directory is and how it is started."""

    def __init__(self, kind, name, command, own_erts):
        self.kind = kind
        self.name = name
        self.command = command
        self.own_erts = own_erts


def _starters(folder, versions):
    """Programs in bin/ that belong to a release, the release's own first."""
    names = []
    for name in sorted(os.listdir(os.path.join(folder, "bin"))):
        path = os.path.join(folder, "bin", name)
        if os.path.isfile(path) and os.access(path, os.X_OK) and not name.endswith(".bat"):
            names.append(name)
    rels = {os.path.basename(p)[:-4] for v in versions for p in glob.glob(v + "/*.rel")}
    return sorted(names, key=lambda n: (n not in rels, len(n), n))


def _version(folder):
    """The directories in releases/ that hold a version."""
    return sorted(os.path.dirname(p) for p in glob.glob(folder + "/releases/*/start.boot"))


def shape(folder):
    """=> raises WrongUse when `folder` is none of the three kinds."""
    folder = os.path.abspath(folder)
    if not os.path.isdir(folder):
        raise WrongUse("%s: no such directory" % folder)
    name = os.path.basename(folder)
    own_erts = bool(glob.glob(folder + "/erts-*"))
    if os.path.isfile(folder + "/entrypoint.sh"):
        return Release("gleam", name, ["/srv/%s/entrypoint.sh" % name, "run"], False)
    if not os.path.isdir(folder + "/bin") or not os.path.isdir(folder + "/releases"):
        raise WrongUse("%s is no release: it has neither bin/ and releases/ (mix release, "
                       "rebar3 release) nor entrypoint.sh (gleam export erlang-shipment)"
                       % folder)
    versions = _version(folder)
    starters = _starters(folder, versions)
    if not starters:
        raise WrongUse("%s/bin holds no program to start" % folder)
    if glob.glob(folder + "/releases/*/elixir") or glob.glob(folder + "/releases/*/env.sh"):
        kind, verb = "mix", "start"
    else:
        kind, verb = "rebar3", "foreground"
    return Release(kind, name, ["/srv/%s/bin/%s" % (name, starters[0]), verb], own_erts)
