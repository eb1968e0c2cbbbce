"""Every kind of kernel object says what becomes of it over a power cut. Boots nothing.

What there is comes from the kernel's own ELF file (structures.py, run by gdb): each structure with
a count of references, a wait queue, a timer, a lock or a list in it is somebody's object. It is
either written down, by a struct persist_kind, or named in the table of kernel/persist/kinds.c.
"""
import glob
import json
import os
import re
import subprocess

import pytest

from guest import BUILD, TOP

HERE = os.path.dirname(os.path.abspath(__file__))
# What the others are made of.
PRIMITIVES = {"refcount", "waitq", "timer", "spinlock", "mutex", "rwlock", "persistent", "list",
              "rb_node"}
OPS = ("vnode_ops", "vm_object_ops", "socket_family")


@pytest.fixture(scope="module")
def kernel():
    done = subprocess.run(["gdb", "-batch", "-nx", "-x", os.path.join(HERE, "structures.py"),
                           os.path.join(BUILD, "holdfast.elf")], capture_output=True, text=True,
                          check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sources():
    out = {}
    for path in sorted(glob.glob(os.path.join(TOP, "kernel", "*", "*.[ch]"))):
        with open(path, encoding="utf-8") as file:
            out[os.path.relpath(path, TOP)] = file.read()
    return out


@pytest.fixture(scope="module")
def table(sources):
    """name -> what becomes of it, from the head of kinds.c"""
    head = sources["kernel/persist/kinds.c"].split("*/")[0]
    out, names = {}, []
    for line in re.findall(r"^ \*\t(.*)$", head, re.M):
        words, tab, text = line.partition("\t")
        if words:
            more = re.findall(r"\w+", words)
            names = names + more if names and not out.get(names[-1], " ") else more
            for name in more:
                assert name not in out, "kinds.c names %s twice" % name
        for name in names:
            out[name] = (out.get(name, "") + text.strip()) if tab else out.get(name, "")
    return out


def test_every_structure_is_written_down_or_accounted_for(kernel, sources, table):
    for name, text in table.items():
        assert text, "kinds.c does not say what becomes of %s" % name
    objects = {name for name, found in kernel["structures"].items()
               if found["live"] and name not in PRIMITIVES}
    saved = {name for name in objects if "persistent" in kernel["structures"][name]["members"]}
    silent = objects - saved - set(table)
    assert not silent, "kernel/persist/kinds.c says nothing of struct %s" % ", ".join(
        sorted(silent))
    ops = {name for kind in OPS for text in sources.values()
           for name in re.findall(r"const struct %s (\w+) = \{" % kind, text)}
    gone = set(table) - set(kernel["structures"]) - ops
    assert not gone, "kinds.c names what there is not: %s" % gone
    both = saved & set(table)
    assert not both, "written down, and in the table of what is not: %s" % both


def test_every_kind_is_in_the_engine_s_table(kernel, sources):
    listed = set(re.findall(r"\{&(\w+_persist), \w+\}", sources["kernel/persist/kinds.c"]))
    assert listed == set(kernel["kinds"])
    assert len(set(kernel["kinds"].values())) == len(listed), kernel["kinds"]


def test_every_kind_of_open_file_says_how_it_is_saved(kernel, sources):
    """Its own fields, opened again by name, or lost with an error: each file_ops has one."""
    text = "".join(sources.values())
    registered = set(re.findall(r"file_persist_register\(&(\w+)(?:\.file)?\)", text))
    defined = set(re.findall(r"^(?:static )?const struct (?:socket_)?file_ops (\w+) = ", text, re.M))
    assert defined == set(kernel["files"])
    for name, persist in kernel["files"].items():
        assert persist, "struct file_ops %s has no persist" % name
        own = persist not in ("file_reopened", "file_lost")
        assert own == (name in registered), name
    numbers = re.findall(r"^\tFILE_\w+ = (\d+),", sources["kernel/file/persist.h"], re.M)
    assert len(numbers) == len(set(numbers)) == len(registered)


def member_lists(text):
    """=> yields (structure, {word: members}) for each list in a source"""
    for name, body in re.findall(r"^ \* Members of struct (\w+) over a power cut:\n(.*?)^ \*/", text,
                                 re.M | re.S):
        out, word = {}, None
        for line in re.findall(r"^ \*\t(.*)$", body, re.M):
            first, _, rest = line.partition("\t")
            word = first or word
            out.setdefault(word, []).extend(rest.split())
        yield name, out


def test_every_member_of_what_is_written_down_says_what_becomes_of_it(kernel, sources):
    """A new member has to be put into a list, and what is written is used where the list is."""
    lists = {}
    for path, text in sources.items():
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        for name, words in member_lists(text):
            assert name not in lists, "two lists of struct %s" % name
            assert set(words) <= {"written", "made", "lost"}, (path, words)
            lists[name] = sum(words.values(), [])
            if path != "kernel/net/inet_persist.c":  # tcp_persist.c, dgram_persist.c too
                unused = [m for m in words["written"] if not re.search(r"\b%s\b" % m, code)]
                assert not unused or name in ("process", "file", "vnode"), (path, name, unused)
    saved = {name for name, found in kernel["structures"].items()
             if "persistent" in found["members"]}
    assert saved == set(lists), saved ^ set(lists)
    for name, told in lists.items():
        there = kernel["structures"][name]["members"]
        silent, gone = set(there) - set(told), set(told) - set(there)
        assert not silent, "the list of struct %s says nothing of %s" % (name, silent)
        assert not gone and len(told) == len(there), "the list of struct %s has %s" % (
            name, gone or "a member twice")


@pytest.mark.parametrize("kind", OPS)
def test_every_table_of_operations_is_named(sources, table, kind):
    """Kinds of vnode, of memory object and of socket."""
    saved = re.findall(r"ops == &(\w+)", sources["kernel/file/place_persist.c"])
    for path, text in sources.items():
        for name in re.findall(r"const struct %s (\w+) = \{" % kind, text):
            assert name in table or name in saved, "%s: kinds.c says nothing of %s" % (path, name)
