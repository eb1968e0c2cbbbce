"""Where the kernel's functions lie: tools/pack-kcode."""
import os
import subprocess

from guest import BUILD, ON_LINUX

import pytest

PAGE = 4096

pytestmark = pytest.mark.skipif(ON_LINUX, reason="about this kernel's image")


def test_no_function_lies_in_two_pages_that_fits_into_one():
    names = subprocess.run(["nm", "-S", os.path.join(BUILD, "holdfast.elf")], check=True,
                           capture_output=True, text=True).stdout
    seen, wrong = 0, []
    for line in map(str.split, names.splitlines()):
        if len(line) == 4 and line[2] in "tT" and int(line[0], 16) >= 0xffffffff80000000:
            at, size = int(line[0], 16) % PAGE, int(line[1], 16)
            seen += 1
            if size <= PAGE < at + size:
                wrong.append(line[3])
    assert seen > 1000 and not wrong, wrong
