#include "trainer/reference_testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "trainer/schedule.h"

namespace loglog {
namespace {

// A scalar whose operations are recorded on a tape: each node holds its two parents and the
// derivatives with respect to them.
struct Node {
  int parent[2];
  double slope[2];
};
std::vector<Node>* tape = nullptr;

struct Var {
  double value = 0;
  int node = -1;

  Var() = default;
  Var(double v) : value(v) {}  // NOLINT: constants mix with variables
  Var(double v, int a, double da, int b, double db)
      : value(v), node(static_cast<int>(tape->size())) {
    tape->push_back({{a, b}, {da, db}});
  }
};

Var operator+(const Var& a, const Var& b) { return {a.value + b.value, a.node, 1, b.node, 1}; }
Var operator-(const Var& a, const Var& b) { return {a.value - b.value, a.node, 1, b.node, -1}; }
Var operator*(const Var& a, const Var& b) {
  return {a.value * b.value, a.node, b.value, b.node, a.value};
}
Var operator/(const Var& a, const Var& b) {
  return {a.value / b.value, a.node, 1 / b.value, b.node, -a.value / (b.value * b.value)};
}
Var exp(const Var& a) {
  const double e = std::exp(a.value);
  return {e, a.node, e, -1, 0};
}
Var log(const Var& a) { return {std::log(a.value), a.node, 1 / a.value, -1, 0}; }
Var sqrt(const Var& a) {
  const double root = std::sqrt(a.value);
  return {root, a.node, 0.5 / root, -1, 0};
}
Var erf(const Var& a) {
  return {std::erf(a.value), a.node, 2 / std::sqrt(std::acos(-1)) * std::exp(-a.value * a.value),
          -1, 0};
}
double Value(double x) { return x; }
double Value(const Var& x) { return x.value; }

template <typename T>
using Vec = std::vector<T>;

template <typename T>
class Forward {
 public:
  Forward(const ModelConfig& model, const Vec<T>& weights, ReferenceObservations* seen)
      : model_(model),
        post_(model.norm_place == NormPlace::kPost),
        layout_(MakeLayout(model)),
        weights_(weights),
        seen_(seen) {}

  // The sum over the predicted tokens of one sequence of T + 1 tokens of their losses, and of
  // z_loss times the squared log normalizers. A token below 0 is ~id and not predicted.
  T SequenceLoss(const int32_t* tokens, double z_loss) {
    using std::exp, std::log;
    const int64_t length = model_.seq_len;
    Vec<Vec<T>> x;
    for (int64_t t = 0; t < length; ++t) x.push_back(Embed(Id(tokens[t]), t));
    for (int64_t layer = 0; layer < model_.layers; ++layer) RunLayer(layer, &x);
    T total = 0;
    for (int64_t t = 0; t < length; ++t) {
      if (seen_ != nullptr) seen_->final_ms += MeanSquare(x[t]);
      if (tokens[t + 1] < 0) continue;
      const TensorKind head = model_.tied_head ? TensorKind::kEmbed : TensorKind::kLmHead;
      const Vec<T> in = post_ ? x[t] : Norm(x[t], TensorKind::kFinalNorm, 0);
      Vec<T> logits = Apply(head, 0, in, model_.vocab);
      if (model_.head_bias) AddTo(&logits, Bias(TensorKind::kLmHead, 0));
      T sum = 0;
      for (const T& logit : logits) sum = sum + exp(logit);
      const T normalizer = log(sum);
      total = total + normalizer - logits[tokens[t + 1]] + T(z_loss) * normalizer * normalizer;
    }
    return total;
  }

 private:
  static int32_t Id(int32_t token) { return token < 0 ? ~token : token; }

  Vec<T> Embed(int32_t id, int64_t t) const {
    Vec<T> x;
    for (int64_t j = 0; j < model_.d_model; ++j) x.push_back(At(TensorKind::kEmbed, 0, id, j));
    if (model_.embed_norm) x = Norm(x, TensorKind::kEmbedNorm, 0);
    if (model_.positions != Positions::kLearned) return x;
    for (int64_t j = 0; j < model_.d_model; ++j) {
      x[j] = x[j] + At(TensorKind::kPositions, 0, t, j);
    }
    return x;
  }

