"""What must hold once the faults are over."""

import contextlib
import re
import signal
import subprocess

import harness
import results
from cluster import LEASE_OVER_S, WORKERS
from injector import Breach

# How much longer than a stop its consequences last: the kill, and the reaping.
AFTER_STOP_S = 2.0
OPEN = ("SELECT (SELECT count(*) FROM sweeps WHERE state IN ('ACTIVE', 'PAUSED')) + "
        "(SELECT count(*) FROM trials WHERE state NOT IN ('DONE', 'DIVERGED')) + "
        "(SELECT count(*) FROM attempts WHERE state IN ('LEASED', 'RUNNING', 'STOPPING'))")
# Query -> what it means when it has a row.
NEVER = {
    "SELECT sweep_id, trial_id, count(*) FROM events WHERE kind IN ('trial.done', 'trial.diverged') "
    "GROUP BY sweep_id, trial_id HAVING count(*) > 1": "a trial ended well twice",
    "SELECT task_id, count(*) FROM attempts WHERE state IN ('DONE', 'DIVERGED') GROUP BY task_id HAVING count(*) > 1":
        "a task was done twice",
    "SELECT t.trial_id FROM trials t LEFT JOIN trial_summary u ON u.trial_id = t.trial_id WHERE u.trial_id IS NULL":
        "a trial without a summary",
    "SELECT task_id, state, message FROM tasks WHERE state <> 'DONE'": "a task that is not done",
    "SELECT task_id, failure_count FROM tasks t WHERE failure_count > (SELECT count(*) FROM attempts a WHERE "
    "a.task_id = t.task_id AND a.state IN ('FAILED', 'OUT_OF_MEMORY'))": "a failure counted that was none",
}


def fault_free(folder, submitted, trainer, slots):
    """The same sweeps on a cluster that nothing happens to; a running one, to be stopped."""
    cluster = harness.Cluster(folder, lease="30s", margin="5s", worker_flags=(
        "--trainer", harness.BIN / trainer, "--device", "cpu"))
    cluster.environment["LOGLOG_FAKE_TRAINER"] = "diverge_one_in=7"
    try:
        cluster.start_coordinator()
        for name in ("quiet0", "quiet1"):
            cluster.start_worker(name, slots)
        for name, text in submitted:
            (cluster.folder / f"{name}.yaml").write_text(text)
            cluster.cli("submit", f"{name}.yaml")
        harness.wait_until("the fault-free sweeps to end", lambda: cluster.sql(OPEN) == [(0,)], 300)
    except BaseException:
        cluster.__exit__()
        raise
    return cluster


def compare(store, expected):
    """Breaks when the stores differ in anything but attempts, workers and times."""
    for what, read in (("trials", results.finals), ("points", results.curves), ("sweeps", results.sweeps)):
        different = results.differences(read(store), read(expected))
        if different:
            raise Breach(f"{what} are not those of the fault-free run:\n  " + "\n  ".join(different))
    with contextlib.suppress(AssertionError):
        # They are made behind the last trial.
        harness.wait_until("the last fits", lambda: results.newest_fits(store) == results.newest_fits(expected), 60)
    different = results.differences(results.newest_fits(store), results.newest_fits(expected))
    if different:
        raise Breach("fits are not those of the fault-free run:\n  " + "\n  ".join(different))


def stop_in_order(cluster):
    for name in (*WORKERS, "coordinator"):
        process = cluster.processes[name]
        process.popen.send_signal(signal.SIGTERM)
        code = process.popen.wait(timeout=60)
        if code != 0:
            raise Breach(f"{name} was asked to leave and ended with {code}\n{cluster.log(name)[-3000:]}")


def check_store(cluster, injector, stats):
    done = subprocess.run([str(harness.BIN / "loglog"), "store", "check", str(cluster.store)], capture_output=True,
                          text=True, timeout=300)
    if done.returncode != 0:
        raise Breach(f"loglog store check: {done.stdout}{done.stderr}")
    for query, meaning in NEVER.items():
        rows = cluster.sql(query)
        if rows:
            raise Breach(f"{meaning}: {rows[:5]}")
    attempts = cluster.sql("SELECT a.attempt_id, a.last_seq, t.last_attempt_id = a.attempt_id FROM attempts a "
                           "JOIN tasks t ON t.task_id = a.task_id")
    injector.audit(attempts)
    check_acknowledged(cluster, {row[0]: row[1] for row in attempts}, stats)
    check_blame(cluster)
    check_overlaps(cluster, injector, stats)
    stats.attempts.update(dict(cluster.sql("SELECT state, count(*) FROM attempts GROUP BY state")))
    stats.wrong_clocks += cluster.wrong_clocks
    stats.trials += cluster.sql("SELECT count(*) FROM trials")[0][0]
    stats.sweeps += cluster.sql("SELECT count(*) FROM sweeps")[0][0]
    stats.points += cluster.sql("SELECT total(n) FROM points WHERE superseded_by IS NULL")[0][0]
    stats.tasks_hurt += cluster.sql("SELECT count(DISTINCT task_id) FROM attempts WHERE state IN ('LOST', 'STOPPED', "
                                    "'DEVICE_ERROR', 'FAILED', 'REFUSED', 'OUT_OF_MEMORY')")[0][0]


def check_acknowledged(cluster, stored, stats):
    """What a worker was told is stored is there."""
    for name in WORKERS:
        for attempt, seq in re.findall(r"attempt (\d+): its events up to (-?\d+) are stored", cluster.log(name)):
            stats.acknowledged += 1
            if stored.get(int(attempt), -1) < int(seq):
                raise Breach(f"{name} was told that events of attempt {attempt} up to {seq} are stored; the store has "
                             f"them up to {stored.get(int(attempt), -1)}")


def check_blame(cluster):
    """Nothing counts as a trainer's own failure but what trainers were told to do wrong."""
    guilty = {line["attempt"] for line in cluster.read_journal() if line["misfortune"]}
    blamed = cluster.sql("SELECT attempt_id, state, message FROM attempts WHERE state IN ('FAILED', 'REFUSED', "
                         "'OUT_OF_MEMORY')")
    innocent = [row for row in blamed if row[0] not in guilty]
    if innocent:
        raise Breach(f"faults of the host were counted as failures of the trainer: {innocent[:5]}")


def check_overlaps(cluster, injector, stats):
    """Two trainers of one task at once: only where the older one's daemon could not look at
    the clock, because it was stopped, or the whole machine stood still."""
    workers = dict(cluster.sql("SELECT attempt_id, worker_id FROM attempts"))
    for line in cluster.read_journal():
        if line["e"] != "overlap":
            continue
        at_s = line["ns"] / 1e9
        attempt = int((line.get("other") or "0").split()[0])
        stopped = any(name in (workers.get(attempt), workers.get(line["attempt"])) and
                      begin <= at_s <= end + AFTER_STOP_S for name, begin, end in injector.pauses)
        stood_still = any(begin - LEASE_OVER_S <= at_s <= end + AFTER_STOP_S for begin, end in injector.stalls)
        if not stopped and not stood_still:
            raise Breach(f"task {line['task']} ran twice at {at_s:.3f} s: attempt {line['attempt']} of "
                         f"{workers.get(line['attempt'])} started while attempt {attempt} of {workers.get(attempt)} "
                         "lived")
        stats.overlaps_excused += 1


def keep(folder):
    """Copies what would vanish with this process's mounts."""
    kept = f"{folder}-kept"
    subprocess.run(["cp", "-a", str(folder), kept], check=False)
    return kept
