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


# Places that real processes are not led to: what they would need is not in the workload, or
# is a moment that nobody can arrange. The simulation and unit tests get there (`./run-tests`
# counts), and processes are started armed with these, too, should chance lead there.
LEFT_TO_CHANCE = {
    # Cancelled trials have no fault-free end to be compared with.
    "lease.found_cancelled", "lease.late_cancelled", "lease.lost_cancelled", "lease.outcome_cancelled",
    # Budgets are larger than what is done to one trial, and misfortunes cannot be aimed at a cell.
    "lease.cell_failed_on_workers", "lease.failures_spent", "lease.losses_spent",
    # A message that is late or lost at the one right moment.
    "lease.found_stopping", "lease.kept_by_same_boot", "lease.late_incomplete", "lease.outcome_without_results",
    "lease.owed_not_returned", "lease.stale_session", "lease.stale_stream", "store.batch_gap", "store.batch_repeated",
    "store.batch_unknown", "store.end_refused", "worker.order_while_busy", "worker.stale_word",
    # No sweep has a higher priority than another.
    "lease.outcome_made_room",
    # A file system that hangs, a trainer that hears nothing for the whole grace, another store.
    "worker.guard_kill", "worker.grace_kill", "worker.told_to_abandon",
}
# Takes more than a lease, each, and nothing else can be done to the coordinator meanwhile: left to
# the long run.
SLOW = {"lease.held_ended", "lease.late_ignored", "lease.late_report", "lease.lost", "lease.lost_complete",
        "lease.silence_kept", "lease.told_to_kill", "lease.worker_quarantined", "store.batch_fenced",
        "store.end_corrected"}


def reachable(names):
    """Those at which something has to be killed. Without the right to mount no disk can be
    filled, and nothing else fails a commit."""
    return [name for name in names if name not in LEFT_TO_CHANCE and
            (may_mount() or name not in ("engine.commit.failed", "engine.reload"))]


