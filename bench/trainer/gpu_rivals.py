"""The rivals of gpu_turns, with the same protocol: a GPT-2 as nanoGPT has it, and transformers'
LlamaForCausalLM, each under autocast to bf16, with torch's fused AdamW and clipping.

  gpu_rivals.py nanogpt|llama eager|compiled DEVICE LAYERS D_MODEL HEADS D_FF VOCAB SEQ_LEN SEQUENCES
"""
import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from torch import nn
from torch.nn import functional

who, how, device = sys.argv[1:4]
layers, d_model, heads, d_ff, vocab, seq_len, sequences = map(int, sys.argv[4:])


class Block(nn.Module):
    """Pre-norm, no biases, GELU of four times the width: the weights of a SwiGLU of 8/3."""

    def __init__(self):
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(d_model, bias=False), nn.LayerNorm(d_model, bias=False)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model, bias=False), nn.Linear(d_model, d_model, bias=False)
        self.up, self.down = nn.Linear(d_model, 4 * d_model, bias=False), nn.Linear(4 * d_model, d_model, bias=False)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (part.view(batch, length, heads, -1).transpose(1, 2)
                   for part in self.qkv(self.norm_attention(x)).split(d_model, dim=2))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, d_model))
        return x + self.down(functional.gelu(self.up(self.norm_mlp(x))))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, d_model), nn.Embedding(seq_len, d_model)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))
        self.norm = nn.LayerNorm(d_model, bias=False)
        self.head = nn.Linear(d_model, vocab, bias=False)
        self.head.weight = self.tokens.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return functional.cross_entropy(self.head(self.norm(x)).view(-1, vocab), targets.reshape(-1))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        from transformers import LlamaConfig, LlamaForCausalLM
        self.model = LlamaForCausalLM(LlamaConfig(
            vocab_size=vocab, hidden_size=d_model, intermediate_size=d_ff, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=seq_len,
            attn_implementation="sdpa", use_cache=False, tie_word_embeddings=True))

    def forward(self, ids, targets):
        logits = self.model(input_ids=ids).logits
        return functional.cross_entropy(logits.view(-1, vocab), targets.reshape(-1))


torch.manual_seed(0)
torch.set_float32_matmul_precision("high")
on_gpu = device.startswith("cuda")
model = {"nanogpt": Gpt, "llama": Llama}[who]().to(device)
loss_of = torch.compile(model) if how == "compiled" else model
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def train(steps):
    """The loss of the last of them; the host waits for the device only in the end."""
    for _ in range(steps):
        ids = torch.randint(vocab, (sequences, seq_len + 1), device=device)
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16):
            loss = loss_of(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    value = loss.item()
    if on_gpu:
        torch.cuda.synchronize()
    return value


train(1)
print("ready", flush=True)
params = sum(parameter.numel() for parameter in model.parameters())
for line in sys.stdin:
    begin = time.perf_counter()
    loss = train(int(line))
    print(json.dumps({"seconds": time.perf_counter() - begin, "loss": loss, "params": params}), flush=True)
