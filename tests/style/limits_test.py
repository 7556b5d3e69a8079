"""docs/LIMITS.md lists every limit of base/limits.h with its number, and each one is both
enforced somewhere and reached by a test."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = ("base", "plan", "store", "proto", "coordinator", "worker", "cli")


def limits_of_code():
    found = {}
    text = (ROOT / "base/limits.h").read_text()
    for name, value in re.findall(r"inline constexpr \w+ (k\w+) = ([^;]+);", text):
        parts = [int(part.replace("'", "")) for part in value.split("<<")]
        found[name] = parts[0] << sum(parts[1:])
    assert len(found) == text.count("inline constexpr"), "a limit that this test cannot read"
    return found


def limits_of_docs():
    text = (ROOT / "docs/LIMITS.md").read_text()
    return {name: int(value.replace(",", ""))
            for name, value in re.findall(r"^\| `(k\w+)` \| ([\d,]+)\b", text, re.MULTILINE)}


def sources(tests):
    for folder in CODE:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".h", ".cc") and path.name != "limits.h" and ("_test" in path.name) == tests:
                yield path


# A sender that is held back looks like a slow one.
NOT_TESTED = ["kBatchesInFlightMax"]


class LimitsTest(unittest.TestCase):
    def test_docs_say_what_the_code_says(self):
        self.assertEqual(limits_of_docs(), limits_of_code())

    def test_each_limit_is_enforced_and_tested(self):
        for tests in (False, True):
            text = "\n".join(path.read_text() for path in sources(tests))
            missing = [name for name in limits_of_code() if not re.search(rf"limits::{name}\b", text)]
            self.assertEqual(missing, NOT_TESTED if tests else [], "in tests" if tests else "in the code")


if __name__ == "__main__":
    unittest.main()
