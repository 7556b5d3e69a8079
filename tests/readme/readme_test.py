"""Runs the README: every `sh` block as one script and every `python` block, in order, in one
fresh folder, with the built programs on PATH. What a reader cannot paste is a bug."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LOGLOG_BIN_DIR", ROOT / "build/release/bin"))
# The two commands that build everything: this test runs inside one of them.
OUTER = ("./quickstart", "./run-tests")


def blocks():
    text = (ROOT / "README.md").read_text()
    return [(match.group(1), match.group(2), text.count("\n", 0, match.start()) + 1)
            for match in re.finditer(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)]


def sample_text(path):
    """Some megabyte of text with structure to learn: numbered sentences over a small vocabulary."""
    words = "small weights condense early then grow as data and compute rise while loss falls".split()
    state, lines = 1, []
    for number in range(20000):
        sentence = []
        for _ in range(8):
            state = (state * 1103515245 + 12345) % 2**31
            sentence.append(words[(state >> 16) % len(words)])
        lines.append(f"{number}: {' '.join(sentence)}.")
        if number % 10 == 9:
            lines.append("")
    path.write_text("\n".join(lines))


def main():
    with tempfile.TemporaryDirectory(prefix="loglog-readme-") as name:
        folder = pathlib.Path(name)
        for entry in ("configs", "docs"):
            (folder / entry).symlink_to(ROOT / entry)
        sample_text(folder / "my-text.txt")
        environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", HOST="127.0.0.1", NO_COLOR="1")
        ran = 0
        for language, text, line in blocks():
            if language not in ("sh", "python"):
                continue
            if all(command.split("#")[0].strip() in OUTER for command in text.strip().splitlines()):
                for command in text.split("\n"):
                    program = command.split("#")[0].strip()
                    assert not program or os.access(ROOT / program, os.X_OK), program
                continue
            command = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
            print(f"README.md:{line}: {language}\n{text}", flush=True)
            process = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True,
                                       stdin=subprocess.DEVNULL)
            try:
                code = process.wait(timeout=600)
            finally:
                # Daemons that the block started in the background end with it.
                try:
                    os.killpg(process.pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
            assert code == 0, f"README.md:{line}: exit {code}"
            ran += 1
        assert ran >= 2, f"only {ran} blocks of README.md could be run"
        print(f"{ran} blocks ran")


if __name__ == "__main__":
    main()
