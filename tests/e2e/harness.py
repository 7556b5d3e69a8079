"""Starts, kills and reads a real Loglog for the end-to-end tests: real binaries, real
processes, a real store. Everything lives in one temporary folder."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("LOGLOG_BIN_DIR", ROOT / "build/release/bin"))
REFERENCE = os.environ.get("LOGLOG_REFERENCE_DATA")


def wait_until(what, condition, timeout_s=60.0):
    """Polls an observable condition; the timeout only bounds a broken run."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {timeout_s:.0f} s for: {what}")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def select(store, query, parameters=()):
    """Rows of a store that a coordinator may be writing to."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        return db.execute(query, parameters).fetchall()


class Cluster:
    """One coordinator and some workers in `folder`; use as a context manager."""

    def __init__(self, folder, lease="5s", margin="1s", data_root=None, coordinator_flags=(), worker_flags=(),
                 client_env=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = self.folder / "loglog.db"
        self.ready = self.folder / "coordinator.ready"
        self.address = f"127.0.0.1:{free_port()}"
        self.lease = lease
        self.margin = margin
        self.data_root = data_root or self.folder
        self.coordinator_flags = coordinator_flags
        self.worker_flags = worker_flags
        self.environment = dict(os.environ, LOGLOG_COORDINATOR=self.address, NO_COLOR="1",
                                **dict(client_env))
        self.coordinator = None
        self.workers = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.workers.values(), self.coordinator]:
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def spawn(self, name, arguments, **environment):
        """`environment` is added to the cluster's own. The process dies with this one."""
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, arguments)], stdout=log,
                                    stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                                    env=dict(self.environment, **environment))

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def coordinator_command(self):
        return [BIN / "loglog-coordinator", "--store", self.store, "--listen", self.address,
                "--lease", self.lease, "--lease-margin", self.margin, "--ready-file", self.ready,
                *self.coordinator_flags]

    def worker_command(self, name, slots=1):
        return [BIN / "loglog-worker", "--coordinator", self.address, "--name", name,
                "--run-dir", self.folder / f"run-{name}", "--slots", slots,
                "--data-root", self.data_root, *self.worker_flags]

    def start_coordinator(self):
        self.ready.unlink(missing_ok=True)
        self.coordinator = self.spawn("coordinator", self.coordinator_command())
        wait_until("the coordinator to serve\n" + self.log("coordinator"),
                   lambda: self.ready.exists() or self.coordinator.poll() is not None)
        assert self.coordinator.poll() is None, self.log("coordinator")

    def start_worker(self, name, slots=1):
        self.workers[name] = self.spawn(name, self.worker_command(name, slots))

    def kill_coordinator(self):
        self.coordinator.send_signal(signal.SIGKILL)
        self.coordinator.wait()

    def kill_worker(self, name):
        self.workers[name].send_signal(signal.SIGKILL)
        self.workers[name].wait()

    def stop(self):
        """Graceful stop of everything; returns the exit codes by name."""
        codes = {}
        for name, process in [*self.workers.items(), ("coordinator", self.coordinator)]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                codes[name] = process.wait(timeout=45)
        return codes

    def cli(self, *arguments, check=0, timeout_s=300):
        """Runs `loglog`; `check` is the exit code asked for (None: any)."""
        done = subprocess.run([str(BIN / "loglog"), *map(str, arguments)], cwd=self.folder,
                              env=self.environment, capture_output=True, text=True, timeout=timeout_s)
        if check is not None and done.returncode != check:
            raise AssertionError(f"loglog {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                                 f"{done.stdout}\n{done.stderr}\n{self.log('coordinator')[-3000:]}")
        return done

    def cli_json(self, *arguments):
        return json.loads(self.cli(*arguments, "-o", "json").stdout)

    def sql(self, query, parameters=()):
        return select(self.store, query, parameters)


@contextlib.contextmanager
def folder(keep_on_failure=True):
    path = tempfile.mkdtemp(prefix="loglog-e2e-")
    try:
        yield pathlib.Path(path)
    except BaseException:
        if keep_on_failure:
            print(f"kept for a look: {path}", file=sys.stderr)
        raise
    subprocess.run(["rm", "-rf", path], check=True)
