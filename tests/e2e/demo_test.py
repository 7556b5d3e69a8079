"""The demo as a user sees it, and under kill -9 of a trainer, a worker and the coordinator:
the same numbers, digit for digit."""

import re
import subprocess
import time
import unittest

import harness


def demo(*arguments):
    started = time.monotonic()
    done = subprocess.run([str(harness.BIN / "loglog"), "demo", *arguments], capture_output=True,
                          text=True, timeout=600, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "\x1b" not in done.stdout, "an escape byte in piped output"
    print(f"demo {' '.join(arguments)}: {time.monotonic() - started:.1f} s")
    return done.stdout


class Demo(unittest.TestCase):
    def test_chaos_changes_no_digit(self):
        quiet = demo()
        for needed in ("small", "large", "slope", "entropy rate", "steeper"):
            self.assertIn(needed, quiet)
        self.assertRegex(quiet, r"\[-?\d+\.\d+, -?\d+\.\d+\]")
        self.assertEqual(demo("--chaos"), quiet)
        self.assertTrue(re.search(r"20 of 20|20/20", quiet), quiet)


if __name__ == "__main__":
    unittest.main()
