"""Real processes under real faults: a coordinator, four workers with two slots each, fake
trainers and sweeps without end, of which the end must be that of a cluster nothing
happened to. One seed gives one list of faults; when exactly they hit is up to the machine.

    chaos.py --ci                  100 faults of all kinds
    chaos.py --real                some kills, with the trainer that trains
    chaos.py --faults 2400         1,000 kills of the coordinator, 1,000 of workers, 200 stops,
                                   200 partitions, and the other kinds beside them
    chaos.py --faults 240 --seed 7 one cluster's worth of that, as it began with seed 7
"""

import argparse
import dataclasses
import itertools
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
sys.dont_write_bytecode = True

import checker  # noqa: E402
import report  # noqa: E402
import workload  # noqa: E402
from cluster import NAMESPACE, ChaosCluster, failpoints, may_mount  # noqa: E402
from failpoints import SLOW, Failpoints, reachable  # noqa: E402
from faults import Faults  # noqa: E402
from injector import Breach, Injector, Stats  # noqa: E402

ROUND_FAULTS = 240  # faults that one cluster gets
BESIDE = 3          # faults under way at a time
# With a kill at each failpoint that is quickly reached, 100 faults.
CI = {
    "kill_coordinator": 13, "kill_worker": 13, "kill_trainer": 3, "storm": 1, "leave_worker": 2, "stop_worker": 2,
    "stop_coordinator": 1, "stop_trainer": 1, "partition:both": 1, "partition:up": 1, "partition:down": 1, "stall": 4,
    "cut": 3, "fill:store": 2, "fill:run": 1, "fill:checkpoints": 1, "read_only:store": 1, "read_only:run": 1,
    "read_only:checkpoints": 1, "misfortune": 9, "hang": 1,
}
REAL = {"kill_coordinator": 4, "kill_worker": 6, "kill_trainer": 4, "stop_worker": 1, "partition:both": 1}
# Of ROUND_FAULTS, those that are counted, kills at failpoints included; and what comes on top.
LONG = {"kill_coordinator": 100, "kill_worker": 100, "stop_worker": 10, "stop_coordinator": 6, "stop_trainer": 4,
        "partition:both": 7, "partition:up": 6, "partition:down": 7}
BESIDES = {"kill_trainer": 8, "storm": 1, "leave_worker": 4, "stall": 6, "cut": 6, "fill:store": 2, "fill:run": 2,
           "fill:checkpoints": 2, "read_only:store": 1, "read_only:run": 1, "read_only:checkpoints": 1,
           "misfortune": 10, "hang": 2}


@dataclasses.dataclass
class Plan:
    """What happens to one cluster."""
    seed: int
    counts: dict                        # kind of fault -> how often
    names: list                         # failpoints, each of which a process is killed at
    trainer: str = "loglog-fake-trainer"
    slots: int = 2                      # of each worker
    low: int = 24                       # with fewer open trials the next sweep is submitted

    def specs(self):
        return workload.specs(self.seed) if self.trainer == "loglog-fake-trainer" else workload.real_specs()


def enter_namespace():
    """Goes on in a mount namespace of its own, where full and read-only disks can be made."""
    if NAMESPACE in os.environ:
        return
    flags = ["-m"] if os.geteuid() == 0 else ["-r", "-m"]
    probe = "d=$(mktemp -d) && mount -t tmpfs chaos $d && umount $d && rmdir $d"
    tried = subprocess.run(["unshare", *flags, "sh", "-c", probe], capture_output=True, text=True)
    os.environ[NAMESPACE] = "1" if tried.returncode == 0 else "0"
    if tried.returncode == 0:
        os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    print(f"chaos: this user may not mount ({tried.stderr.strip()}): full and read-only disks, and the failpoint "
          "engine.reload that only they lead to, are left out", flush=True)


def say(text):
    print(text, flush=True)


def fault_list(counts, names, seed):
    kinds = list(itertools.chain.from_iterable([kind] * max(0, count) for kind, count in counts.items()))
    kinds += [f"failpoint:{name}" for name in names]
    random.Random(f"order {seed}").shuffle(kinds)
    return kinds


def inject(injector, kinds, label):
    """Makes all of these faults, some of them beside each other."""
    faults = Faults(injector)
    at_failpoints = Failpoints(injector, faults)
    total, begun, next_word = len(kinds), time.monotonic(), 0.0
    pending, not_before = list(kinds), 0.0

    def make(kind):
        if kind.startswith("failpoint:"):
            return at_failpoints.make(kind.split(":")[1])
        return faults.make(kind)

    def step():
        nonlocal not_before, next_word
        now = time.monotonic()
        if now >= next_word:
            next_word = now + 10
            say(f"chaos: {label}: {total - len(pending)} of {total} faults, {now - begun:.0f} s, "
                f"{injector.view.progress[0]} events in the store, under way: {', '.join(injector.running()) or 'none'}")
        if pending and now >= not_before and len(injector.running()) < BESIDE:
            for kind in pending:
                fault = make(kind)
                if fault:
                    pending.remove(kind)
                    injector.begin(*fault)
                    not_before = now + injector.rng.uniform(0, 0.25)
                    break
        return not pending and not injector.running()

    injector.run(step, timeout_s=60 + 20 * total, what="all faults to be over")


