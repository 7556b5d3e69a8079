"""What a user does wrong, on real processes: each refusal names the object and the fix,
has the right exit code, and loses nothing."""

import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import unittest

import harness

CONFIG = {
    "model": {"layers": 1, "d_model": 16, "heads": 2, "kv_heads": 1, "d_ff": 32, "vocab": 64, "seq_len": 16,
              "tied_head": False, "norm_eps": 1e-6, "rope_theta": 10000.0},
    "init": {"gamma": 0.5, "gamma_embed": None, "gamma_lm_head": None, "gamma_qk": None, "gamma_vo": None,
             "gamma_mlp_in": None, "gamma_mlp_out": None, "sigma": None, "d_in": "fan_in", "depth_factor": "none"},
    "train": {"optimizer": "adamw", "tokens": 2560, "batch_tokens": 64, "lr": 1e-3, "min_lr_ratio": 0.1,
              "schedule": "cosine", "warmup": 0.05, "cooldown": 0.2, "weight_decay": 0.1, "decay": "coupled",
              "decay_embed": True, "beta1": 0.9, "beta2": 0.95, "adam_eps": 1e-8, "clip": 1.0,
              "precision": "fp32"},
    "data": {"train": {"format": "llmc", "glob": "train_*.bin"}, "val": {"format": "llmc", "glob": "val_*.bin"},
             "synthetic": {"contexts": 512, "zipf": 1.5, "branching": 8, "seed": 0}},
    "eval": {"every": 0.5, "tokens": 64},
    "metrics": {"every": 10, "probe_every": 0},
}


def write_shard(path, tokens, claimed=None):
    header = [20240520, 1, len(tokens) if claimed is None else claimed] + [0] * 253
    path.write_bytes(struct.pack("<256i", *header) + struct.pack(f"<{len(tokens)}H", *tokens))


def run(*arguments, cwd, **environment):
    return subprocess.run([str(a) for a in arguments], cwd=cwd, capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, NO_COLOR="1", **environment), stdin=subprocess.DEVNULL)


