"""Checks docs/TRAPS.md: all thirty traps are there, and each names a test that exists and has
the trap's number in its name, or says that it cannot bite. Prints each breach, exits 1."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
GTEST = re.compile(r"^TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\)", re.MULTILINE)
CTEST = re.compile(r"add_test\(NAME ([\w.]+)")
SOURCES = ("base", "cli", "coordinator", "fit", "plan", "store", "trainer", "worker", "tests")
TRAPS = 30


def tests_of_the_tree():
    """Names as docs/TRAPS.md writes them -> all that their number could be in."""
    names = {}
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*_test.cc"):
            for suite, test in GTEST.findall(path.read_text()):
                names[f"{suite}.{test}"] = f"{suite}.{test}"
        for path in (ROOT / folder).rglob("*_test.py"):
            names[path.relative_to(ROOT).as_posix()] = path.read_text()
        for path in (ROOT / folder).rglob("CMakeLists.txt"):
            names.update({name: name for name in CTEST.findall(path.read_text())})
    return names


def main():
    breaches = []
    known = tests_of_the_tree()
    rows = {}
    for line in (ROOT / "docs" / "TRAPS.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if re.fullmatch(r"T\d\d", cells[0]):
            rows[cells[0]] = cells
    for number in range(1, TRAPS + 1):
        trap = f"T{number:02}"
        if trap not in rows:
            breaches.append(f"{trap} is missing")
            continue
        if len(rows[trap]) != 4:
            breaches.append(f"{trap} has {len(rows[trap])} cells, not 4")
            continue
        protection, tests = rows[trap][2], rows[trap][3]
        if protection.startswith("Cannot bite: ") and tests == "none":
            continue
        named = [name for name in re.findall(r"`([^`]+)`", tests) if not name.startswith("bench/")]
        for name in named:
            if name not in known:
                breaches.append(f"{trap}: there is no test {name}")
        if not any(trap in known.get(name, "") for name in named):
            breaches.append(f"{trap}: none of its tests has {trap} in its name")
    for breach in breaches:
        print(f"docs/TRAPS.md: {breach}")
    print(f"{len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
