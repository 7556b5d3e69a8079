#include "trainer/reference_testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
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
double Value(double x) { return x; }
double Value(const Var& x) { return x.value; }

template <typename T>
using Vec = std::vector<T>;

template <typename T>
class Forward {
 public:
  Forward(const ModelConfig& model, const Vec<T>& weights, ReferenceObservations* seen)
      : model_(model), layout_(MakeLayout(model)), weights_(weights), seen_(seen) {}

  // The sum of the losses of one sequence of T + 1 tokens.
  T SequenceLoss(const int32_t* tokens) {
    using std::exp, std::log;
    const int64_t length = model_.seq_len, d = model_.d_model;
    Vec<Vec<T>> x(length);
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t j = 0; j < d; ++j) x[t].push_back(At(TensorKind::kEmbed, 0, tokens[t], j));
    }
    for (int64_t layer = 0; layer < model_.layers; ++layer) {
      Vec<Vec<T>> h;
      for (const Vec<T>& row : x) {
        if (seen_ != nullptr) seen_->attn_ms[layer] += MeanSquare(row);
        h.push_back(Norm(row, TensorKind::kAttnNorm, layer));
      }
      const Vec<Vec<T>> mixed = Attend(h, layer);
      for (int64_t t = 0; t < length; ++t) AddTo(&x[t], Apply(TensorKind::kO, layer, mixed[t], d));
      for (Vec<T>& row : x) {
        if (seen_ != nullptr) seen_->mlp_ms[layer] += MeanSquare(row);
        AddTo(&row, Mlp(Norm(row, TensorKind::kMlpNorm, layer), layer));
      }
    }
    T total = 0;
    for (int64_t t = 0; t < length; ++t) {
      if (seen_ != nullptr) seen_->final_ms += MeanSquare(x[t]);
      const TensorKind head = model_.tied_head ? TensorKind::kEmbed : TensorKind::kLmHead;
      const Vec<T> logits = Apply(head, 0, Norm(x[t], TensorKind::kFinalNorm, 0), model_.vocab);
      T sum = 0;
      for (const T& logit : logits) sum = sum + exp(logit);
      total = total + log(sum) - logits[tokens[t + 1]];
    }
    return total;
  }

 private:
  const T& At(TensorKind kind, int64_t layer, int64_t row, int64_t col) const {
    const TensorSpec& tensor = layout_.Find(kind, layer);
    return weights_[tensor.offset + row * tensor.cols + col];
  }

  static double MeanSquare(const Vec<T>& x) {
    double sum = 0;
    for (const T& value : x) sum += Value(value) * Value(value);
    return sum / static_cast<double>(x.size());
  }

  static void AddTo(Vec<T>* x, const Vec<T>& y) {
    for (size_t i = 0; i < x->size(); ++i) (*x)[i] = (*x)[i] + y[i];
  }

  Vec<T> Norm(const Vec<T>& x, TensorKind kind, int64_t layer) const {
    using std::sqrt;
    T sum = 0;
    for (const T& value : x) sum = sum + value * value;
    const T root = sqrt(sum / T(static_cast<double>(x.size())) + T(model_.norm_eps));
    Vec<T> y;
    for (size_t j = 0; j < x.size(); ++j) y.push_back(x[j] / root * At(kind, layer, 0, j));
    return y;
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

  Vec<T> Mlp(const Vec<T>& h, int64_t layer) const {
    using std::exp;
    const Vec<T> gate = Apply(TensorKind::kGate, layer, h, model_.d_ff);
    const Vec<T> up = Apply(TensorKind::kUp, layer, h, model_.d_ff);
    Vec<T> act;
    for (size_t j = 0; j < gate.size(); ++j) {
      act.push_back(gate[j] / (T(1) + exp(T(0) - gate[j])) * up[j]);
    }
    return Apply(TensorKind::kDown, layer, act, model_.d_model);
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

  Vec<Vec<T>> Attend(const Vec<Vec<T>>& h, int64_t layer) {
    using std::exp;
    const int64_t length = model_.seq_len, width = model_.HeadDim();
    Vec<Vec<T>> q, k, v, out(length);
    for (int64_t t = 0; t < length; ++t) {
      q.push_back(Apply(TensorKind::kQ, layer, h[t], model_.d_model));
      k.push_back(Apply(TensorKind::kK, layer, h[t], model_.KvDim()));
      v.push_back(Apply(TensorKind::kV, layer, h[t], model_.KvDim()));
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
          }
          weight.push_back(exp(logit));
          total = total + weight.back();
        }
        if (seen_ != nullptr && t > 0) {
          for (const T& w : weight) {
            const double p = Value(w) / Value(total);
            seen_->entropy[layer] -= p * std::log(p);
          }
          seen_->first_token_mass[layer] += Value(weight[0]) / Value(total);
        }
        for (int64_t e = 0; e < width; ++e) {
          T sum = 0;
          for (int64_t s = 0; s <= t; ++s) sum = sum + weight[s] / total * v[s][kv * width + e];
          out[t].push_back(sum);
        }
      }
    }
    return out;
  }

  const ModelConfig& model_;
  Layout layout_;
  const Vec<T>& weights_;
  ReferenceObservations* seen_;
};