class TrainerInput(unittest.TestCase):
    def setUp(self):
        self.context = harness.folder()
        self.folder = self.context.__enter__()
        self.addCleanup(self.context.__exit__, None, None, None)
        write_shard(self.folder / "train_0.bin", [i % 60 for i in range(4000)])
        write_shard(self.folder / "val_0.bin", [i % 60 for i in range(400)])

    def train(self, *flags, **changes):
        task = {"format": 1, "members": [{"trial": "t", "seed": 0, "config": CONFIG}],
                "checkpoint": {"every": 10, "keep": 2}, "data_root": str(self.folder), **changes}
        (self.folder / "task.json").write_text(json.dumps(task))
        return run(harness.BIN / "loglog-trainer", "task.json", *flags, cwd=self.folder)

    def check(self, done, code, *needed):
        self.assertEqual(done.returncode, code, done.stderr)
        for text in needed:
            self.assertIn(text, done.stderr)

    def test_a_good_task_trains(self):
        self.check(self.train(), 0)

    def test_a_truncated_shard_names_the_file_and_both_sizes(self):
        write_shard(self.folder / "train_0.bin", [1] * 100, claimed=4000)
        self.check(self.train(), 41, "train_0.bin", "4000")

    def test_a_token_outside_the_vocabulary_names_file_and_offset(self):
        write_shard(self.folder / "train_0.bin", [1] * 500 + [64] + [1] * 3499)
        self.check(self.train(), 20, "train_0.bin", "500", "64")

    def test_no_shard_says_what_was_looked_for(self):
        (self.folder / "train_0.bin").unlink()
        self.check(self.train(), 41, "train_*.bin")

    def test_an_unknown_key_is_refused(self):
        self.check(self.train(chekpoint={}), 20, "chekpoint", "checkpoint")

    def test_a_truncated_checkpoint_falls_back_to_the_one_before(self):
        self.check(self.train(), 0)
        whole = (self.folder / "events.jsonl").read_text().splitlines()
        checkpoints = sorted((self.folder / "checkpoints").iterdir())
        biggest = max((f for f in checkpoints[-1].iterdir()), key=lambda f: f.stat().st_size)
        os.truncate(biggest, biggest.stat().st_size // 2)
        (self.folder / "events.jsonl").unlink()
        self.check(self.train("--resume"), 0)
        resumed = (self.folder / "events.jsonl").read_text().splitlines()
        start = json.loads(resumed[0])
        self.assertEqual(start["resume_step"], int(checkpoints[-2].name.split("-")[-1]))
        self.assertEqual(resumed[-1], whole[-1])


class ControlPlane(unittest.TestCase):
    def test_second_coordinator_newer_store_and_wrong_port(self):
        with harness.folder() as folder, harness.Cluster(folder) as cluster:
            cluster.start_coordinator()
            binary = harness.BIN / "loglog-coordinator"
            second = run(binary, "--store", cluster.store, "--listen", "127.0.0.1:0", cwd=folder)
            self.assertEqual(second.returncode, 1, second.stderr)
            self.assertIn(str(cluster.coordinator.pid), second.stderr)
            taken = run(binary, "--store", folder / "other.db", "--listen", cluster.address, cwd=folder)
            self.assertEqual(taken.returncode, 1, taken.stderr)
            self.assertIn(cluster.address, taken.stderr)
            wide = run(binary, "--store", folder / "wide.db", "--listen", "0.0.0.0:0", cwd=folder)
            self.assertEqual(wide.returncode, 2, wide.stderr)
            self.assertIn("--insecure", wide.stderr)
            self.assertEqual(cluster.cli("sweep", "list").returncode, 0)
            cluster.stop()
            with contextlib.closing(sqlite3.connect(cluster.store)) as db:
                db.execute("PRAGMA user_version = 999")
                db.commit()
            newer = run(binary, "--store", cluster.store, "--listen", cluster.address, cwd=folder)
            self.assertEqual(newer.returncode, 1, newer.stderr)
            self.assertIn("999", newer.stderr)

    def test_the_doctor_finds_both_versions_the_same(self):
        with harness.folder() as folder, harness.Cluster(folder) as cluster:
            cluster.start_coordinator()
            # The exit code also tells that no worker is live.
            done = cluster.cli("doctor", "-o", "json", check=None)
            checks = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
            self.assertEqual(checks["versions"]["result"], "ok", checks["versions"])

    def test_no_coordinator_is_exit_5_with_the_address(self):
        with harness.folder() as folder:
            address = f"127.0.0.1:{harness.free_port()}"
            done = run(harness.BIN / "loglog", "status", cwd=folder, LOGLOG_COORDINATOR=address)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn(address, done.stderr)
            self.assertIn("loglog up", done.stderr)

    def test_a_bad_spec_is_exit_2_with_its_place(self):
        with harness.folder() as folder:
            (folder / "bad.yaml").write_text("apiVersion: loglog/v1\nname: bad\nmodle: {}\n")
            done = run(harness.BIN / "loglog", "plan", "bad.yaml", cwd=folder)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("bad.yaml:3:1", done.stderr)
            self.assertIn("did you mean `model`", done.stderr)

    def test_a_worker_without_a_trainer_says_so(self):
        with harness.folder() as folder:
            done = run(harness.BIN / "loglog-worker", "--coordinator", "127.0.0.1:1", "--trainer",
                       folder / "nowhere", cwd=folder)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("nowhere", done.stderr)

    def test_a_worker_whose_log_nobody_reads_leaves_as_any_other(self):
        with harness.folder() as folder, harness.Cluster(folder) as cluster:
            cluster.start_coordinator()
            command = ["setpriv", "--pdeathsig", "KILL", *map(str, cluster.worker_command("w"))]
            worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL, cwd=folder, env=cluster.environment)
            self.assertTrue(worker.stderr.readline())
            worker.stderr.close()
            worker.terminate()
            self.assertEqual(worker.wait(timeout=45), 0)


if __name__ == "__main__":
    unittest.main()
