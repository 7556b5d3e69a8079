#!/usr/bin/env python3
"""Prints how often each failpoint was reached, from a file of counts that tests have left
(LOGLOG_FAILPOINT_COUNTS); exits 1 when one never was:

    failpoints.py FILE"""

import struct
import sys

RECORD = struct.Struct("<q56s")  # CountRecord of base/failpoint.cc


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    if not data or len(data) % RECORD.size:
        return f"{path}: no file of counts; LOGLOG_FAILPOINT_COUNTS={path} makes one"
    counts = {name.split(b"\0")[0].decode(): count for count, name in RECORD.iter_unpack(data)}
    print(f"{'times':>12}  failpoint")
    for name, count in counts.items():
        print(f"{count:12}  {name}")
    never = [name for name, count in counts.items() if count == 0]
    if never:
        return "no test ever reaches " + ", ".join(never)
    print(f"{len(counts)} failpoints and branches of leases, each reached")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