class Failpoints:
    def __init__(self, injector, faults):
        self._injector = injector
        self._cluster = injector.cluster
        self._faults = faults
        self._stats = injector.stats
        self._rng = injector.rng
        # How to get there; a place that is not here is on the way of every bit of work.
        self._ways = {
            "engine.commit.failed": self._full_store,
            "engine.reload": self._full_store,
            "lease.expired": self._stop_worker,
            "lease.failure_retried": lambda: self._misfortune("exit_at=2;exit_code=1"),
            "lease.held_ended": self._restart_when_lost,
            "lease.held_live": self._restart_busy_worker,
            "lease.kept_by_new_boot": self._restart_busy_worker,
            "lease.late_ignored": self._restart_when_replaced,
            "lease.late_outcome": self._end_while_stopped,
            "lease.late_report": self._stop_worker_until_lost,
            "lease.lost": self._stop_worker,
            "lease.lost_complete": self._end_while_stopped,
            "lease.order_repeated": self._sync_before_it_hears,
            "lease.outcome_device_error": lambda: self._misfortune("exit_at=2;exit_code=40"),
            "lease.outcome_failed": lambda: self._misfortune("exit_at=2;exit_code=1"),
            "lease.outcome_lost": self._kill_trainers,
            "lease.outcome_refused": lambda: self._misfortune("exit_at=2;exit_code=20"),
            "lease.outcome_stopped": self._drain,
            "lease.owed_renewed": self._restart_busy_worker,
            "lease.returned_unstarted": self._leave_before_it_hears,
            "lease.revoked_by_new_boot": self._restart_before_it_hears,
            "lease.silence_kept": self._stop_drained_worker,
            "lease.silent_worker": self._stop_worker,
            "lease.stale_report": self._stop_worker_until_replaced,
            "lease.stop_asked": self._drain,
            "lease.told_to_kill": self._stop_worker_until_lost,
            "lease.worker_left": self._leave,
            "lease.worker_quarantined": self._kill_trainers,
            "store.batch_fenced": self._stop_worker_until_replaced,
            "store.end_corrected": self._end_while_stopped,
            "store.points_superseded": self._kill_trainers,
            "worker.held_taken_up": self._wait,
            "worker.lease_kill": self._cut_off,
            "worker.told_to_stop": self._drain,
        }
        gone = {*self._ways, *LEFT_TO_CHANCE, *SLOW}.difference(*injector.commands.values())
        assert not gone, f"no failpoints any more: {gone}"

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
            if process.kind == "worker":
                yield Until(f"a trainer on {process.name}", lambda: process.trainers() or not process.alive(), 30,
                            required=False)
            process.kill()
            # A coordinator that starts gets to some places at once, and may have to leave them behind.
            hit = 2 if name == "engine.reload" else 1 if name in self._ways else self._rng.randint(1, 4)
            process.start(name, hit)
            if name in self._ways:
                way = self._ways[name]
                yield from self._while_alive(process, way(process) if process.kind == "worker" else way())
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
        yield from self._injector.until_works(process, mark, begin, f"{process.kind} killed at a failpoint")
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

    def _misfortune(self, text):
        yield from self._faults.befall(text)
        yield Until("the report of it", lambda: False, 10, required=False)

    def _kill_trainers(self):
        """Of one worker, as they come."""
        with self._borrowed((yield from self._injector.borrow())) as worker:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                yield Until("a trainer that trains", lambda: worker.trainers() and self._live_on(worker), 5,
                            required=False)
                _signal_all(worker.trainers(), signal.SIGKILL)
                yield 0.3

    def _leave(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            worker.leave()
            yield Until(f"{worker.name} to leave", lambda: not worker.alive(), 30, required=False)

    def _wait(self, worker):
        yield Until(f"the death of {worker.name}", lambda: False, 10, required=False)

    def _cut_off(self, worker):
        """Its trainers are stopped, so that none ends before the lease does."""
        proxy = self._cluster.proxies[worker.name]
        trainers = yield Until(f"work on {worker.name}", worker.trainers, 30, required=False)
        try:
            _signal_all(trainers or (), signal.SIGSTOP)
            proxy.partition()
            yield Until("the end of its lease", lambda: False, 2 * LEASE_OVER_S, required=False)
        finally:
            proxy.heal()
            _signal_all(trainers or (), signal.SIGCONT)

    def _drain(self, worker=None):
        """Drains this worker, or some, while it works."""
        with self._borrowed(worker or (yield from self._injector.borrow()), worker is None) as drained:
            yield Until(f"work on {drained.name}", lambda: self._live_on(drained), 30, required=False)
            with self._drained(drained):
                yield from self._injector.command("worker", "drain", drained.name)
                yield Until("what it leads to", lambda: False, 5, required=False)

    @contextlib.contextmanager
    def _drained(self, worker):
        """One that is drained within works again afterwards."""
        try:
            with self._injector.minding(worker.name):
                yield
        finally:
            self._injector.begin("user resumes", self._injector.command("worker", "resume", worker.name))

    def _live_on(self, worker, states=("RUNNING",)):
        return [row[0] for row in self._injector.view.live if row[2] == worker.name and row[3] in states]

    def _stop_worker(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            yield Until(f"work on {worker.name}", lambda: self._live_on(worker) or not worker.alive(), 30,
                        required=False)
            yield from self._stopped(worker, lambda: False, 2 * LEASE_OVER_S)

    def _stop_worker_until(self, enough):
        """`enough` is asked with the attempts that the worker had."""
        with self._borrowed((yield from self._injector.borrow())) as worker:
            attempts = yield Until(f"work on {worker.name}", lambda: self._live_on(worker), 30, required=False)
            if not attempts:
                return
            yield from self._stopped(worker, lambda: enough(attempts), 20)
            yield Until("what it says then", lambda: False, 10, required=False)

    def _stop_worker_until_lost(self):
        yield from self._stop_worker_until(self._lost)

    def _stop_worker_until_replaced(self):
        yield from self._stop_worker_until(self._replaced)

    def _lost(self, attempts):
        return not any(row[0] in attempts for row in self._injector.view.live)

    def _replaced(self, attempts):
        return self._cluster.look("SELECT 1 FROM attempts a JOIN tasks t ON t.task_id = a.task_id WHERE a.attempt_id IN "
                                  f"({','.join(map(str, attempts))}) AND t.last_attempt_id <> a.attempt_id")

    def _stop_drained_worker(self):
        with self._borrowed((yield from self._injector.borrow())) as worker:
            with self._drained(worker):
                yield from self._injector.command("worker", "drain", worker.name)
                yield from self._stopped(worker, lambda: False, 2 * LEASE_OVER_S)

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
        yield from self._restart_worker(lambda attempts: True)

    def _restart_when_lost(self):
        yield from self._restart_worker(self._lost)

    def _restart_when_replaced(self):
        yield from self._restart_worker(self._replaced)

    def _restart_worker(self, enough):
        """Kills one that works and starts it when `enough` holds of the attempts it had."""
        with self._borrowed((yield from self._injector.borrow())) as worker:
            attempts = yield Until(f"work on {worker.name}", lambda: worker.trainers() and self._live_on(worker), 30,
                                   required=False)
            if not attempts:
                return
            worker.kill()
            yield Until("time to start it", lambda: enough(attempts), 20, required=False)
            worker.start()
            yield Until("its first words", lambda: False, 15, required=False)

    def _restart_before_it_hears(self):
        yield from self._grant_unheard(lambda worker: worker.kill() and worker.start())

    def _leave_before_it_hears(self):
        yield from self._grant_unheard(lambda worker: worker.leave())

    def _sync_before_it_hears(self):
        yield from self._grant_unheard(lambda worker: None)

    def _grant_unheard(self, then):
        """A worker is granted something and ends before it hears of it."""
        with self._borrowed((yield from self._injector.borrow())) as worker:
            proxy = self._cluster.proxies[worker.name]
            with self._injector.minding(worker.name):
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
    def _borrowed(self, worker, to_give_back=True):
        try:
            yield worker
        finally:
            if to_give_back:
                self._injector.give_back(worker)


def _signal_all(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