  void RunLayer(int64_t layer, Vec<Vec<T>>* x) {
    const Vec<Vec<T>> branch = Attend(*x, layer);
    for (size_t t = 0; t < x->size(); ++t) {
      Vec<T>& row = (*x)[t];
      if (seen_ != nullptr) seen_->attn_ms[layer] += MeanSquare(row);
      row = AddBranch(row, branch[t], TensorKind::kAttnNorm, TensorKind::kAttnPostNorm, layer);
      if (model_.mlp == MlpKind::kNone) continue;
      if (seen_ != nullptr) seen_->mlp_ms[layer] += MeanSquare(row);
      const Vec<T> in = post_ ? row : Norm(row, TensorKind::kMlpNorm, layer);
      row = AddBranch(row, Mlp(in, layer), TensorKind::kMlpNorm, TensorKind::kMlpPostNorm, layer);
    }
  }

  Vec<T> AddBranch(Vec<T> x, const Vec<T>& branch, TensorKind norm, TensorKind sandwich,
                   int64_t layer) const {
    AddTo(&x, model_.sandwich_norm ? Norm(branch, sandwich, layer) : branch);
    return post_ ? Norm(x, norm, layer) : x;
  }

  const T& At(TensorKind kind, int64_t layer, int64_t row, int64_t col) const {
    const TensorSpec& tensor = layout_.Find(kind, layer);
    return weights_[tensor.offset + row * tensor.cols + col];
  }

  Vec<T> Bias(TensorKind kind, int64_t layer) const {
    const TensorSpec& tensor = layout_.Find(kind, layer, true);
    return {weights_.begin() + tensor.offset, weights_.begin() + tensor.offset + tensor.size()};
  }

  static double MeanSquare(const Vec<T>& x) {
    double sum = 0;
    for (const T& value : x) sum += Value(value) * Value(value);
    return sum / static_cast<double>(x.size());
  }

  static void AddTo(Vec<T>* x, const Vec<T>& y) {
    for (size_t i = 0; i < x->size(); ++i) (*x)[i] = (*x)[i] + y[i];
  }

  static Vec<T> RmsNorm(const Vec<T>& x, double eps) {
    using std::sqrt;
    T sum = 0;
    for (const T& value : x) sum = sum + value * value;
    const T root = sqrt(sum / T(static_cast<double>(x.size())) + T(eps));
    Vec<T> y;
    for (const T& value : x) y.push_back(value / root);
    return y;
  }

  Vec<T> Norm(Vec<T> x, TensorKind kind, int64_t layer) const {
    if (model_.norm == NormKind::kNone) return x;
    if (model_.norm == NormKind::kLayer) {
      T mean = 0;
      for (const T& value : x) mean = mean + value / T(static_cast<double>(x.size()));
      for (T& value : x) value = value - mean;
    }
    x = RmsNorm(x, model_.norm_eps);
    for (size_t j = 0; j < x.size(); ++j) x[j] = x[j] * At(kind, layer, 0, j);
    if (model_.norm == NormKind::kLayer) AddTo(&x, Bias(kind, layer));
    return x;
  }

  Vec<T> Apply(TensorKind kind, int64_t layer, const Vec<T>& x, int64_t rows) const {
    Vec<T> y;
    for (int64_t i = 0; i < rows; ++i) {
      T sum = 0;
      for (size_t j = 0; j < x.size(); ++j) sum = sum + At(kind, layer, i, j) * x[j];
      y.push_back(sum);
    }
    return y;
  }

  // With its bias, where the model has them.
  Vec<T> Linear(TensorKind kind, int64_t layer, const Vec<T>& x, int64_t rows) const {
    Vec<T> y = Apply(kind, layer, x, rows);
    if (model_.biases) AddTo(&y, Bias(kind, layer));
    return y;
  }

  static T Sigmoid(const T& x) {
    using std::exp;
    return T(1) / (T(1) + exp(T(0) - x));
  }

  static T Activate(MlpKind mlp, const T& x) {
    using std::erf;
    if (mlp == MlpKind::kRelu) return Value(x) > 0 ? x : T(0) * x;
    return T(0.5) * x * (T(1) + erf(x / T(std::sqrt(2.0))));
  }

  Vec<T> Mlp(const Vec<T>& h, int64_t layer) const {
    Vec<T> act = Linear(TensorKind::kUp, layer, h, model_.d_ff);
    if (model_.mlp == MlpKind::kSwiGlu) {
      const Vec<T> gate = Linear(TensorKind::kGate, layer, h, model_.d_ff);
      for (size_t j = 0; j < act.size(); ++j) act[j] = gate[j] * Sigmoid(gate[j]) * act[j];
    } else {
      for (T& value : act) value = Activate(model_.mlp, value);
    }
    return Linear(TensorKind::kDown, layer, act, model_.d_model);
  }

