"""The faults. Each is a generator for injector.Injector and is counted when it has hit."""

import itertools
import os
import signal
import time

from cluster import LEASE_OVER_S, WORKERS, may_mount
from injector import Until

# What a trainer may do wrong, in the fake trainer's words.
EXIT_CODES = (0, 1, 2, 3, 10, 20, 30, 40, 41, 77, 143, 255)
MISFORTUNES = [f"exit_at=5;exit_code={code}" for code in EXIT_CODES] + [
    "signal_at=5;signal=6", "signal_at=5;signal=11", "signal_at=5;signal=9", "signal_at=5;signal=15",
    "partial_at=7", "orphan=1;exit_at=5;exit_code=1", "flood=300000;exit_at=5;exit_code=1", "linger_ms=3000"]
HANGS = ("hang_at=6", "ignore_sigterm=1;hang_at=6")


class Faults:
    """Makes faults; each method returns (name, generator, claims), or None when nothing that it
    could hit is free now."""

    def __init__(self, injector):
        self._injector = injector
        self._cluster = injector.cluster
        self._rng = injector.rng
        self._stats = injector.stats
        # In an order of their own, so that few faults see different ones and many see all.
        codes, hangs = list(MISFORTUNES), list(HANGS)
        self._rng.shuffle(codes)
        self._rng.shuffle(hangs)
        self._codes, self._hangs = itertools.cycle(codes), itertools.cycle(hangs)
        self._ids = itertools.count(1)

    def make(self, kind):
        """`kind` is a method's name with what it needs after colons: "partition:up"."""
        name, *parameters = kind.split(":")
        return getattr(self, name)(*parameters)

    # ---- kill -9

    def kill_coordinator(self):
        process = self._injector.pick(["coordinator"])
        return process and ("coordinator killed", self._kill(process, "coordinator killed"), ["coordinator"])

    def kill_worker(self):
        process = self._injector.pick_worker()
        return process and ("worker killed", self._kill(process, "worker killed"), [process.name])

    def _kill(self, process, kind):
        yield self._rng.uniform(0, 0.5)
        self._injector.look()
        mark = self._injector.mark(process)
        begin = time.monotonic()
        if process.kill():
            self._stats.faults[kind] += 1
        yield self._rng.uniform(0, 0.2)
        # A worker that stays away for longer than its lease loses everything it had.
        if process.kind == "worker" and self._rng.random() < 0.05:
            yield LEASE_OVER_S
        self._injector.start(process)
        yield from self._injector.until_works(process, mark, begin, kind)

    def kill_trainer(self):
        process = self._injector.pick_worker()
        return process and ("trainer killed", self._signal_trainer(process), [process.name])

    def _signal_trainer(self, process):
        trainers = yield Until(f"a trainer on {process.name}", lambda: process.trainers() or not process.alive())
        if not process.alive():
            return
        pid = self._rng.choice(trainers)
        mark, begin = self._injector.mark(process), time.monotonic()
        if _send(pid, signal.SIGKILL):
            self._stats.faults["trainer killed"] += 1
            yield from self._injector.until_works(process, mark, begin, "trainer killed")

    def storm(self):
        process = self._injector.pick(["coordinator"])
        return process and ("restart storm", self._storm(process), ["coordinator"])

    def _storm(self, process):
        begin, mark = time.monotonic(), None
        for _ in range(20):
            process.kill()
            self._injector.look()
            mark = self._injector.mark(process)
            process.start()
            yield self._rng.choice((0, 0.02, 0.1, 0.2))
        self._stats.faults["restart storm (20 kills of the coordinator)"] += 1
        yield from self._injector.until_works(process, mark, begin, "restart storm (20 kills of the coordinator)")

    def leave_worker(self):
        process = self._injector.pick_worker()
        return process and ("worker restarted in order", self._leave(process), [process.name])

    def _leave(self, process):
        mark, begin = self._injector.mark(process), time.monotonic()
        process.leave()
        self._stats.faults["worker restarted in order"] += 1
        yield Until(f"{process.name} to leave", lambda: not process.alive())
        self._injector.start(process)
        yield from self._injector.until_works(process, mark, begin, "worker restarted in order")

    # ---- SIGSTOP past the lease, then SIGCONT

    def stop_worker(self):
        process = self._injector.pick_worker()
        return process and ("worker stopped", self._stop(process, "worker stopped"), [process.name])

    def stop_coordinator(self):
        process = self._injector.pick(["coordinator"])
        return process and ("coordinator stopped", self._stop(process, "coordinator stopped"), ["coordinator"])

    def _stop(self, process, kind):
        begin = time.monotonic()
        if not process.signal(signal.SIGSTOP):
            return
        pause = [process.name, begin, float("inf")]
        self._injector.pauses.append(pause)
        yield LEASE_OVER_S + self._rng.uniform(0, 1)
        self._injector.look()
        mark = self._injector.mark(process)
        process.signal(signal.SIGCONT)
        end = pause[2] = time.monotonic()
        self._stats.faults[kind] += 1
        yield from self._injector.until_works(process, mark, end, kind)

    def stop_trainer(self):
        process = self._injector.pick_worker()
        return process and ("trainer stopped", self._stop_trainer(process), [process.name])

    def _stop_trainer(self, process):
        trainers = yield Until(f"a trainer on {process.name}", lambda: process.trainers() or not process.alive())
        if not process.alive():
            return
        pid = self._rng.choice(trainers)
        if not _send(pid, signal.SIGSTOP):
            return
        yield LEASE_OVER_S + self._rng.uniform(0, 1)
        _send(pid, signal.SIGCONT)
        self._stats.faults["trainer stopped"] += 1

    # ---- the network

    def partition(self, direction):
        """"both", "up" (nothing reaches the coordinator) or "down", for longer than a lease."""
        return self._network(f"partition, {direction}", direction, LEASE_OVER_S + self._rng.uniform(0, 1))

    def stall(self):
        return self._network("network stalled", self._rng.choice(("both", "up", "down")), self._rng.uniform(0.1, 2))

    def _network(self, kind, direction, seconds):
        process = self._injector.pick_worker()
        return process and (kind, self._partition(process, kind, direction, seconds), [process.name])

    def _partition(self, process, kind, direction, seconds):
        proxy = self._cluster.proxies[process.name]
        proxy.partition(up=direction != "down", down=direction != "up")
        yield seconds
        self._injector.look()
        mark = self._injector.mark(process)
        if self._rng.random() < 0.5:
            proxy.cut()  # the connections did not live to see the end of it
        proxy.heal()
        self._stats.faults[kind] += 1
        yield from self._injector.until_works(process, mark, time.monotonic(), kind)

    def cut(self):
        process = self._injector.pick_worker()
        return process and ("connections cut", self._cut(process), [process.name])

    def _cut(self, process):
        for _ in range(self._rng.randint(1, 4)):
            self._injector.look()
            mark = self._injector.mark(process)
            self._cluster.proxies[process.name].cut()
            yield self._rng.uniform(0, 0.3)
        self._stats.faults["connections cut"] += 1
        yield from self._injector.until_works(process, mark, time.monotonic(), "connections cut")

    # ---- disks

    def fill(self, what):
        """A full disk under "store", "run" or "checkpoints"."""
        return self._disk(what, f"disk full, {what}", self._fill)

    def read_only(self, what):
        return self._disk(what, f"disk read-only, {what}", self._read_only)

    def _disk(self, what, kind, generator):
        if not may_mount():
            return ("left out", (step for step in ()), ())
        if what == "store":
            process = self._injector.pick(["coordinator"])
            return process and (kind, generator(kind, self._cluster.disks["store"], [process]), ["coordinator"])
        process = self._injector.pick_worker()
        if process is None:
            return None
        if what == "run":
            return (kind, generator(kind, self._cluster.disks[f"run-{process.name}"], [process]), [process.name])
        scope = self._cluster.checkpoints[process.name]
        users = [name for name in WORKERS if self._cluster.checkpoints[name] == scope]
        if any(name in self._injector.claimed for name in users):
            return None
        disk = self._cluster.disks[f"checkpoints-{scope}"]
        return (kind, generator(kind, disk, [self._cluster.processes[name] for name in users]), users)

    def _fill(self, kind, disk, users):
        for process in users:
            process.excuse(60)
        disk.fill()
        # Whoever dies now must start on the full disk, or say why it does not.
        yield self._rng.uniform(1, 3)
        disk.empty()
        self._injector.look()
        marks = [self._injector.mark(process) for process in users]
        begin = time.monotonic()
        self._stats.faults[kind] += 1
        yield from self._well_again(kind, users, marks, begin)

    def _read_only(self, kind, disk, users):
        for process in users:
            process.excuse(60)
        if kind.endswith("checkpoints"):
            # No process keeps a file open there, so it can happen while they work.
            done = yield Until("a moment for read-only", lambda: disk.remount("ro"), 10, required=False)
        else:
            for process in users:
                process.kill()
            # The trainers of a worker that is dead may need a moment to follow it.
            done = yield Until(f"{disk.path} to become read-only", lambda: disk.remount("ro"), 10, required=False)
            for process in users:
                process.start()
        yield self._rng.uniform(0.7, 1.5)
        assert disk.remount("rw"), f"{disk.path} stays read-only"
        self._injector.look()
        marks = [self._injector.mark(process) for process in users]
        begin = time.monotonic()
        if done:
            self._stats.faults[kind] += 1
        yield from self._well_again(kind, users, marks, begin)

    def _well_again(self, kind, users, marks, begin):
        for process, mark in zip(users, marks):
            if not process.alive():
                self._injector.start(process)
            process.excuse(3)
            yield from self._injector.until_works(process, mark, begin, kind)

    # ---- trainers

    def misfortune(self):
        text = next(self._codes)
        return (f"trainer: {text}", self._misfortune(text), ())

    def hang(self):
        text = next(self._hangs)
        return (f"trainer: {text}", self._hang(text), ())

    def befall(self, text):
        """The journal's line of the next trainer that starts, which this happens to."""
        while True:
            name = f"m{next(self._ids)}"
            queued = f"{text};id={name}"
            file = self._cluster.misfortunes / name
            (self._cluster.misfortunes / f".{name}").write_text(queued + "\n")
            (self._cluster.misfortunes / f".{name}").rename(file)
            yield Until(f"a trainer to take '{queued}'", lambda: not file.exists())
            # It may have been killed before it could say so.
            line = yield Until("its first word", lambda: self._taken(queued), 5, required=False)
            if line:
                return line

    def _taken(self, text):
        return next((line for line in self._cluster.read_journal()
                     if line["e"] == "start" and line["misfortune"] == text), None)

    def _misfortune(self, text):
        yield from self.befall(text)
        self._stats.faults["trainer leaves badly"] += 1

    def _hang(self, text):
        """Somebody has to do something about a trainer that hangs: drain the worker."""
        line = yield from self.befall(text)
        self._stats.faults["trainer hangs"] += 1
        yield 1.0
        worker = next((row[2] for row in self._injector.view.live if row[0] == line["attempt"]), None)
        if worker is None:
            return  # something else has ended it
        with self._injector.minding(worker):
            yield from self._injector.command("worker", "drain", worker)
            yield Until(f"{worker} to be drained", lambda: self._injector.view.states.get(worker) != "DRAINING" or
                        not any(row[2] == worker for row in self._injector.view.live))
        yield from self._injector.command("worker", "resume", worker)


def _send(pid, number):
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False
