"""Kills a process at a named failpoint: starts it so that it dies there, and brings about
what leads there."""

import contextlib
import dataclasses
import os
import signal
import time

from cluster import LEASE_OVER_S, may_mount
from injector import Until

TRIES = 4
NATURAL_S = 30.0  # what every bit of work leads to


def reachable(names):
    """Without the right to mount no disk can be filled, and nothing else fails a commit."""
    return [name for name in names if may_mount() or name != "engine.reload"]


class Failpoints:
    def __init__(self, injector, faults):
        self._injector = injector
        self._cluster = injector.cluster
        self._faults = faults
        self._stats = injector.stats
        self._rng = injector.rng
        self._ways = {
            "engine.reload": self._full_store,
            "lease.outcome": self._kill_trainer,
            "lease.expired": self._stop_worker,
            "lease.silent_worker": self._stop_worker,
            "lease.stale_report": self._stop_worker_until_replaced,
            "lease.kept_by_new_boot": self._restart_busy_worker,
            "lease.revoked_by_new_boot": self._restart_before_it_hears,
            "lease.returned_unstarted": self._leave_before_it_hears,
            "lease.late_outcome": self._end_while_stopped,
        }

    def make(self, name):
        """As Faults.make."""
        if name.startswith("worker."):
            process = self._injector.pick_worker()
        else:
            process = self._injector.pick(["coordinator"])
        return process and (f"kill at {name}", self._kill_at(process, name), [process.name])

    def _kill_at(self, process, name):
        hits = self._stats.failpoints[name]
        for _ in range(TRIES):
            if name == "worker.held_taken_up":
                yield Until(f"a trainer on {process.name}", lambda: process.trainers() or not process.alive())
            process.kill()
            special = name in self._ways or name == "worker.held_taken_up"
            process.start(name, 1 if special else self._rng.randint(1, 4))
            if name in self._ways:
                yield from self._while_alive(process, self._ways[name]())
            dead = yield Until("its death", lambda: not process.alive(), 5 if name in self._ways else NATURAL_S,
                               required=False)
            if dead:
                break
        begin = time.monotonic()
        yield self._rng.uniform(0, 0.3)
        self._injector.look()
        mark = self._injector.mark(process)
        process.kill()
        process.start()
        kind = f"{process.kind} killed at a failpoint"
        yield from self._injector.until_works(process, mark, begin, kind)
        if self._stats.failpoints[name] == hits:
            print(f"chaos: {process.name} did not get to {name} in {TRIES} tries", flush=True)

    def _while_alive(self, process, way):
        """Goes that way until the process is dead."""
        answer = None
        with contextlib.closing(way), contextlib.suppress(StopIteration):
            while process.alive():
                step = way.send(answer)
                if isinstance(step, Until):
                    condition = step.condition
                    step = dataclasses.replace(step, condition=lambda c=condition: not process.alive() or c())
                answer = yield step

    # ---- ways: begin with the coordinator armed; closed when it is dead

    def _full_store(self):
        disk = self._cluster.disks["store"]
        self._cluster.coordinator_process.excuse(30)
        try:
            disk.fill()
            yield Until("a commit to fail", lambda: False, 10, required=False)
        finally:
            disk.empty()

    def _kill_trainer(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            trainers = yield Until("a trainer", lambda: worker.trainers() or not worker.alive())
            for pid in trainers if worker.alive() else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            yield Until("the end of the attempt", lambda: False, 10, required=False)

    def _live_on(self, worker, states=("RUNNING",)):
        return [row[0] for row in self._injector.view.live if row[2] == worker.name and row[3] in states]

    def _stop_worker(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            yield Until(f"work on {worker.name}", lambda: self._live_on(worker) or not worker.alive(), 30,
                        required=False)
            yield from self._stopped(worker, lambda: False, 2 * LEASE_OVER_S)

    def _stop_worker_until_replaced(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            attempts = yield Until(f"work on {worker.name}", lambda: self._live_on(worker), 30, required=False)
            if not attempts:
                return
            numbers = ",".join(map(str, attempts))
            yield from self._stopped(worker, lambda: self._cluster.look(
                f"SELECT 1 FROM attempts a JOIN tasks t ON t.task_id = a.task_id WHERE a.attempt_id IN ({numbers}) AND "
                "t.last_attempt_id <> a.attempt_id"), 20)
            yield Until("the stale report", lambda: False, 10, required=False)

    def _stopped(self, worker, enough, timeout_s):
        if not worker.signal(signal.SIGSTOP):
            return
        pause = [worker.name, time.monotonic(), float("inf")]
        self._injector.pauses.append(pause)
        try:
            yield Until("enough of the stop", enough, timeout_s, required=False)
        finally:
            worker.signal(signal.SIGCONT)
            pause[2] = time.monotonic()

    def _restart_busy_worker(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            yield Until(f"work on {worker.name}", lambda: (worker.trainers() and self._live_on(worker)) or
                        not worker.alive(), 30, required=False)
            worker.kill()
            worker.start()
            yield Until("the registration", lambda: False, 15, required=False)

    def _restart_before_it_hears(self):
        yield from self._grant_unheard(lambda worker: worker.kill() and worker.start())

    def _leave_before_it_hears(self):
        yield from self._grant_unheard(lambda worker: worker.leave())

    def _grant_unheard(self, then):
        """A worker is granted something and ends before it hears of it."""
        with self._borrowed((yield from self._injector.borrow())) as worker:
            proxy = self._cluster.proxies[worker.name]
            yield from self._injector.command("worker", "drain", worker.name)
            yield Until(f"{worker.name} to be empty", lambda: not worker.alive() or (
                self._injector.view.states.get(worker.name) == "DRAINING" and
                not self._live_on(worker, ("LEASED", "RUNNING", "STOPPING"))), 30, required=False)
            try:
                proxy.partition(up=False, down=True)
                yield from self._injector.command("worker", "resume", worker.name)
                granted = yield Until(f"a grant for {worker.name}", lambda: self._live_on(worker, ("LEASED",)), 5,
                                      required=False)
                if granted:
                    then(worker)
                    if worker.ended_by != "leave":
                        proxy.cut()
                        proxy.heal()
                    yield Until("what becomes of the grant", lambda: False, 10, required=False)
            finally:
                proxy.cut()
                proxy.heal()

    def _end_while_stopped(self):
        """A trainer ends well while its daemon is stopped for longer than the lease."""
        line = yield from self._faults.befall("linger_ms=2500")
        task = line["task"]
        ended = yield Until("its trial to end", lambda: self._cluster.look(
            f"SELECT 1 FROM trials WHERE task_id = {task} AND state IN ('DONE', 'DIVERGED')"), 30, required=False)
        name = next((row[2] for row in self._injector.view.live if row[0] == line["attempt"]), None)
        if not ended or name is None or name in self._injector.claimed:
            return
        worker = self._cluster.processes[name]
        self._injector.claimed.add(name)
        with self._borrowed(worker):
            yield from self._stopped(worker, lambda: not any(
                row[0] == line["attempt"] for row in self._injector.view.live), 2 * LEASE_OVER_S)
            yield Until("the late report", lambda: False, 10, required=False)

    @contextlib.contextmanager
    def _borrowed(self, worker):
        try:
            yield worker
        finally:
            self._injector.give_back(worker)