  // Each head under its own norm.
  void NormHeads(Vec<T>* x, TensorKind gain, int64_t layer) const {
    const int64_t width = model_.HeadDim();
    for (size_t head = 0; head < x->size(); head += width) {
      const Vec<T> normed =
          RmsNorm({x->begin() + head, x->begin() + head + width}, model_.norm_eps);
      for (int64_t i = 0; i < width; ++i) (*x)[head + i] = normed[i] * At(gain, layer, 0, i);
    }
  }

  // Pairs (i, i + E / 2) of each head turn by position * theta^(-2 i / E).
  void Rotate(Vec<T>* x, int64_t position) const {
    const int64_t width = model_.HeadDim(), half = width / 2;
    for (size_t head = 0; head < x->size(); head += width) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(position) *
            std::pow(model_.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
        const T a = (*x)[head + i], b = (*x)[head + i + half];
        (*x)[head + i] = a * T(std::cos(angle)) - b * T(std::sin(angle));
        (*x)[head + i + half] = b * T(std::cos(angle)) + a * T(std::sin(angle));
      }
    }
  }

  // Of the stream x, what attention adds to it, the norm before included.
  Vec<Vec<T>> Attend(const Vec<Vec<T>>& x, int64_t layer) {
    using std::exp;
    const int64_t length = model_.seq_len, width = model_.HeadDim();
    Vec<Vec<T>> q, k, v, gate, out(length);
    for (int64_t t = 0; t < length; ++t) {
      const Vec<T> h = post_ ? x[t] : Norm(x[t], TensorKind::kAttnNorm, layer);
      const Vec<T>& kv_in = model_.attn_norm_feeds == AttnNormFeeds::kQ ? x[t] : h;
      q.push_back(Linear(TensorKind::kQ, layer, h, model_.QDim()));
      k.push_back(Linear(TensorKind::kK, layer, kv_in, model_.KvDim()));
      v.push_back(Linear(TensorKind::kV, layer, kv_in, model_.KvDim()));
      if (model_.gated_attention) {
        gate.push_back(Linear(TensorKind::kAttnGate, layer, h, model_.QDim()));
      }
      if (model_.qk_norm) {
        NormHeads(&q[t], TensorKind::kQNorm, layer);
        NormHeads(&k[t], TensorKind::kKNorm, layer);
      }
      if (model_.positions != Positions::kRope) continue;
      Rotate(&q[t], t);
      Rotate(&k[t], t);
    }
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t head = 0; head < model_.heads; ++head) {
        const int64_t kv = head / (model_.heads / model_.kv_heads);
        Vec<T> weight;
        T total = 0;
        for (int64_t s = 0; s <= t; ++s) {
          T dot = 0;
          for (int64_t e = 0; e < width; ++e) {
            dot = dot + q[t][head * width + e] * k[s][kv * width + e];
          }
          const T logit = dot / T(std::sqrt(static_cast<double>(width)));
          if (seen_ != nullptr) {
            seen_->max_logit[layer] = std::max(seen_->max_logit[layer], Value(logit));
            double& own = seen_->head_max_logit[layer * model_.heads + head];
            own = std::max(own, Value(logit));
          }
          weight.push_back(exp(logit));
          total = total + weight.back();
        }
        if (seen_ != nullptr && t > 0) {
          for (const T& w : weight) {
            const double p = Value(w) / Value(total);
            seen_->entropy[layer] -= p * std::log(p);
            seen_->head_entropy[layer * model_.heads + head] -= p * std::log(p);
          }
          const double first = Value(weight[0]) / Value(total);
          seen_->first_token_mass[layer] += first;
          seen_->head_first_token_mass[layer * model_.heads + head] += first;
        }
        for (int64_t e = 0; e < width; ++e) {
          T sum = 0;
          for (int64_t s = 0; s <= t; ++s) sum = sum + weight[s] / total * v[s][kv * width + e];
          out[t].push_back(sum);
        }
      }
    }
    for (int64_t t = 0; t < length; ++t) {
      for (size_t j = 0; model_.gated_attention && j < out[t].size(); ++j) {
        out[t][j] = out[t][j] * Sigmoid(gate[t][j]);
      }
      out[t] = Linear(TensorKind::kO, layer, out[t], model_.d_model);
    }
    return out;
  }

  const ModelConfig& model_;
  bool post_;
  Layout layout_;
  const Vec<T>& weights_;
  ReferenceObservations* seen_;
};

