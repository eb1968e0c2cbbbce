#!/usr/bin/python3
"""First inputs for the fuzz targets: small right ones, which mutation spoils.

usage: seeds.py FOLDER        writes FOLDER/TARGET/NAME
"""
import os
import struct
import sys


def cpio_entry(name, mode, data=b"", zeros=1, nlink=1):
    fields = [7, mode, 0, 0, nlink, 99, len(data), 8, 1, 4, 64, len(name) + zeros, 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name + b"\0" * zeros
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


def cpio():
    end = cpio_entry(b"TRAILER!!!", 0)
    plain = cpio_entry(b"etc", 0o40755) + cpio_entry(b"etc/passwd", 0o100644, b"root:x:0:0\n", 40)
    links = cpio_entry(b"a", 0o100644, nlink=2) + cpio_entry(b"b", 0o100644, b"data", nlink=2)
    odd = cpio_entry(b"l", 0o120777, b"a/../b") + cpio_entry(b"dev/x", 0o20666)
    return {"plain": plain + end, "links": links + end, "two": plain + end + bytes(512) + odd + end}


def elf(kind, headers):
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0x401000, 64, 0, 0, 64, 56, len(headers),
                        0, 0, 0)
    table = b"".join(struct.pack("<IIQQQQQQ", t, flags, offset, at, at, size, memory, 4096)
                     for t, flags, offset, at, size, memory in headers)
    return (head + table).ljust(600, b"\0")


def elves():
    return {
        "static": elf(2, [(1, 5, 0, 0x400000, 600, 600), (1, 6, 512, 0x402200, 88, 9000)]),
        "pie": elf(3, [(6, 4, 64, 64, 224, 224), (3, 4, 500, 500, 28, 28),
                       (1, 5, 0, 0, 600, 600), (0x6474e551, 6, 0, 0, 0, 0)]),
    }


def table(signature, body):
    return signature + struct.pack("<IBB6s8sI4sI", 36 + len(body), 1, 0, b"HOLDFA", b"HOLDFAST",
                                   1, b"HFST", 1) + body


def gas(port):
    return struct.pack("<BBBBQ", 1, 32, 0, 0, port)


def acpi(wide):
    madt = struct.pack("<II", 0xfee00000, 1) + bytes([0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 1, 1, 0, 0, 0])
    madt += struct.pack("<BBBBII", 1, 12, 0, 0, 0xfec00000, 0)
    madt += struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 13)
    madt += struct.pack("<BBHIII", 9, 16, 0, 300, 1, 2)
    srat = bytes(12) + struct.pack("<BBBBI8x", 0, 16, 1, 1, 1)
    srat += struct.pack("<BBIHQQIIQ", 1, 40, 1, 0, 1 << 20, 1 << 28, 0, 1, 0)
    srat += struct.pack("<BBHIIII4x", 2, 24, 0, 1, 300, 1, 0)
    fadt = bytearray(276 - 36)
    struct.pack_into("<I", fadt, 112 - 36, 1 << 10)
    fadt[116 - 36:128 - 36], fadt[148 - 36:160 - 36] = gas(0xcf9), gas(0x600)
    tables = [table(b"SRAT", srat), table(b"APIC", madt),
              table(b"SLIT", struct.pack("<Q", 2) + bytes([10, 20, 20, 10])),
              table(b"MCFG", bytes(8) + struct.pack("<QHBB4x", 0xb0000000, 0, 0, 255)),
              table(b"HPET", bytes(4) + gas(0xfed00000) + bytes(4)), table(b"FACP", bytes(fadt))]
    hmat = struct.pack("<4xHHIHHII20x", 0, 0, 40, 1, 0, 0, 1)
    hmat += struct.pack("<HHIBBBBII4xQIII2H", 1, 0, 48, 0, 0, 0, 0, 1, 2, 1000, 0, 0, 1, 10, 20)
    tables.insert(0, table(b"HMAT", hmat))
    dsdt = table(b"DSDT", b"\x08_S5_\x12\x06\x04\x0a\x05\x00\x00\x00" + bytes(8))
    start, at = 256, []
    image = bytearray(2048)
    struct.pack_into("<I", fadt, 40 - 36, start)
    tables[-1] = table(b"FACP", bytes(fadt))
    for item in [dsdt] + tables:
        at.append(start)
        image[start:start + len(item)] = item
        start += (len(item) + 15) & ~15
    code = "<%dQ" if wide else "<%dI"
    root = table(b"XSDT" if wide else b"RSDT", struct.pack(code % len(tables), *at[1:]))
    image[64:64 + len(root)] = root
    image[:36] = b"RSD PTR \0HOLDFA" + struct.pack("<BIIQI", 2 if wide else 0, 64, 36, 64, 0)
    return bytes(image)


