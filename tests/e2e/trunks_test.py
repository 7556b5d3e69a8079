"""Trials that share a trunk, trained by the real trainer: each ends with the same bits as when it
is trained whole, what they share is trained once, and the fits say that they hang together."""

import hashlib
import pathlib
import unittest

import harness
from results import bits, curves

SPEC = """
apiVersion: loglog/v1
name: trunks
model: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 32}
data:
  train: {format: synthetic}
  val: {format: synthetic}
  synthetic: {contexts: 32, branching: 4}
train: {batch_tokens: 256, lr: 3.0e-3, schedule: wsd, warmup_tokens: 2560, cooldown: 20%}
eval: {every: 50%, tokens: 1024}
metrics: {every: 5, probe_every: 0}
checkpoint: {every: 1000, keep: 1}
axes:
  D: {path: train.tokens, values: [25600, 51200, 102400]}
  seed: {path: seed, values: [0, 1]}
arms:
  small: {init.gamma: 1.0}
  large: {init.gamma: 0.5}
fit: [{form: "B*D^-b", by: arm}]
schedule: {trunks: TRUNKS}
"""
# Steps of each budget, and where its cooldown begins.
STEPS = {25600: (100, 80), 51200: (200, 160), 102400: (400, 0)}


def final_states(cluster):
    """Weights and moments at the end of each trial, hashed."""
    states = {}
    for sha, step, path in cluster.sql("SELECT trial_sha256, step, path FROM v_checkpoints ORDER BY step"):
        file = pathlib.Path(path) / "state.safetensors"
        states[sha] = (step, hashlib.sha256(file.read_bytes()).hexdigest())
    return states


def kill_everything_once(cluster):
    """When a branch point is there and the trunk that left it runs on."""
    harness.wait_until("a live trunk to be past a branch point", lambda: cluster.sql(
        "SELECT 1 FROM v_attempts a JOIN v_checkpoints c USING (attempt_id) WHERE a.state = 'RUNNING'"))
    for worker in ("host-a", "host-b"):
        cluster.kill_worker(worker)
    cluster.kill_coordinator()
    cluster.start_coordinator()
    for worker in ("host-a", "host-b"):
        cluster.start_worker(worker)


def run(folder, trunks, kills=False):
    with harness.Cluster(folder) as cluster:
        cluster.start_coordinator()
        cluster.start_worker("host-a")
        cluster.start_worker("host-b")
        (cluster.folder / "trunks.yaml").write_text(SPEC.replace("TRUNKS", trunks))
        plan = cluster.cli("plan", "trunks.yaml").stdout
        cluster.cli("submit", "trunks.yaml")
        if kills:
            kill_everything_once(cluster)
        cluster.cli("sweep", "wait", "trunks")
        # A trial is done with its last event; its attempt ends with the worker's report.
        harness.wait_until("the last attempt to be reported", lambda: not cluster.sql(
            "SELECT 1 FROM v_attempts WHERE state IN ('LEASED', 'RUNNING', 'STOPPING')"))
        rows = cluster.sql("SELECT t.tokens_planned, t.seed, t.arm, t.state, t.final_loss, t.trial_sha256, "
                           "a.resume_step, a.worker FROM v_trials t JOIN v_attempts a USING (attempt_id)")
        fits = cluster.cli_json("fit", "trunks")["fits"]
        cluster.cli("store", "check", cluster.store)
        result = {"rows": rows, "plan": plan, "fits": fits, "curves": curves(cluster.store),
                  "states": final_states(cluster)}
        codes = cluster.stop()
        assert set(codes.values()) == {0}, codes
        return result


class Trunks(unittest.TestCase):
    maxDiff = 2000

    def test_a_branch_ends_with_the_bits_of_a_whole_run(self):
        with harness.folder() as folder:
            shared, whole = run(folder / "shared", "true"), run(folder / "whole", "false")
            killed = run(folder / "killed", "true", kills=True)
        self.assertEqual({row[3] for row in shared["rows"]}, {"DONE"})
        self.assertEqual(len(shared["rows"]), 12)
        losses = lambda result: {row[5]: bits(row[4]) for row in result["rows"]}
        self.assertEqual(losses(shared), losses(whole))
        self.assertEqual(losses(killed), losses(whole))
        self.assertEqual(killed["states"], whole["states"])
        # The weights and the optimizer at the end, and every point of the cooldown.
        self.assertEqual(shared["states"], whole["states"])
        self.check_curves(shared, whole)
        trunk_of = {}
        for tokens, seed, arm, _, _, _, resume_step, worker in shared["rows"]:
            self.assertEqual(resume_step, STEPS[tokens][1], f"{arm} of {tokens}")
            trunk_of.setdefault((arm, seed), set()).add(worker)
        self.assertEqual({len(workers) for workers in trunk_of.values()}, {1}, "a branch left its trunk's host")
        self.assertEqual({row[6] for row in whole["rows"]}, {0})
        self.assertIn("8 trials go on from a longer one's checkpoint", shared["plan"])
        for fit in shared["fits"]:
            self.assertIn("trials share trunks", fit["message"])
        self.assertTrue(all("trunks" not in fit.get("message", "") for fit in whole["fits"]))

    def check_curves(self, shared, whole):
        begins = {row[5]: STEPS[row[0]][1] for row in shared["rows"]}
        expected = {key: value for key, value in whole["curves"].items()
                    if key[2] > begins[key[0]] or begins[key[0]] == 0}
        self.assertTrue(any(key[1] == "loss/train" and begins[key[0]] for key in expected))
        # How often is measured is a share of each run; what both measured is the same.
        both = set(expected) & set(shared["curves"])
        self.assertEqual([key for key in both if shared["curves"][key] != expected[key]], [])
        self.assertEqual({key for key in expected if key[1] == "loss/train"},
                         {key for key in shared["curves"] if key[1] == "loss/train"})


if __name__ == "__main__":
    unittest.main()