template <typename T>
T BatchLoss(const ModelConfig& model, const Vec<T>& weights, const std::vector<int32_t>& tokens,
            double z_loss, ReferenceObservations* seen) {
  const int64_t width = model.seq_len + 1;
  const int64_t count = static_cast<int64_t>(tokens.size()) / width;
  Forward<T> forward(model, weights, seen);
  T total = 0;
  double predicted = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t* sequence = tokens.data() + i * width;
    total = total + forward.SequenceLoss(sequence, z_loss);
    predicted += static_cast<double>(
        std::count_if(sequence + 1, sequence + width, [](int32_t token) { return token >= 0; }));
  }
  return total / T(predicted);
}

}  // namespace

double ReferenceLoss(const ModelConfig& model, const std::vector<double>& weights,
                     const std::vector<int32_t>& tokens, ReferenceObservations* seen) {
  if (seen == nullptr) return BatchLoss<double>(model, weights, tokens, 0, nullptr);
  const size_t layers = static_cast<size_t>(model.layers);
  const size_t heads = layers * static_cast<size_t>(model.heads);
  *seen = {.entropy = std::vector<double>(layers),
           .first_token_mass = std::vector<double>(layers),
           .max_logit = std::vector<double>(layers, -1e300),
           .head_entropy = std::vector<double>(heads),
           .head_first_token_mass = std::vector<double>(heads),
           .head_max_logit = std::vector<double>(heads, -1e300),
           .attn_ms = std::vector<double>(layers),
           .mlp_ms = std::vector<double>(layers)};
  const double loss = BatchLoss<double>(model, weights, tokens, 0, seen);
  const double sequences = static_cast<double>(tokens.size()) / (model.seq_len + 1.0);
  const double queries = sequences * static_cast<double>(model.heads * (model.seq_len - 1));
  for (size_t i = 0; i < heads; ++i) {
    seen->head_entropy[i] /= queries / static_cast<double>(model.heads);
    seen->head_first_token_mass[i] /= queries / static_cast<double>(model.heads);
  }
  for (size_t i = 0; i < layers; ++i) {
    seen->entropy[i] /= queries;
    seen->first_token_mass[i] /= queries;
    seen->attn_ms[i] /= sequences * static_cast<double>(model.seq_len);
    seen->mlp_ms[i] /= sequences * static_cast<double>(model.seq_len);
  }
  seen->final_ms /= sequences * static_cast<double>(model.seq_len);
  return loss;
}

ReferenceGradient ReferenceLossAndGradient(const ModelConfig& model,
                                           const std::vector<double>& weights,
                                           const std::vector<int32_t>& tokens, double z_loss) {
  std::vector<Node> nodes;
  tape = &nodes;
  std::vector<Var> variables;
  for (const double weight : weights) variables.emplace_back(weight, -1, 0, -1, 0);
  const Var loss = BatchLoss<Var>(model, variables, tokens, z_loss, nullptr);
  std::vector<double> adjoint(nodes.size());
  adjoint[loss.node] = 1;
  for (int i = loss.node; i >= 0; --i) {
    for (int side = 0; side < 2; ++side) {
      if (nodes[i].parent[side] >= 0) {
        adjoint[nodes[i].parent[side]] += adjoint[i] * nodes[i].slope[side];
      }
    }
  }
  tape = nullptr;
  adjoint.resize(weights.size());
  return {.loss = loss.value, .gradient = adjoint};
}

namespace {

bool Decays(TensorGroup group, const TrainConfig& train) {
  const std::map<TensorGroup, bool> mask = {{TensorGroup::kEmbed, train.decay_embed},
                                            {TensorGroup::kLmHead, train.decay_lm_head},
                                            {TensorGroup::kQk, train.decay_qk},
                                            {TensorGroup::kVo, train.decay_vo},
                                            {TensorGroup::kAttnGate, train.decay_attn_gate},
                                            {TensorGroup::kMlp, train.decay_mlp},
                                            {TensorGroup::kNorm, train.decay_norm},
                                            {TensorGroup::kBias, train.decay_bias}};
  return mask.at(group);
}

}  // namespace

ReferenceAdamW::ReferenceAdamW(const ModelConfig& model, const TrainConfig& train)
    : d_model_(model.d_model),
      layout_(MakeLayout(model)),
      train_(train),
      m_(layout_.floats),
      v_(layout_.floats) {}

