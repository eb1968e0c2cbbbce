"""What lies where in the image of a store, and damage to it."""
import struct


def records(image):
    """Heads of records: (sequence number, epoch, block, blocks of its payload with their items)"""
    found = []
    for at in range(1024 * 4096, len(image), 4096):
        if image[at:at + 8] == b"HSTORCD1":
            seq, epoch = struct.unpack_from("<QQ", image, at + 24)
            _, items, extents = struct.unpack_from("<III", image, at + 72)
            found.append((seq, epoch, at // 4096, _items(image, at, items, extents)))
    return sorted(found)


def _items(image, at, items, extents):
    """=> the put ones: (object, index, block, offset, length)"""
    out, places = [], []
    if extents == 0:
        places = [at + 1008 + 48 * i for i in range(items)]
    for x in range(extents):
        block, count = struct.unpack_from("<QQ", image, at + 1008 + 16 * x)
        places += [(block + b) * 4096 + 48 * i for b in range(count) for i in range(85)]
    for place in places[:items]:
        oid, idx, block, offset, length, op = struct.unpack_from("<QQQHHH", image, place)
        if op == 0:
            out.append((oid, idx, block, offset, length))
    return out


def flipped(image, at):
    out = bytearray(image)
    out[at] ^= 1 << at % 8
    return bytes(out)
