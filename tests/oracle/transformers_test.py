"""Holds exported checkpoints against Hugging Face's transformers: models are trained for a few
steps, exported, loaded as LlamaForCausalLM, and their loss on the validation sequences must be
the trainer's, for grouped keys, tied and untied heads, biases, wide heads and several eps. What
Llama cannot express is refused. And the other way: models that transformers made and saved, in
float32, bfloat16 and float16, are started from.

  transformers_test.py LOGLOG_TRAINER

Skips (77) where torch and transformers are not installed; LOGLOG_TRANSFORMERS_PYTHON says where
they are, else the folder that deploy/setup.sh --test makes.
"""
import array
import hashlib
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import environment

environment.enter("transformers", "LOGLOG_TRANSFORMERS_PYTHON")
os.environ["HF_HUB_OFFLINE"] = "1"
try:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError:
    print("skipped: no transformers; deploy/setup.sh --test installs it")
    sys.exit(77)

VOCAB, SEQ_LEN = 61, 24
SHAPE = {"layers": 2, "d_model": 32, "heads": 4, "kv_heads": 4, "d_ff": 48, "vocab": VOCAB, "seq_len": SEQ_LEN}
MODELS = {
    "plain": {},
    "grouped": {"kv_heads": 2},
    "one kv head, tied": {"kv_heads": 1, "tied_head": True},
    "eps 1e-12": {"norm_eps": 1e-12},
    "eps 1e-3": {"norm_eps": 1e-3, "rope_theta": 500.0},
    "biases": {"biases": True},
    "wide heads": {"head_dim": 20, "tied_head": True},
}


def write_shards(folder):
    """Uniform ids; one validation shard of exactly one sequence."""
    draw = random.Random(5)
    for name, count in (("train.bin", 4000), ("val.bin", SEQ_LEN + 1)):
        ids = array.array("H", (draw.randrange(VOCAB) for _ in range(count)))
        (folder / name).write_bytes(ids.tobytes())
    return ids.tolist()


def train(trainer, folder, model, init={"gamma": 0.4}, lr=0.02):
    task = {"members": [{"seed": 3, "config": {
        "model": SHAPE | model, "init": init,
        "train": {"tokens": 20 * 96, "batch_tokens": 96, "lr": lr},
        "data": {"train": {"format": "u16", "glob": "train.bin"}, "val": {"format": "u16", "glob": "val.bin"}},
        "eval": {"tokens": SEQ_LEN}, "metrics": {"every": 20, "probe_every": 0}}}],
        "run_dir": str(folder / "run"), "data_root": str(folder)}
    (folder / "task.json").write_text(json.dumps(task))
    subprocess.run([trainer, str(folder / "task.json")], check=True, stderr=subprocess.DEVNULL)
    last = (folder / "run/events.jsonl").read_text().splitlines()[-1]
    return json.loads(last)["final_loss"], folder / "run/checkpoints/step-00000020"


def loss_of(llama, ids):
    with torch.no_grad():
        logits = llama(ids[:, :-1]).logits.double()
    return torch.nn.functional.cross_entropy(logits[0], ids[0, 1:]).item()


def start_from(trainer, folder, dtype, model):
    """The trainer's loss on a model that transformers saved, and transformers' own."""
    torch.manual_seed(7)
    llama = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=model.get("kv_heads", 4), max_position_embeddings=SEQ_LEN, rms_norm_eps=1e-6,
        tie_word_embeddings=model.get("tied_head", False), initializer_range=0.2)).to(dtype)
    llama.save_pretrained(folder / "saved")
    ids = torch.tensor([write_shards(folder)])
    file = folder / "saved/model.safetensors"
    # A rate that moves no weight by a bit: the loss is that of the imported ones.
    init = {"weights": {"path": "saved/model.safetensors", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}}
    ours, _ = train(trainer, folder, model, init, lr=1e-30)
    # Read again: a cast would have rounded the rotation's angles as well.
    return ours, loss_of(LlamaForCausalLM.from_pretrained(folder / "saved", dtype=torch.float32), ids)


def main():
    trainer, failed = sys.argv[1], 0
    for name, model in MODELS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            ids = torch.tensor([write_shards(folder)])
            ours, checkpoint = train(trainer, folder, model)
            subprocess.run([trainer, "export", str(checkpoint), "--out", str(folder / "hf")], check=True,
                           stdout=subprocess.DEVNULL)
            llama, report = LlamaForCausalLM.from_pretrained(folder / "hf", output_loading_info=True)
            theirs = loss_of(llama, ids)
            strange = {key: value for key, value in report.items() if value}
            apart = abs(ours - theirs) / theirs
            ok = apart < 1e-6 and not strange and abs(ours - math.log(VOCAB)) > 0.01
            failed += not ok
            print(f"{'ok' if ok else 'FAILED'}: {name}: loss {ours:.7f}, transformers {theirs:.7f} ({apart:.1e}) {strange or ''}")
    for dtype, model in ((torch.float32, {}), (torch.bfloat16, {"kv_heads": 2}), (torch.float16, {"tied_head": True})):
        with tempfile.TemporaryDirectory() as temporary:
            ours, theirs = start_from(trainer, pathlib.Path(temporary), dtype, model)
            apart = abs(ours - theirs) / theirs
            ok = apart < 1e-6 and theirs > math.log(VOCAB) + 0.1
            failed += not ok
            print(f"{'ok' if ok else 'FAILED'}: started from {dtype} {model}: loss {ours:.7f}, transformers {theirs:.7f} ({apart:.1e})")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_shards(folder)
        _, checkpoint = train(trainer, folder, {"qk_norm": True})
        export = subprocess.run([trainer, "export", str(checkpoint), "--out", str(folder / "hf")],
                                capture_output=True, text=True)
        refused = export.returncode == 20 and "model.qk_norm: Llama has no norm of queries" in export.stderr
        failed += not refused
        print("ok: qk_norm is refused" if refused else f"FAILED: {export}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
