"""A sweep that starts from the weights of a file: what one trial ended with, exported as
transformers' Llama, is what another begins with."""

import hashlib
import unittest

import harness

BASE = """
apiVersion: loglog/v1
name: NAME
model: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 32}
data:
  train: {format: synthetic}
  val: {format: synthetic}
  synthetic: {contexts: 32, branching: 4}
train: {batch_tokens: 256, tokens: TOKENS, lr: LR}
eval: {tokens: 4096}
"""


class Weights(unittest.TestCase):
    def test_a_trial_begins_where_a_file_ends(self):
        with harness.folder() as folder, harness.Cluster(folder) as cluster:
            cluster.start_coordinator()
            cluster.start_worker("host")
            trained = self.train(cluster, "trained", 51200, 3.0e-3)
            path = cluster.sql("SELECT path FROM v_checkpoints ORDER BY step DESC LIMIT 1")[0][0]
            cluster.cli("ckpt", "export", path, "--to", "hf", "--out", cluster.folder / "llama")
            sha256 = hashlib.sha256((cluster.folder / "llama/model.safetensors").read_bytes()).hexdigest()
            # One step of a rate that moves nothing: the loss is the file's.
            weights = f"init: {{weights: {{path: llama/model.safetensors, sha256: {sha256}}}}}\n"
            self.assertEqual(self.train(cluster, "read", 256, "0", weights), trained)
            self.assertGreater(self.train(cluster, "drawn", 256, "0"), trained + 0.1)
            wrong = weights.replace(sha256, "a" * 64)
            self.submit(cluster, "other", 256, "0", wrong)
            cluster.cli("sweep", "wait", "other", check=7)
            message = cluster.sql("SELECT message FROM v_trials WHERE sweep = 'other'")[0][0]
            self.assertIn("name the file that the trial is to start from", message)
            cluster.stop()

    def submit(self, cluster, name, tokens, lr, more=""):
        spec = BASE.replace("NAME", name).replace("TOKENS", str(tokens)).replace("LR", str(lr)) + more
        (cluster.folder / f"{name}.yaml").write_text(spec)
        cluster.cli("submit", f"{name}.yaml")

    def train(self, cluster, name, tokens, lr, more=""):
        self.submit(cluster, name, tokens, lr, more)
        cluster.cli("sweep", "wait", name)
        return cluster.sql("SELECT final_loss FROM v_trials WHERE sweep = ?", (name,))[0][0]


if __name__ == "__main__":
    unittest.main()
