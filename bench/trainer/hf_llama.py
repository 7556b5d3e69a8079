"""The rival of trainer_turns, with the same protocol: transformers' LlamaForCausalLM with
torch's fused AdamW, clipping, and loss and gradient norm read every step.

  hf_llama.py eager|compiled LAYERS D_MODEL HEADS D_FF VOCAB SEQ_LEN SEQUENCES
"""
import json
import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
torch.manual_seed(0)
layers, d_model, heads, d_ff, vocab, seq_len, sequences = map(int, sys.argv[2:])
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=vocab, hidden_size=d_model, intermediate_size=d_ff, num_hidden_layers=layers,
    num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=seq_len,
    attn_implementation="sdpa", use_cache=False, tie_word_embeddings=False))
step = torch.compile(model) if sys.argv[1] == "compiled" else model
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def train():
    ids = torch.randint(vocab, (sequences, seq_len + 1))
    logits = step(input_ids=ids[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.view(-1, vocab), ids[:, 1:].reshape(-1))
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item(), norm.item()


train()
print("ready", flush=True)
for line in sys.stdin:
    begin, steps = time.process_time(), 0
    while True:
        loss, _ = train()
        steps += 1
        elapsed = time.process_time() - begin
        if elapsed >= float(line):
            break
    print(json.dumps({"steps": steps, "cpu_s": elapsed, "loss": loss}), flush=True)
