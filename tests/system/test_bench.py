"""What the bench counts, where a bound on a count says that a mended thing stays so. Its times are
for quiet machines, and no test."""
import os
import sys

import pytest

from guest import ON_LINUX, TOP

sys.path.insert(0, os.path.join(TOP, "bench"))

import checkpoint  # noqa: E402
from machines import ask, first_reply, free_port  # noqa: E402

pytestmark = pytest.mark.skipif(ON_LINUX, reason="Linux has no store")


def test_pages_of_one_checkpoint_share_requests():
    written, requests, flushes, changed = checkpoint.written_for(256)
    assert flushes >= 80 and requests <= 16 * flushes, (requests, flushes)
    assert changed >= 80 * 200 * 4096 and written <= 1.25 * changed, (written, changed)


def test_a_resume_reads_what_lies_together_at_once():
    port = free_port()
    with checkpoint.Disk() as disk:
        with checkpoint.boot(disk, checkpoint.RESPONDER, "--memory", "512M",
                             "--port", "%d:8080" % port) as machine:
            first_reply(machine, port)
            assert ask(port, b"checkpoint\n") == b"here\n"
        seen = checkpoint.resumed(disk, "512M")[1]
    assert 0 < seen["rd_operations"] < 800, seen
