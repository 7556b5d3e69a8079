"""The sweeps that a cluster works on: a function of the seed alone, so that a cluster
without faults can be given the same ones."""

import random

SPEC = """apiVersion: loglog/v1
name: {name}
model: {{layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 16}}
data: {{train: {{format: synthetic}}, val: {{format: synthetic}}, synthetic: {{contexts: 32, branching: 4}}}}
train: {{batch_tokens: 64}}
metrics: {{every: {rows}}}
checkpoint: {{every: {checkpoints}}}
retries: {{failures: 3, losses: 100000}}
axes:
  D: {{path: train.tokens, values: {tokens}}}
  seed: {{path: seed, values: {seeds}}}
arms:
  a: {{train.lr: {lr:.6f}}}
  b: {{train.lr: {lr2:.6f}}}
"""
FIT = """fit:
  - {form: "B*D^-b", by: arm}
  - {compare: [a, b]}
"""


def specs(seed):
    """Yields (name, text) for ever. One in four holds part of the trials of the one before it."""
    rng = random.Random(f"workload {seed}")
    before = None
    for i in range(1_000_000):
        tokens = sorted(rng.sample(range(20, 70, 5), rng.randint(2, 4)))
        values = dict(rows=rng.randint(1, 4), checkpoints=rng.randint(4, 15), tokens=[64 * steps for steps in tokens],
                      seeds=list(range(rng.randint(1, 3))), lr=1e-3 + i * 1e-6, lr2=2e-3 + i * 1e-6)
        if before and rng.random() < 0.25:
            # One more budget and one more seed; what is there is taken over.
            values = dict(before, tokens=before["tokens"] + [64 * 75], seeds=list(range(len(before["seeds"]) + 1)))
            before = None
        else:
            before = values
        name = f"s{i}"
        yield name, SPEC.format(name=name, **values) + (FIT if rng.random() < 0.2 and len(tokens) > 2 else "")


REAL_SPEC = """apiVersion: loglog/v1
name: {name}
model: {{layers: 1, d_model: 32, heads: 2, kv_heads: 1, d_ff: 64, vocab: 64, seq_len: 32}}
data: {{train: {{format: synthetic}}, val: {{format: synthetic}}, synthetic: {{contexts: 48, branching: 4}}}}
train: {{lr: {lr:.6f}, batch_tokens: 256}}
eval: {{every: 50%, tokens: 1024}}
metrics: {{every: 5, probe_every: 0}}
checkpoint: {{every: 20, keep: 2}}
retries: {{failures: 3, losses: 100000}}
axes:
  D: {{path: train.tokens, values: [25600, 51200]}}
  seed: {{path: seed, values: [0, 1]}}
arms:
  small: {{init.gamma: 1.0, train.weight_decay: 1.0}}
  large: {{init.gamma: 0.5, train.weight_decay: 0.1}}
"""


def real_specs():
    """Small models that a processor trains in about a second. Eight trials each."""
    for i in range(1_000):
        yield f"real{i}", REAL_SPEC.format(name=f"real{i}", lr=3e-3 + i * 1e-5)
