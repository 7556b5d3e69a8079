"""Real text, real processes, real faults: pack two texts, run a sweep of 2 arms x 4 token
budgets x 2 seeds on two workers, kill a worker and the coordinator mid-way, and end with
the same numbers, bit for bit, as a run in which nothing was killed."""

import json
import pathlib
import sys
import unittest

import harness
from results import curves, final_checkpoints, finals

SPEC = """
apiVersion: loglog/v1
name: real-text
model: {layers: 2, d_model: 32, heads: 2, kv_heads: 1, d_ff: 64, vocab: 256, seq_len: 32}
data:
  train: {format: llmc, glob: "packed/train-*.bin"}
  val: {format: llmc, glob: "packed/val-*.bin"}
train: {lr: 3.0e-3, batch_tokens: 512, weight_decay: 0.1, tokens: 32768}
eval: {every: 50%, tokens: 4096}
metrics: {every: 5, probe_every: 50}
checkpoint: {every: 20, keep: 2}
axes:
  D: {path: train.tokens, values: [32768, 65536, 131072, 262144]}
  seed: {path: seed, values: SEEDS}
arms:
  small: {init.gamma: 1.0, train.weight_decay: 1.0}
  large: {init.gamma: 0.5, train.weight_decay: 0.1}
fit:
  - {form: "B*D^-b", by: arm}
  - {form: "E + B*D^-beta", by: arm}
  - {compare: [small, large]}
"""


def pack(cluster):
    texts = pathlib.Path(harness.REFERENCE) / "text"
    cluster.cli("data", "pack", texts / "tinyshakespeare.txt", texts / "wikitext2-valid.txt",
                texts / "wikitext2-test.txt", "--out", cluster.folder / "packed",
                "--documents", "blank-lines")
    inspected = cluster.cli("data", "inspect", cluster.folder / "packed").stdout
    assert inspected.count("llm.c uint16") == 2, inspected


def write_spec(cluster, seeds):
    path = cluster.folder / "text.yaml"
    path.write_text(SPEC.replace("SEEDS", str(seeds)))
    return path


def trial_states(cluster, sweep="real-text"):
    return dict(cluster.sql("SELECT state, count(*) FROM v_trials WHERE sweep = ? GROUP BY state", (sweep,)))


def run_quietly(cluster):
    cluster.start_coordinator()
    cluster.start_worker("host-a")
    cluster.start_worker("host-b")
    pack(cluster)
    spec = write_spec(cluster, [0, 1])
    cluster.cli("submit", spec)
    cluster.cli("sweep", "wait", "real-text", timeout_s=400)
    return spec


def run_with_kills(cluster):
    cluster.start_coordinator()
    cluster.start_worker("host-a")
    cluster.start_worker("host-b")
    pack(cluster)
    spec = write_spec(cluster, [0, 1])
    cluster.cli("submit", spec)

    def busy_with_a_checkpoint(worker):
        return cluster.sql("SELECT a.attempt_id FROM v_attempts a JOIN v_checkpoints c USING (attempt_id) "
                           "WHERE a.state IN ('LEASED', 'RUNNING') AND a.worker = ?", (worker,))

    harness.wait_until("host-a to be past a checkpoint", lambda: busy_with_a_checkpoint("host-a"), 200)
    cluster.kill_worker("host-a")
    cluster.start_worker("host-a")
    harness.wait_until("three trials to end", lambda: trial_states(cluster).get("DONE", 0) >= 3, 200)
    cluster.kill_coordinator()
    cluster.start_coordinator()
    cluster.cli("sweep", "wait", "real-text", timeout_s=400)
    return spec


class RealInput(unittest.TestCase):
    maxDiff = 2000

    def test_a_sweep_on_text_survives_kills_bit_for_bit(self):
        with harness.folder() as folder:
            with harness.Cluster(folder / "quiet") as quiet:
                run_quietly(quiet)
                expected_curves, expected_finals = curves(quiet.store), finals(quiet.store)
                expected_checkpoints = final_checkpoints(quiet.store)
                self.assertEqual(trial_states(quiet), {"DONE": 16})
                quiet.stop()
            with harness.Cluster(folder / "killed") as killed:
                spec = run_with_kills(killed)
                self.assertEqual(trial_states(killed), {"DONE": 16})
                self.assertEqual(finals(killed.store), expected_finals)
                actual = curves(killed.store)
                self.assertEqual(set(actual), set(expected_curves))
                different = [key for key in actual if actual[key] != expected_curves[key]]
                self.assertEqual(different, [])
                self.assertEqual(final_checkpoints(killed.store), expected_checkpoints)
                # A trial is done with its last event; its attempt ends with the worker's report.
                harness.wait_until("the last attempt to be reported", lambda: not killed.sql(
                    "SELECT 1 FROM v_attempts WHERE state IN ('LEASED', 'RUNNING', 'STOPPING')"))
                done = killed.sql("SELECT task_id, count(*) FROM v_attempts WHERE state = 'DONE' GROUP BY task_id")
                self.assertEqual([count for _, count in done], [1] * 16, "a task was done twice")
                lost = killed.sql("SELECT count(*) FROM v_attempts WHERE state = 'LOST'")[0][0]
                self.assertGreaterEqual(lost, 1, "the kill of host-a cost no attempt: it hit nothing")
                self.check_fit(killed)
                self.check_resubmission(killed, spec)
                codes = killed.stop()
                self.assertEqual(set(codes.values()), {0}, codes)

    def check_fit(self, cluster):
        fits = cluster.cli_json("fit", "real-text")["fits"]
        slopes = [f for f in fits if f["kind"] == "local_slope"]
        self.assertEqual({f["arm"] for f in slopes}, {"small", "large"})
        for fit in slopes:
            slope = next(p for p in fit["parameters"] if p["name"] == "slope")
            self.assertLess(slope["low"], slope["estimate"])
            self.assertLess(slope["estimate"], slope["high"])
            self.assertLess(slope["estimate"], 0, "loss did not fall with tokens")
            self.assertEqual(fit["n_trials"], 8)
        comparison = cluster.cli_json("compare", "small", "large")
        text = json.dumps(comparison)
        self.assertIn("p_value", text)

    def check_resubmission(self, cluster, spec):
        before = cluster.sql("SELECT count(*) FROM v_attempts")[0][0]
        again = cluster.cli_json("submit", spec)
        self.assertFalse(again.get("created", False))
        self.assertEqual(int(again.get("trials_new", 0)), 0)
        write_spec(cluster, [0, 1, 2])
        more = cluster.cli_json("submit", spec)
        self.assertEqual((int(more["trials_new"]), int(more["trials_reused"])), (8, 16))
        name = more["sweep"]["name"].split("/")[1]
        cluster.cli("sweep", "wait", name, timeout_s=400)
        self.assertEqual(trial_states(cluster, name), {"DONE": 24})
        self.assertEqual(cluster.sql("SELECT count(*) FROM v_attempts")[0][0], before + 8)


if __name__ == "__main__":
    if not harness.REFERENCE:
        print("skipped: LOGLOG_REFERENCE_DATA is not set")
        sys.exit(77)
    unittest.main()