double ReferenceAdamW::Step(int64_t step, const std::vector<double>& gradient,
                            std::vector<double>* weights) {
  double squares = 0;
  for (const double g : gradient) squares += g * g;
  const double norm = std::sqrt(squares);
  const double scale = train_.clip > 0 && norm > train_.clip ? train_.clip / norm : 1;
  const double base = train_.lr * LearningRateShare(train_, step);
  const double progress = static_cast<double>(step) / static_cast<double>(train_.Steps());
  const bool in_window = progress >= train_.decay_begin && progress < train_.decay_end;
  const double lambda =
      train_.weight_decay *
      (train_.decay_windows.empty() ? 1 : DecayFactor(train_.decay_windows, step, train_.Steps()));
  const double t = static_cast<double>(step) + 1;
  for (const TensorSpec& tensor : layout_.tensors) {
    const bool hidden = tensor.is_matrix() && tensor.group() != TensorGroup::kEmbed;
    const double lr =
        train_.mup_base_width && hidden
            ? base * static_cast<double>(*train_.mup_base_width) / static_cast<double>(d_model_)
            : base;
    const double decay = train_.decay == DecayMode::kCoupled       ? lr * lambda
                         : train_.decay == DecayMode::kIndependent ? lambda * base / train_.lr
                                                                   : 0;
    const bool decays = in_window && Decays(tensor.group(), train_);
    const double penalty = decays && train_.decay == DecayMode::kGradient ? lambda : 0;
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
      const double g = gradient[i] * scale + penalty * (*weights)[i];
      m_[i] = train_.beta1 * m_[i] + (1 - train_.beta1) * g;
      v_[i] = train_.beta2 * v_[i] + (1 - train_.beta2) * g * g;
      const double m_hat = m_[i] / (1 - std::pow(train_.beta1, t));
      const double v_hat = v_[i] / (1 - std::pow(train_.beta2, t));
      const double adam = m_hat / (std::sqrt(v_hat) + train_.adam_eps);
      (*weights)[i] = (*weights)[i] - lr * adam - (decays ? decay * (*weights)[i] : 0);
    }
  }
  return norm;
}

MemberConfig TinyMember(const ModelConfig& model, int64_t sequences, int64_t steps, int64_t seed) {
  MemberConfig member;
  member.seed = seed;
  member.model = model;
  member.train.batch_tokens = sequences * model.seq_len;
  member.train.tokens = member.train.batch_tokens * steps;
  member.train.lr = 1e-3;
  return member;
}

std::vector<int32_t> RandomTokens(const ModelConfig& model, int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count * (model.seq_len + 1)));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % model.vocab);
  return tokens;
}

std::vector<double> ReadFlat(const Engine& engine, const ModelConfig& model, int member,
                             const std::string& kind) {
  const Layout layout = MakeLayout(model);
  std::vector<double> flat(static_cast<size_t>(layout.floats));
  const std::string prefix = std::to_string(member) + "/" + kind + "/";
  const auto& buffers = engine.state_buffers();
  for (size_t i = 0; i < buffers.size(); ++i) {
    for (const TensorSpec& tensor : layout.tensors) {
      if (buffers[i].name != prefix + tensor.name) continue;
      std::vector<float> values(static_cast<size_t>(tensor.size()));
      EXPECT_EQ(buffers[i].bytes, tensor.size() * 4);
      engine.ReadState(i, values.data());
      std::copy(values.begin(), values.end(), flat.begin() + tensor.offset);
    }
  }
  return flat;
}

std::vector<char> ReadAll(const Engine& engine, int member) {
  std::vector<char> all;
  const std::string prefix = std::to_string(member) + "/";
  const auto& buffers = engine.state_buffers();
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].name.rfind(prefix, 0) != 0) continue;
    std::vector<char> bytes(static_cast<size_t>(buffers[i].bytes));
    engine.ReadState(i, bytes.data());
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

double ValueOf(const std::vector<NamedValue>& values, const std::string& name) {
  for (const NamedValue& value : values) {
    if (value.name == name) return value.value;
  }
  ADD_FAILURE() << "no value named " << name;
  return std::nan("");
}

double RelativeError(const std::vector<double>& a, const std::vector<double>& b, int64_t begin,
                     int64_t size, double floor) {
  double difference = 0, scale = 0;
  for (int64_t i = begin; i < begin + size; ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    scale += b[i] * b[i];
  }
  return std::sqrt(difference) / std::max(std::sqrt(scale), floor);
}

}  // namespace loglog