def arch_info():
    """Two clusters on the machine of the target, in the order of the file's tables."""
    head, mib = bytearray(128), 1 << 20
    body = b"".join(struct.pack("<HHIHHIII", cxy, 2, 2 * i, 1, i, i, 0, i).ljust(64, b"\0")
                    for i, cxy in enumerate((3, 7)))
    body += b"".join(struct.pack("<IHHII", i, 3 if i < 2 else 7, i % 2, 1, i) for i in range(4))
    for base, size, cxy in ((0, 40 * mib, 3), (40 * mib, 24 * mib, 7)):
        body += struct.pack("<QQHH", base, size, cxy, 0).ljust(32, b"\0")
    body += struct.pack("<QQIHHI20xIH", 0xfeb00000, 4096, 7 << 16, 7, 1, 24, 0, 1).ljust(64, b"\0")
    body += struct.pack("<IBBBBII", 0, 0, 1, 2, 0, 5, 0).ljust(64, b"\0") + bytes([10, 30, 30, 10])
    struct.pack_into("<IHHQII", head, 0, 0x38364941, 1, 128, 128 + len(body), 0, 2)
    struct.pack_into("<10I", head, 24, 2, 128, 4, 256, 2, 320, 1, 384, 1, 448)
    struct.pack_into("<HH4xI", head, 64, 3, 7, 512)
    file = bytes(head) + body
    tail = bytes([0, 0, 0, 127, 2, 128, 128, 0, 0, 1, 0, 0, 0, 2, 0, 0])
    return {"plain": file + tail, "split": file + tail[:8] + bytes([13]) + tail[9:],
            "alone": tail, "memory": file + tail[:9] + bytes(7)}


def cmdline():
    return {"plain": b"holdfast.elf quiet -d 3 clusters=2 A=b -- erl -noshell 'a b' \"c\\\"d\"",
            "machine": b"k noarch mem=64 io=1 kill=1,2 badmem=0x1f000 stall=3 patience=1",
            "levels": b"-d=10 -i 20 -f30 -e 999 cores=4 kill=1 x=y z",
            "long": b"k=" + b"v" * 3000, "many": b"a=b " * 80 + b"-- " + b"c " * 80}


def virtqueue():
    run = bytes([0, 0x0a, 10, 20, 3, 0, 9, 0, 2])
    return {name: bytes([mode]) + run * 6 for name, mode in
            [("plain", 0), ("legacy", 1), ("event", 2), ("indirect", 6)]}


def store():
    """Blocks, offsets, counts and bytes: see store_fuzz.c."""
    return {"one": bytes([9, 0, 8, 0, 4, 1, 2, 3, 4]), "two": bytes([40, 0, 4, 0, 2, 0, 1]) * 2}


def field(tag, data):
    if isinstance(data, int):
        data = struct.pack("<Q", data)
    return struct.pack("<HHI", tag, 0, len(data)) + data + bytes(-len(data) % 8)


def tree():
    """The records of a system with a few files: see tree_fuzz.c, and the tags in */record.h."""
    def item(oid, idx, data):
        return struct.pack("<BBH", oid - 16, idx, len(data)) + data

    def record(oid, kind, *fields):
        data = b"".join(fields)
        return item(oid, 0, struct.pack("<HHI", kind, 1, len(data)) + data)

    def child(tag, name, oid):
        return field(35, field(1, name) + field(tag, oid))
    system = record(16, 16, field(65, 32))
    space = record(32, 80, field(4, field(1, 33) + field(3, 34)),
                   field(4, field(1, 40) + field(2, field(1, 35)) + field(3, 41)))
    root = record(34, 82, field(1, 0o40755), child(4, b"a", 35), child(3, b"b", 36),
                  child(3, b"l", 37), field(35, field(1, b"null") + field(5, 0o20666)))
    folder = record(35, 82, field(1, 0o40755))
    over = record(41, 82, field(1, 0o40700), child(3, b"b", 36), child(4, b"c", 34))
    file = record(36, 82, field(1, 0o100644), field(4, 2), field(15, 38))
    link = record(37, 82, field(1, 0o120777), field(14, b"a/../l"))
    pages = record(38, 32, field(1, 1), field(2, 9000), field(4, 0), field(5, 3),
                   field(7, field(8, 39) + field(9, 1) + field(10, 2)))
    pages += item(38, 200, b"x" * 50) + item(38, 202, b"y") + item(39, 201, b"zz")
    return {"plain": system + space + root + folder + over + file + link + pages,
            "small": system + space + root}


def tagged():
    inner = field(1, bytes(8)) + field(2, b"abc")
    return {"plain": field(1, b"12345678") + field(2, b"text") + field(3, b""),
            "groups": field(4, inner) + field(5, field(4, inner) + inner)}


def main():
    seeds = {"cpio": cpio(), "archinfo": arch_info(), "elf": elves(), "cmdline": cmdline(),
             "virtqueue": virtqueue(), "store": store(),
             "tagged": tagged(), "tree": tree(),
             "acpi": {"xsdt": acpi(True), "rsdt": acpi(False)}}
    for target, inputs in seeds.items():
        folder = os.path.join(sys.argv[1], target)
        os.makedirs(folder, exist_ok=True)
        for name, data in inputs.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