def one_cluster(folder, plan, stats, label):
    """One cluster from its first sweep to the comparison. Raises Breach."""
    rng = random.Random(f"cluster {plan.seed}")
    with ChaosCluster(folder / "chaos", rng, plan.trainer, plan.slots) as cluster:
        injector = Injector(cluster, plan.seed, stats)
        injector.commands = failpoints()
        for process in cluster.processes.values():
            process.start()
        over = False
        injector.begin("user submits", injector.user_submits(plan.specs(), plan.low, lambda: not over))
        injector.begin("user operates", injector.user_operates())
        try:
            injector.run(lambda: injector.view.worker, 60, "the first work")
            inject(injector, fault_list(plan.counts, plan.names, plan.seed), label)
            over, injector.arming = True, False
            healed = time.monotonic()
            injector.run(lambda: cluster.look(checker.OPEN) == [(0,)], 600, "all sweeps to end")
            say(f"chaos: {label}: all ended {time.monotonic() - healed:.0f} s after the last fault; now without faults")
            with checker.fault_free(folder / "quiet", injector.submitted, plan.trainer, 2 * plan.slots) as quiet:
                checker.compare(cluster.store, quiet.store)
                codes = quiet.stop()
                if any(codes.values()):
                    raise Breach(f"the fault-free cluster was asked to leave and ended with {codes}")
            checker.stop_in_order(cluster)
            checker.check_store(cluster, injector, stats)
        except BaseException:
            say(f"chaos: kept for a look: {checker.keep(folder)}")
            raise


def plans(options, names):
    if options.ci:
        return [Plan(options.seed, CI, names)]
    if options.real:
        return [Plan(options.seed, REAL, [], trainer="loglog-trainer", slots=1, low=8)]
    made = []
    while len(made) * ROUND_FAULTS < options.faults:
        seed = options.seed + len(made)
        share = min(options.faults - len(made) * ROUND_FAULTS, ROUND_FAULTS) / ROUND_FAULTS
        at = [name for name in names if name not in SLOW or seed % 5 == 1]
        counts = {kind: max(1, round(n * share)) for kind, n in {**LONG, **BESIDES}.items()}
        # Kills at failpoints are kills.
        counts["kill_worker"] -= sum(name.startswith("worker.") for name in at)
        counts["kill_coordinator"] -= sum(not name.startswith("worker.") for name in at)
        made.append(Plan(seed, counts, at))
    return made


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ci", action="store_true", help="the 100 faults of the test chaos.ci")
    parser.add_argument("--real", action="store_true", help="the test chaos.real: loglog-trainer under kills")
    parser.add_argument("--faults", type=int, default=2400, help="kills, stops and partitions, 240 for each cluster")
    parser.add_argument("--seed", type=int, default=1, help="of the first cluster; the others follow")
    parser.add_argument("--report", help="writes the tables there, anew after each cluster")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    enter_namespace()
    names = reachable(sorted(itertools.chain.from_iterable(failpoints().values())))
    if options.ci:
        names = [name for name in names if name not in SLOW]
    elif options.real:
        names = []
    total, begun, todo, failed = Stats(), time.monotonic(), plans(options, names), []
    names = sorted({name for plan in todo for name in plan.names})
    for i, plan in enumerate(todo):
        label = f"cluster {i + 1} of {len(todo)}, seed {plan.seed}"
        folder = pathlib.Path(tempfile.mkdtemp(prefix="loglog-chaos-"))
        stats = Stats()
        try:
            one_cluster(folder, plan, stats, label)
            total.add(stats)
            subprocess.run(["rm", "-rf", str(folder)], check=False)
        except Exception as error:
            # The others still have something to say.
            if not isinstance(error, Breach):
                traceback.print_exc()
            mode = "--ci" if options.ci else "--real" if options.real else f"--faults {ROUND_FAULTS}"
            say(f"{report.text(stats, names)}\n\nchaos: FAILED: {label}: {error}\n"
                f"chaos: again: tests/run-chaos {mode} --seed {plan.seed}")
            failed.append(str(plan.seed))
        text = (f"{i + 1 - len(failed)} clusters, {time.monotonic() - begun:.0f} s" +
                (f"; failed, and not counted here: seed {', '.join(failed)}" if failed else "") +
                "\n\n" + report.text(total, names))
        if options.report:
            pathlib.Path(options.report).write_text(text + "\n")
    say(f"\n{text}\n")
    missed = [name for name in names if total.failpoints[name] == 0]
    if failed:
        say(f"chaos: FAILED: seed {', '.join(failed)}")
    elif missed:
        say(f"chaos: FAILED: nothing was killed at {', '.join(missed)}; see tests/chaos/failpoints.py")
    else:
        say(f"chaos: {sum(total.faults.values())} faults in {time.monotonic() - begun:.0f} s; every end state is that "
            "of a run without faults" + ("" if may_mount() else " (full and read-only disks left out)"))
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
