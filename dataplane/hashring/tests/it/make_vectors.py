#!/usr/bin/env python3
"""Writes ring-1.txt: the ring of S48, told a second time and as plainly as possible."""
import hashlib


def word(data):
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def point(node, index):
    return word(b"gs-ring-1" + node.to_bytes(8, "big") + index.to_bytes(4, "big"))


NODES = [  # id, weight, zone
    (0x0001000000000005, 1, "a"),
    (0x0001000000000009, 1, "a"),
    (0x000100000000000C, 2, "b"),
    (0x0001000000000F00, 1, "c"),
    (0x0002000000000001, 1, "c"),
]
POINTS = sorted((point(n, i), n) for n, w, _ in NODES for i in range(1024 * w))
ZONE = {n: z for n, _, z in NODES}


def owners(key, count):
    order = []
    for _, node in [p for p in POINTS if p[0] >= key] + [p for p in POINTS if p[0] < key]:
        if node not in order:
            order.append(node)
    taken = []
    while len(taken) < min(count, len(order)):
        zones = {ZONE[n] for n in taken}
        free = [n for n in order if n not in taken]
        fresh = [n for n in free if ZONE[n] not in zones]
        taken.append((fresh or free)[0])
    return taken


segments = [bytes(16), bytes([255] * 16)]
segments += [hashlib.sha256(b"segment %d" % n).digest()[:16] for n in range(118)]
for node, weight, zone in NODES:
    print(f"node {node:016x} {weight} {zone}")
for node, _, _ in NODES:
    for index in (0, 1, 1023):
        print(f"point {node:016x} {index} {point(node, index):016x}")
for s in segments[:8]:
    print(f"key {s.hex()} {word(s):016x}")
for n, s in enumerate(segments):
    print(f"owners {s.hex()} " + " ".join(f"{o:016x}" for o in owners(word(s), 1 + n % 5)))
