"""Checks of the tree that a compiler does not make: who includes whom, where SQL and
gRPC may appear, how long files are. Prints each breach as file:line and exits 1."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder -> folders whose headers it may include, besides its own.
ARROWS = {
    "base": set(),
    "shards": set(),
    "plan": {"base", "shards"},
    "store": {"base", "shards"},
    "fit": {"base"},
    "fitting": {"base", "shards", "plan", "store", "fit"},
    "proto": set(),
    "coordinator": {"base", "shards", "plan", "store", "fit", "fitting", "proto"},
    "worker": {"base", "proto"},
    "trainer": {"shards"},
    "cli": {"base", "shards", "plan", "store", "fit", "fitting", "proto"},
}
TRAINER_MUST_NOT = ("absl/", "google/protobuf", "grpc", "loglog/v1/")
GRPC_MAY = re.compile(
    r"^(proto/|coordinator/[a-z_]*(service|server|main|reactor|stream)[a-z_]*\.(h|cc)"
    r"|worker/[a-z_]*(sync|stream|client|main|service)[a-z_]*\.(h|cc)"
    r"|cli/[a-z_]*client[a-z_]*\.(h|cc)|bench/|tests/|coordinator/[a-z_]*_test\.cc"
    r"|worker/[a-z_]*_test\.cc|cli/[a-z_]*_test(ing)?\.(h|cc))")
SQL = re.compile(r'"\s*(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM'
                 r'|CREATE\s+TABLE)\s')
SQL_MAY = re.compile(r"^(store/|tests/|bench/|.*_test\.cc$)")
LATE_CPP = re.compile(r"#include <(ranges|format|coroutine|source_location)>|absl::Mutex\b")
LINES_MAX = 600
TEST_LINES_MAX = 800


def tracked():
    try:
        out = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True)
        return [name for name in out.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # no git here, or not a clone
        names = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.is_file())
        return [name for name in names if not name.startswith(("build", "."))]


def main():
    breaches = []
    for name in tracked():
        if not name.endswith((".h", ".cc", ".cu", ".cuh")) or not (ROOT / name).exists():
            continue
        folder = name.split("/")[0]
        lines = (ROOT / name).read_text().splitlines()
        lines_max = TEST_LINES_MAX if name.endswith("_test.cc") else LINES_MAX
        if len(lines) > lines_max:
            breaches.append(f"{name}:{len(lines)}: longer than {lines_max} lines; split it by task")
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}"
            include = re.match(r'\s*#include\s+["<]([^">]+)[">]', line)
            if include:
                target = include.group(1)
                to = "proto" if target.startswith("loglog/v1/") else target.split("/")[0]
                if folder in ARROWS and to in ARROWS and to != folder and to not in ARROWS[folder]:
                    breaches.append(f"{where}: {folder}/ must not include {to}/ ({target})")
                if folder == "trainer" and target.startswith(TRAINER_MUST_NOT):
                    breaches.append(f"{where}: the trainer knows neither Abseil nor protobuf ({target})")
                if target.startswith("grpc") and not GRPC_MAY.match(name):
                    breaches.append(f"{where}: gRPC belongs to services, the sync loop and the client only")
                if target == "sqlite3.h" and not SQL_MAY.match(name):
                    breaches.append(f"{where}: SQLite belongs to store/ only")
            if SQL.search(line) and not SQL_MAY.match(name):
                breaches.append(f"{where}: SQL belongs to store/ only")
            if LATE_CPP.search(line) and name != "base/mutex.h":
                breaches.append(f"{where}: not available to both compilers or blind to ThreadSanitizer: {line.strip()}")
    for breach in breaches:
        print(breach)
    print(f"{len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
