"""Adds inputs that a fuzzer found to a corpus of the tree: those that are not there yet,
smallest first, while the corpus stays below a number of bytes.
   keep_smallest.py MERGED CORPUS BYTES_MAX"""

import hashlib
import pathlib
import sys


def main():
    merged, corpus, bytes_max = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    known = {path.read_bytes() for path in corpus.iterdir()}
    size = sum(len(data) for data in known)
    added = 0
    for data in sorted((path.read_bytes() for path in merged.iterdir()), key=lambda data: (len(data), data)):
        if data in known:
            continue
        if size + len(data) > bytes_max:
            break
        (corpus / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
        size += len(data)
        added += 1
    print(f"{corpus}: {added} added, {size} bytes")


if __name__ == "__main__":
    main()
