"""A cluster that is made to be hurt: each process behind a handle that can kill, stop and
arm it, each worker behind a proxy, and everything that is written on file systems of its
own where that is permitted."""

import contextlib
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import time

import harness
from proxy import Proxy

LEASE_S = 3.0
MARGIN_S = 1.0
# After so long of silence everybody agrees that a lease is over.
LEASE_OVER_S = LEASE_S + 2 * MARGIN_S
WORKERS = ("w0", "w1", "w2", "w3")
NAMESPACE = "LOGLOG_CHAOS_NAMESPACE"  # in the environment: this process may mount


def may_mount():
    return os.environ.get(NAMESPACE) == "1"


def failpoints():
    """The names that the programs know, by the process that can die there."""
    done = subprocess.run([harness.BIN / "loglog-worker", "--coordinator", "none"], capture_output=True, text=True,
                          env=dict(os.environ, LOGLOG_FAILPOINT="?"), timeout=60)
    names = re.search(r"there are (.*)", done.stderr)
    assert names, f"no list of failpoints in: {done.stderr}"
    by_process = {"coordinator": [], "worker": []}
    for name in names.group(1).split(", "):
        part = name.split(".")[0]
        owner = {"engine": "coordinator", "lease": "coordinator", "store": "coordinator", "worker": "worker"}.get(part)
        assert owner, f"failpoint {name}: say here which process '{part}' belongs to"
        by_process[owner].append(name.strip())
    return by_process


class Disk:
    """A file system of its own under `path`; without the right to mount, a mere folder."""

    def __init__(self, path, size_mb):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True)
        self._filler = self.path / "filler"
        if may_mount():
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "chaos", self.path], check=True)

    def fill(self):
        with contextlib.suppress(OSError), open(self._filler, "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size):
                        pass

    def empty(self):
        self._filler.unlink(missing_ok=True)

    def remount(self, mode):
        """True when done; read-only is refused while a file is open for writing."""
        return subprocess.run(["mount", "-o", f"remount,{mode}", self.path], capture_output=True).returncode == 0


class Process:
    """The coordinator or a worker, over all its lives."""

    def __init__(self, cluster, name, command):
        self.name = name
        self.kind = "coordinator" if name == "coordinator" else "worker"
        self.popen = None
        self.armed = ""           # the failpoint of this life
        self.ended_by = ""        # what we ended this life by: "kill" or "leave"
        self.stopped = False
        self.excused_until = 0.0  # may end by itself: its disk was taken away
        self.lives = 0
        self._cluster = cluster
        self._command = command

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def start(self, failpoint="", count=1):
        assert not self.alive()
        self.armed, self.ended_by, self.stopped = failpoint, "", False
        self.lives += 1
        environment = {"LOGLOG_FAILPOINT": f"{failpoint}:{count}"} if failpoint else {}
        self.popen = self._cluster.spawn(self.name, self._command(), **environment)

    def signal(self, number):
        if self.popen.poll() is None:
            self.popen.send_signal(number)
            self.stopped = number == signal.SIGSTOP
            return True
        return False

    def kill(self):
        """False: it was dead already."""
        if self.popen.poll() is not None:
            return False
        self.ended_by = "kill"
        self.popen.kill()
        self.popen.wait()
        return True

    def leave(self):
        """Asks it to end in order."""
        if self.popen.poll() is None:
            self.ended_by = "leave"
            self.popen.send_signal(signal.SIGTERM)

    def excuse(self, seconds):
        self.excused_until = time.monotonic() + seconds

    def trainers(self):
        """Pids of the living children."""
        pids = []
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{self.popen.pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        return sorted(pids)


class ChaosCluster(harness.Cluster):
    """Faulty by intention. The coordinator and the workers are `processes`."""

    def __init__(self, folder, rng, trainer, slots):
        super().__init__(folder, lease=f"{LEASE_S:g}s", margin=f"{MARGIN_S:g}s")
        self.disks = {"store": Disk(self.folder / "store", 256)}
        self.store = self.folder / "store/loglog.db"
        self.journal = self.folder / "journal"
        self.misfortunes = self.folder / "misfortunes"
        self.misfortunes.mkdir()
        self.wrong_clocks = 0  # processes started with one
        self._journal_lines, self._journal_offset = [], 0
        self._trainer = trainer
        self._rng = rng
        host, port = self.address.split(":")
        self.proxies = {name: Proxy((host, int(port))) for name in WORKERS}
        # Two workers share a folder of checkpoints, so that one goes on where the other stopped.
        self.checkpoints = {"w0": "shared", "w1": "shared", "w2": "w2", "w3": "w3"}
        for name in sorted(set(self.checkpoints.values())):
            self.disks[f"checkpoints-{name}"] = Disk(self.folder / f"checkpoints-{name}", 64)
        for name in WORKERS:
            self.disks[f"run-{name}"] = Disk(self.folder / f"run-{name}", 64)
        self.environment["LOGLOG_FAKE_TRAINER"] = (
            f"step_ms=12;diverge_one_in=7;journal={self.journal};misfortunes={self.misfortunes}")
        self.processes = {"coordinator": Process(self, "coordinator", self.coordinator_command)}
        for name in WORKERS:
            self.processes[name] = Process(self, name, lambda name=name: self.worker_command(name, slots))

    def __exit__(self, *_):
        for process in self.processes.values():
            if process.alive():
                process.popen.kill()
                process.popen.wait()
        for proxy in self.proxies.values():
            proxy.close()
        if may_mount():
            for disk in self.disks.values():
                subprocess.run(["umount", "-l", disk.path], capture_output=True)

    def _offset(self):
        """The wall clock of a process that starts: right, an hour early or an hour late."""
        offset = self._rng.choice(("0", "-1h", "1h"))
        self.wrong_clocks += offset != "0"
        return f"--clock-offset={offset}"

    def coordinator_command(self):
        return [*super().coordinator_command(), "--log-level", "info", self._offset()]

    def worker_command(self, name, slots=1):
        scope = self.checkpoints[name]
        return [harness.BIN / "loglog-worker", "--coordinator", f"127.0.0.1:{self.proxies[name].port}",
                "--name", name, "--run-dir", self.folder / f"run-{name}/files", "--slots", slots, "--device", "cpu",
                "--checkpoint-dir", self.folder / f"checkpoints-{scope}/files", "--checkpoint-scope", scope,
                "--data-root", self.data_root, "--min-free-mb", "4", "--log-level", "debug",
                "--trainer", harness.BIN / self._trainer, self._offset()]

    @property
    def coordinator_process(self):
        return self.processes["coordinator"]

    def worker_processes(self):
        return [self.processes[name] for name in WORKERS]

    def ask(self, *arguments):
        """`loglog ...` in the background."""
        return subprocess.Popen([str(harness.BIN / "loglog"), *map(str, arguments), "--rpc-timeout", "5s"],
                                cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def look(self, query, otherwise=None):
        """Rows, or `otherwise` while the store cannot be read (a dead writer's log on a full disk)."""
        try:
            return self.sql(query)
        except sqlite3.OperationalError:
            return otherwise

    def read_journal(self):
        """All that trainers wrote so far."""
        if self.journal.exists():
            with open(self.journal, "rb") as file:
                file.seek(self._journal_offset)
                whole = file.read().rpartition(b"\n")
            self._journal_offset += len(whole[0]) + len(whole[1])
            self._journal_lines += map(json.loads, whole[0].splitlines())
        return self._journal_lines
