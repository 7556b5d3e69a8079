"""Runs faults beside each other on one thread. A fault is a generator: it yields seconds
to let pass, or an Until to wait for something that can be seen."""

import collections
import contextlib
import dataclasses
import random
import signal
import time
import typing

from cluster import WORKERS

TICK_S = 0.02
LOOK_S = 0.1


class Breach(AssertionError):
    """Something that must hold did not."""


@dataclasses.dataclass
class Until:
    what: str
    condition: typing.Callable[[], typing.Any]
    timeout_s: float = 120.0
    required: bool = True  # else the generator gets False after the timeout


class View:
    """What the store said last."""

    def __init__(self):
        self.progress = (0, 0)            # events, and events of trainers, that are stored
        self.worker = {}                  # name -> (newest attempt, trainers' events stored)
        self.states = {}                  # name -> state
        self.live = []                    # (attempt, task, worker, state)
        self.open_trials = 0
        self.failed_sweeps = []


class Injector:
    def __init__(self, cluster, seed, stats):
        self.cluster = cluster
        self.rng = random.Random(f"faults {seed}")
        self.stats = stats
        self.view = View()
        self.arming = True        # processes may be started with a failpoint armed
        self.arm_next = {}        # name of a process -> (failpoint, count) of its next life
        self.claimed = set()
        self.minded = set()       # workers that somebody drained and will see to
        self.submitted = []       # (name, spec) that were acknowledged
        self.pauses = []          # (worker, from, to): it could not look at the clock
        self.stalls = []          # (from, to): the machine did not run this process either
        self.max_seqs = {}        # attempt -> its last stored event, as far as it was seen
        self.fenced = {}          # attempt -> the same, since its task had a newer attempt
        self.commands = {}        # kind -> failpoints that it is started with by chance
        self._running = []        # [generator, wait, deadline, name, claims]
        self._noted_dead = set()
        self._next_look = 0.0
        self._next_audit = 0.0
        self._last_tick = time.monotonic()

    # ---- generators

    def begin(self, name, generator, claims=()):
        self.claimed |= set(claims)
        self._running.append([generator, 0.0, 0.0, name, tuple(claims)])

    def run(self, done, timeout_s, what):
        """Ticks until `done`."""
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise Breach(f"waited {timeout_s:.0f} s for: {what}; {self.describe()}")
            self.tick()
            time.sleep(TICK_S)

    def tick(self):
        now = time.monotonic()
        if now - self._last_tick > 0.5:
            self.stalls.append((self._last_tick, now))
        self._last_tick = now
        if now >= self._next_look:
            self.look()
        self.tend()
        for entry in list(self._running):
            self._advance(entry)

    def _advance(self, entry):
        generator, wait, deadline, name, claims = entry
        now = time.monotonic()
        answer = None
        if isinstance(wait, Until):
            answer = wait.condition()
            if not answer and now < deadline:
                return
            if not answer and wait.required:
                raise Breach(f"{name}: waited {wait.timeout_s:.0f} s for: {wait.what}; {self.describe()}")
        elif now < wait:
            return
        try:
            nxt = generator.send(answer)
        except StopIteration:
            self._running.remove(entry)
            self.claimed -= set(claims)
            return
        if isinstance(nxt, Until):
            entry[1], entry[2] = nxt, now + nxt.timeout_s
        else:
            entry[1] = now + nxt

    def running(self):
        return [entry[3] for entry in self._running if not entry[3].startswith("user")]

    # ---- looking

    def look(self):
        self._next_look = time.monotonic() + LOOK_S
        look = self.cluster.look
        rows = look("SELECT (SELECT coalesce(max(event_id), 0) FROM events), (SELECT total(last_seq + 1) FROM attempts),"
                    " (SELECT count(*) FROM trials WHERE state IN ('PENDING', 'RUNNING'))")
        if not rows:
            return
        view = View()
        view.progress, view.open_trials = rows[0][:2], rows[0][2]
        view.states = dict(look("SELECT worker_id, state FROM workers", []))
        view.worker = {row[0]: row[1:] for row in look(
            "SELECT worker_id, max(attempt_id), total(last_seq + 1) FROM attempts GROUP BY worker_id", [])}
        view.live = look("SELECT attempt_id, task_id, worker_id, state FROM attempts "
                         "WHERE state IN ('LEASED', 'RUNNING', 'STOPPING')", [])
        view.failed_sweeps = [row[0] for row in look(
            "SELECT s.name FROM sweeps s JOIN sweep_counts c USING (sweep_id) WHERE c.failed > 0", [])]
        self.view = view
        if time.monotonic() >= self._next_audit:
            self._next_audit = time.monotonic() + 1.0
            self.audit(look("SELECT a.attempt_id, a.last_seq, t.last_attempt_id = a.attempt_id FROM attempts a "
                            "JOIN tasks t ON t.task_id = a.task_id", []))

    def audit(self, attempts):
        """What is stored stays stored, and who is fenced off writes no more."""
        for attempt, last_seq, newest in attempts:
            seen = self.max_seqs.get(attempt, -1)
            if last_seq < seen:
                raise Breach(f"attempt {attempt} had events up to {seen} in the store and has them up to {last_seq}")
            self.max_seqs[attempt] = last_seq
            if newest:
                continue
            if self.fenced.setdefault(attempt, last_seq) != last_seq:
                raise Breach(f"attempt {attempt} wrote although its task has a newer one: its last event went from "
                             f"{self.fenced[attempt]} to {last_seq}")

    def describe(self):
        view = self.view
        states = {name: ("stopped" if p.stopped else "up") if p.alive() else "down"
                  for name, p in self.cluster.processes.items()}
        return (f"open trials {view.open_trials}, workers {view.states}, processes {states}, live attempts {view.live}, "
                f"under way: {self.running()}, claimed {sorted(self.claimed)}")

    # ---- processes

    def start(self, process, count=None):
        """Starts it, perhaps so that it will die at a failpoint."""
        failpoint, hits = self.arm_next.pop(process.name, ("", 1))
        if not failpoint and self.arming and self.rng.random() < 0.25:
            failpoint, hits = self.rng.choice(self.commands[process.kind]), self.rng.randint(1, 6)
        process.start(failpoint, hits)

    def tend(self):
        """Sees who died, and brings back who nobody else brings back."""
        for process in self.cluster.processes.values():
            if process.popen is None or process.alive():
                continue
            life = (process.name, process.lives)
            if life not in self._noted_dead:
                self._noted_dead.add(life)
                self._judge(process)
            if process.name not in self.claimed and process.popen.returncode is not None:
                self.begin(f"revive {process.name}", self._revive(process), [process.name])

    def _judge(self, process):
        code = process.popen.returncode
        if process.ended_by == "kill" or (process.ended_by == "leave" and code == 0):
            return
        if code == -signal.SIGKILL and process.armed:
            self.stats.failpoints[process.armed] += 1
            self.stats.faults[f"{process.kind} killed at a failpoint"] += 1
        elif code == 1 and time.monotonic() < process.excused_until:
            self.stats.refusals[process.kind] += 1
        else:
            raise Breach(f"{process.name} ended by itself with {code}\n{self.cluster.log(process.name)[-3000:]}")

    def _revive(self, process):
        begin = time.monotonic()
        self.look()
        mark = self.mark(process)
        yield self.rng.uniform(0, 0.3)
        self.start(process)
        yield from self.until_works(process, mark, begin, f"{process.kind} killed at a failpoint")

    def mark(self, process):
        return self.view.progress if process.kind == "coordinator" else self.view.worker.get(process.name, (0, 0))

    def until_works(self, process, mark, since, kind):
        """Until the store shows new work of it, or it is dead again; the time goes into the report."""
        yield Until(f"{process.name} to work again after '{kind}'\n{self.cluster.log(process.name)[-1500:]}",
                    lambda: not process.alive() or self.mark(process) > mark)
        if process.alive():
            self.stats.recovery[kind].append(time.monotonic() - since)

    def pick(self, names):
        """A free one of these processes that runs; None when there is none."""
        free = [name for name in names if name not in self.claimed and self.cluster.processes[name].alive()]
        return self.cluster.processes[self.rng.choice(free)] if free else None

    def pick_worker(self):
        return self.pick(WORKERS)

    def borrow(self):
        """Yields until a worker is free, and claims it: the caller gives it back."""
        process = yield Until("a free worker", self.pick_worker)
        self.claimed.add(process.name)
        return process

    def give_back(self, process):
        self.claimed.discard(process.name)

    # ---- users

    def command(self, *arguments, insist=False):
        """A loglog command, repeated until it is answered, or (`insist`) done: a disk that is full
        fails it, too. A refusal is an answer: the state may have moved on meanwhile."""
        while True:
            popen = self.cluster.ask(*arguments)
            try:
                yield Until(f"loglog {' '.join(map(str, arguments))} to end", lambda: popen.poll() is not None)
                error = popen.stderr.read()
            finally:
                # Who is closed meanwhile leaves none behind that asks on, after whatever undoes it.
                if popen.poll() is None:
                    popen.kill()
                    popen.wait()
                popen.stderr.close()
            if popen.returncode == 0 or (popen.returncode == 1 and not insist):
                return
            if popen.returncode not in (1, 5, 6):
                raise Breach(f"loglog {' '.join(map(str, arguments))}: exit {popen.returncode}\n{error}")
            self.stats.unanswered += 1
            yield 0.2

    def user_submits(self, specs, low, wanted):
        """Keeps `low` trials and more open as long as `wanted`."""
        for name, text in specs:
            yield Until("work to run low", lambda: self.view.open_trials < low or not wanted(), 1e9)
            if not wanted():
                return
            path = self.cluster.folder / f"{name}.yaml"
            path.write_text(text)
            before = self.view
            yield from self.command("submit", path, insist=True)
            self.submitted.append((name, text))
            # A view that is older than the sweep knows nothing of its trials.
            yield Until("a look at the new sweep", lambda: self.view is not before, required=False)

    @contextlib.contextmanager
    def minding(self, name):
        """The operator leaves a worker alone that is drained within."""
        self.minded.add(name)
        try:
            yield
        finally:
            self.minded.discard(name)

    def user_operates(self):
        """Releases quarantined workers, and drained ones that nobody minds, and retries what
        failed, as an operator would."""
        while True:
            yield Until("something to do", lambda: self.view.failed_sweeps or self._held_back(), 1e9)
            yield 0.5
            for name in self._held_back():
                self.stats.released += 1
                yield from self.command("worker", "resume", name)
            for name in list(self.view.failed_sweeps):
                self.stats.retried += 1
                yield from self.command("sweep", "retry", name)
            yield 0.5

    def _held_back(self):
        """Claimed ones, too: a fault that waits for a worker to work would wait for ever."""
        return [name for name, state in self.view.states.items()
                if state == "QUARANTINED" or (state == "DRAINING" and name not in self.minded and
                                              self.cluster.processes[name].ended_by != "leave")]


class Stats:
    """What was done to a cluster and what became of it."""

    def __init__(self):
        self.faults = collections.Counter()
        self.failpoints = collections.Counter()
        self.refusals = collections.Counter()         # starts refused while a disk was away
        self.recovery = collections.defaultdict(list)  # kind -> seconds
        self.attempts = collections.Counter()          # state -> count
        self.trials = 0
        self.sweeps = 0
        self.points = 0
        self.tasks_hurt = 0     # tasks of which an attempt was lost, all of which ended well
        self.acknowledged = 0   # events whose acknowledgement a worker saw
        self.overlaps_excused = 0
        self.wrong_clocks = 0
        self.unanswered = 0
        self.retried = 0
        self.released = 0

    def add(self, other):
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, collections.Counter):
                mine.update(value)
            elif isinstance(mine, dict):
                for kind, seconds in value.items():
                    mine[kind] += seconds
            else:
                setattr(self, name, mine + value)