template <typename T>
T BatchLoss(const ModelConfig& model, const Vec<T>& weights, const std::vector<int32_t>& tokens,
            ReferenceObservations* seen) {
  const int64_t width = model.seq_len + 1;
  const int64_t count = static_cast<int64_t>(tokens.size()) / width;
  Forward<T> forward(model, weights, seen);
  T total = 0;
  for (int64_t i = 0; i < count; ++i) {
    total = total + forward.SequenceLoss(tokens.data() + i * width);
  }
  return total / T(static_cast<double>(count * model.seq_len));
}

}  // namespace

double ReferenceLoss(const ModelConfig& model, const std::vector<double>& weights,
                     const std::vector<int32_t>& tokens, ReferenceObservations* seen) {
  if (seen == nullptr) return BatchLoss<double>(model, weights, tokens, nullptr);
  const size_t layers = static_cast<size_t>(model.layers);
  *seen = {.entropy = std::vector<double>(layers),
           .first_token_mass = std::vector<double>(layers),
           .max_logit = std::vector<double>(layers, -1e300),
           .attn_ms = std::vector<double>(layers),
           .mlp_ms = std::vector<double>(layers)};
  const double loss = BatchLoss<double>(model, weights, tokens, seen);
  const double sequences = static_cast<double>(tokens.size()) / (model.seq_len + 1.0);
  const double queries = sequences * static_cast<double>(model.heads * (model.seq_len - 1));
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
                                           const std::vector<int32_t>& tokens) {
  std::vector<Node> nodes;
  tape = &nodes;
  std::vector<Var> variables;
  for (const double weight : weights) variables.emplace_back(weight, -1, 0, -1, 0);
  const Var loss = BatchLoss<Var>(model, variables, tokens, nullptr);
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

ReferenceAdamW::ReferenceAdamW(const ModelConfig& model, const TrainConfig& train)
    : layout_(MakeLayout(model)), train_(train), m_(layout_.floats), v_(layout_.floats) {}

double ReferenceAdamW::Step(int64_t step, const std::vector<double>& gradient,
                            std::vector<double>* weights) {
  double squares = 0;
  for (const double g : gradient) squares += g * g;
  const double norm = std::sqrt(squares);
  const double scale = train_.clip > 0 && norm > train_.clip ? train_.clip / norm : 1;
  const double lr = train_.lr * LearningRateShare(train_, step);
  const double decay = train_.decay == DecayMode::kCoupled ? lr * train_.weight_decay
                                                           : train_.weight_decay * lr / train_.lr;
  const double t = static_cast<double>(step) + 1;
  for (const TensorSpec& tensor : layout_.tensors) {
    const bool decays =
        !IsGain(tensor.kind) && (tensor.kind != TensorKind::kEmbed || train_.decay_embed);
    for (int64_t i = tensor.offset; i < tensor.offset + tensor.size(); ++i) {
      const double g = gradient[i] * scale;
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
