// The Llama decoder, forward and backward written out by hand over preallocated tensors.
// No autograd: every gradient is accumulated where it belongs, in the flat buffers.
#ifndef LOGLOG_TRAINER_MODEL_H_
#define LOGLOG_TRAINER_MODEL_H_

#include <ATen/core/Tensor.h>

#include <vector>

#include "trainer/config.h"
#include "trainer/layout.h"
#include "trainer/ops.h"

namespace loglog {

// Views of a flat buffer [K, floats], every tensor with the leading member dimension K.
struct LayerTensors {
  at::Tensor attn_norm;  // [K, d]
  at::Tensor qkv;        // [K, (H + 2 KV) E, d]
  at::Tensor o;          // [K, d, H E]
  at::Tensor mlp_norm;   // [K, d]
  at::Tensor gate_up;    // [K, 2 F, d]
  at::Tensor down;       // [K, d, F]
};

struct ModelTensors {
  at::Tensor embed;  // [K, V, d]
  std::vector<LayerTensors> layers;
  at::Tensor final_norm;  // [K, d]
  at::Tensor lm_head;     // [K, V, d]; the embedding when tied
};

// The gains come from `gains` (float32), the matrices from `matrices`: the same buffer, or
// its bf16 copy.
ModelTensors MakeViews(const ModelConfig& model, const Layout& layout, const at::Tensor& matrices,
                       const at::Tensor& gains);

RopeTable MakeRope(const ModelConfig& model, at::Device device);

// What the forward pass leaves for the backward pass and for probes, of one layer.
struct LayerActivations {
  at::Tensor x;          // [K, M, d] float32, input of the layer
  at::Tensor attn_rstd;  // [K, M] float32
  at::Tensor attn_in;    // [K, M, d], normalized
  at::Tensor q, k, v;    // as in AttentionInputs, rotated
  at::Tensor p;          // probabilities, when they are kept
  at::Tensor attn_out;   // [K, M, H E]
  at::Tensor x_mid;      // [K, M, d] float32, after attention
  at::Tensor mlp_rstd;
  at::Tensor mlp_in;
  at::Tensor gate_up;  // [K, M, 2 F]
  at::Tensor act;      // [K, M, F]
};

struct WorkspaceLimits {
  int64_t kept_probability_bytes = 0;  // over all layers; above it they are computed twice
  int64_t attention_block_bytes = 0;
};

// Every activation and temporary for K members and a fixed number of sequences.
struct Workspace {
  Workspace(const ModelConfig& model, int64_t members, int64_t sequences, at::TensorOptions options,
            const WorkspaceLimits& limits);

  HeadShape heads;  // sequences = K * sequences
  int64_t attention_block = 1;
  bool keeps_probabilities = true;
  std::vector<LayerActivations> layers;
  at::Tensor x_final, final_rstd, final_in;  // around the last norm
  at::Tensor logits;                         // [K, M, V]
  // Temporaries, reused from layer to layer.
  at::Tensor qkv, attn_heads, p_block, dp_block, dq, dk, dv, dx, dh, dattn, dact, dgate_up;
};

// Runs `tokens` [K, M] against `targets` [K, M] (int32) and adds each member's sum of token
// losses to `loss_sum` [K] float64. With `grads`, also adds the gradient of loss_scale times
// that sum to the float32 views in `grads`.
void RunModel(const ModelConfig& model, const Ops& ops, const RopeTable& rope,
              const ModelTensors& weights, ModelTensors* grads, const at::Tensor& tokens,
              const at::Tensor& targets, double loss_scale, Workspace& work, at::Tensor& loss_sum);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_MODEL_H_
