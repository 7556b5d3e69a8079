"""Prints registers, spills and shared memory of each GPU kernel and architecture, as Markdown.

    python3 bench/trainer/kernel_resources.py NVCC

NVCC is the CUDA set's compiler (deploy/setup.sh --cuda). No GPU is needed. Exits 1 if a kernel
spills or keeps a stack."""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARCHITECTURES = ("80", "90", "100")
ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
MEMORY = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def compile_report(nvcc):
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++20", "-O3", f"-I{ROOT}", "--resource-usage"]
        for arch in ARCHITECTURES:
            command += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
        command += ["-c", str(ROOT / "trainer/gpu_launch.cu"), "-o", f"{folder}/kernels.o"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{nvcc}: exit {done.returncode}\n{done.stderr}")
    return done.stdout + done.stderr


def short_name(mangled):
    """AddRmsNorm<bf16> out of the mangled name of Blocks<loglog::AddRmsNorm<loglog::Bf16>>."""
    inner = mangled.split("BlocksINS_", 1)[1]
    digits = re.match(r"\d+", inner).group()
    name = inner[len(digits):len(digits) + int(digits)]
    rest = inner[len(digits) + int(digits):]
    kind = {"If": "<fp32>", "Id": "<fp64>", "IN": "<bf16>"}.get(rest[:2], "")
    return name + kind


def parse(report):
    rows, entry, memory = {}, None, None
    for line in report.splitlines():
        if found := ENTRY.search(line):
            entry = (short_name(found[1]), found[2])
        elif found := MEMORY.search(line):
            memory = tuple(map(int, found.groups()))
        elif (found := USED.search(line)) and entry:
            shared = SHARED.search(line)
            rows[entry] = (int(found[1]), memory, int(shared[1]) if shared else 0)
            entry = memory = None
    return rows


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = parse(compile_report(sys.argv[1]))
    if not rows or {arch for _, arch in rows} != set(ARCHITECTURES):
        sys.exit(f"the compiler's report names {len(rows)} kernels, not each for sm_" + ", sm_".join(ARCHITECTURES))
    print("| kernel | registers, " + " / ".join(f"sm_{arch}" for arch in ARCHITECTURES)
          + " | spills, bytes | stack, bytes | shared, bytes |\n|---|---|---|---|---|")
    for name in sorted({name for name, _ in rows}):
        own = [rows[name, arch] for arch in ARCHITECTURES]
        print(f"| {name} | " + " / ".join(str(row[0]) for row in own)
              + f" | {max(row[1][1] + row[1][2] for row in own)} | {max(row[1][0] for row in own)}"
              + f" | {max(row[2] for row in own)} |")
    return 1 if any(any(row[1]) for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
