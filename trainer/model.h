// The decoder, forward and backward written out by hand over preallocated tensors. No
// autograd: every gradient is accumulated where it belongs, in the flat buffers.
#ifndef LOGLOG_TRAINER_MODEL_H_
#define LOGLOG_TRAINER_MODEL_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "trainer/config.h"
#include "trainer/layout.h"
#include "trainer/ops.h"

namespace loglog {

// Views of a flat buffer [K, floats], every tensor with the leading member dimension K. What a
// model does not have is undefined.
struct NormTensors {
  at::Tensor gain;  // [K, d]
  at::Tensor bias;  // [K, d]
};

struct LinearTensors {
  at::Tensor weight;  // [K, out, in]
  at::Tensor bias;    // [K, out]
};

struct LayerTensors {
  NormTensors attn_norm;
  LinearTensors qkv;          // d -> (H + 2 KV) E
  at::Tensor q_norm, k_norm;  // [K, E]
  LinearTensors attn_gate;    // d -> H E
  LinearTensors o;            // H E -> d
  NormTensors attn_post_norm;
  NormTensors mlp_norm;
  LinearTensors up;    // d -> 2 F, gate and up, or d -> F
  LinearTensors down;  // F -> d
  NormTensors mlp_post_norm;
};

struct ModelTensors {
  at::Tensor embed;      // [K, V, d]
  at::Tensor positions;  // [K, T, d]
  NormTensors embed_norm;
  std::vector<LayerTensors> layers;
  NormTensors final_norm;
  LinearTensors lm_head;  // d -> V; its weight is the embedding when tied
};

// Gains, biases and positions come from `vectors` (float32), the matrices from `matrices`: the
// same buffer, or its bf16 copy.
ModelTensors MakeViews(const ModelConfig& model, const Layout& layout, const at::Tensor& matrices,
                       const at::Tensor& vectors);

// Of angle 0 throughout for a model without rotary positions.
RopeTable MakeRope(const ModelConfig& model, at::Device device);

// A norm's input [K, M, d] float32, its scale of each token [K, M] float32, and its output.
struct NormSite {
  at::Tensor in, rstd, out;
};

// What the forward pass leaves for the backward pass and for probes, of one layer. Two names
// may share a tensor: where nothing stands between them, input and output are the same.
struct LayerActivations {
  at::Tensor x;          // [K, M, d] float32, input of the layer
  NormSite attn_norm;    // pre: x -> attn_in; post: x + attention -> x_mid
  at::Tensor attn_in;    // [K, M, d], what queries and the gate are computed from
  at::Tensor kv_in;      // keys and values; attn_in itself, unless that is for queries alone
  at::Tensor qkv_raw;    // [K, M, (H + 2 KV) E], before the heads' norms
  at::Tensor head_rstd;  // [K, M, H + KV] float32
  AttentionKept attn;
  at::Tensor attn_gate;     // [K, M, H E], before the sigmoid
  at::Tensor o_in;          // [K, M, H E], after the gate
  NormSite attn_post_norm;  // of the branch alone
  at::Tensor x_mid;         // [K, M, d] float32, after attention
  NormSite mlp_norm;        // pre: x_mid -> mlp_in; post: x_mid + MLP -> the next layer's x
  at::Tensor mlp_in;
  at::Tensor up;   // [K, M, 2 F or F]
  at::Tensor act;  // [K, M, F]
  NormSite mlp_post_norm;
};

struct WorkspaceLimits {
  int64_t kept_probability_bytes = 0;  // over all layers; above it they are computed twice
  int64_t attention_block_bytes = 0;
  bool in_one_piece = false;  // Ops::AttendsInOnePiece
};

// Every activation and temporary for K members and a fixed number of sequences.
struct Workspace {
  Workspace(const ModelConfig& model, int64_t members, int64_t sequences, at::TensorOptions options,
            const WorkspaceLimits& limits);

  HeadShape heads;              // sequences = K * sequences
  bool heads_by_token = false;  // see AttentionKept
  AttentionRoom attn;
  NormSite embed_norm;
  std::vector<LayerActivations> layers;
  at::Tensor x_final;   // [K, M, d] float32, output of the last layer
  NormSite final_norm;  // x_final -> final_in
  at::Tensor final_in;
  at::Tensor logits;           // [K, M, V]
  std::vector<Panels> panels;  // of the weights, in the order in which a pass comes to them
  // Temporaries, reused from layer to layer.
  at::Tensor qkv, dqkv, dx, dbranch, typed, dh, do_in, dattn, dgate, dact, dup;
};

// What a pass may know of the weights. A pass after another one over the same weights, in the same
// workspace, need not bring them into a product's order again; a copy of them stays in the
// workspace.
enum class WeightReads { kOnce, kFirstOfSeveral, kSameAgain };

// Called in a backward pass when the gradients of this layer, and of all layers after it and the
// head, are final; a tied head's are the embedding's. The last call is before the embedding's.
using LayerDone = std::function<void(int64_t layer)>;

// Runs a batch through the model and adds each member's sum of token losses to `loss_sum` [K]
// float64. With `grads`, also adds the
// gradient of what `terms` make of that sum to the float32 views in `grads`.
void RunModel(const ModelConfig& model, const Ops& ops, const RopeTable& rope,
              const ModelTensors& weights, ModelTensors* grads, const TokenBatch& tokens,
              const LossTerms& terms, Workspace& work, at::Tensor& loss_sum,
              WeightReads reads = WeightReads::kOnce, const LayerDone& layer_done = {});

}  // namespace loglog

#endif  // LOGLOG_TRAINER_MODEL_H_
