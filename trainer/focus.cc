#include "trainer/focus.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "trainer/condensation.h"
#include "trainer/probes.h"

namespace loglog {
namespace {

// Beyond, Phi would not fit beside the model: it has V^2 entries.
constexpr int64_t kMostPhiTokens = 4096;

double Frobenius(const std::vector<double>& singular) {
  double squares = 0;
  for (const double value : singular) squares += value * value;
  return std::sqrt(squares);
}

double Ratio(double a, double b) { return b == 0 ? 0 : a / b; }

void AppendDirections(const std::string& name, const std::vector<double>& singular,
                      std::vector<NamedValue>* values) {
  values->push_back({name + "_alignment", Ratio(singular[0], Frobenius(singular))});
  const double second = singular.size() > 1 ? singular[1] : 0;
  values->push_back({name + "_second", Ratio(second, singular[0])});
}

// rows x (one head's [width, d])^T in double.
std::vector<double> Project(const float* rows, int64_t count, const float* head, int64_t width,
                            int64_t d) {
  std::vector<double> out(static_cast<size_t>(count * width));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) sum += static_cast<double>(rows[i * d + k]) * head[j * d + k];
      out[static_cast<size_t>(i * width + j)] = sum;
    }
  }
  return out;
}

std::vector<double> Phi(const ModelConfig& model, const float* embed, const float* q,
                        const float* k) {
  const int64_t vocab = model.vocab, d = model.d_model, width = model.HeadDim();
  std::vector<double> phi(static_cast<size_t>(vocab * vocab));
  for (int64_t head = 0; head < model.heads; ++head) {
    const int64_t kv_head = head / (model.heads / model.kv_heads);
    const auto asks = Project(embed, vocab, q + head * width * d, width, d);
    const auto answers = Project(embed, vocab, k + kv_head * width * d, width, d);
    for (int64_t i = 0; i < vocab; ++i) {
      for (int64_t j = 0; j < vocab; ++j) {
        double& entry = phi[static_cast<size_t>(i * vocab + j)];
        for (int64_t e = 0; e < width; ++e) {
          entry += asks[static_cast<size_t>(i * width + e)] *
                   answers[static_cast<size_t>(j * width + e)];
        }
      }
    }
  }
  return phi;
}

void AppendPhi(const std::vector<double>& phi, const std::vector<double>& frequencies,
               std::vector<NamedValue>* values) {
  const size_t vocab = frequencies.size();
  double largest = 0;
  for (const double entry : phi) largest = std::max(largest, std::abs(entry));
  // As floats of the size of 1: with a small initialization Phi itself is far below them.
  std::vector<float> scaled;
  for (const double entry : phi) scaled.push_back(static_cast<float>(Ratio(entry, largest)));
  const int64_t size = static_cast<int64_t>(vocab);
  const std::vector<double> singular = SingularValues(scaled.data(), size, size);
  const double norm = Frobenius(singular);
  values->push_back({"focus/phi_norm", norm * largest});
  values->push_back({"focus/phi_alignment", Ratio(singular[0], norm)});
  const size_t frequent = static_cast<size_t>(
      std::max_element(frequencies.begin(), frequencies.end()) - frequencies.begin());
  double favour = 0;
  for (size_t i = 0; i < vocab; ++i) {
    for (size_t j = 0; j < vocab; ++j) {
      const double entry = phi[i * vocab + j];
      favour += j == frequent ? entry : -entry / static_cast<double>(vocab - 1);
    }
  }
  values->push_back({"focus/phi_frequent", favour / static_cast<double>(vocab)});
}

}  // namespace

void AppendFocus(const ModelConfig& model, const Layout& layout, const float* weights,
                 const std::vector<double>& frequencies, std::vector<NamedValue>* values) {
  const auto singular = [&](const TensorSpec& tensor) {
    return SingularValues(weights + tensor.offset, tensor.rows, tensor.cols);
  };
  const TensorSpec& embed = layout.Find(TensorKind::kEmbed);
  AppendDirections("focus/embed", singular(embed), values);
  if (!model.tied_head) {
    AppendDirections("focus/head", singular(layout.Find(TensorKind::kLmHead)), values);
  }
  const float* rows = weights + embed.offset;
  if (model.vocab <= kMostPhiTokens) {
    AppendPhi(Phi(model, rows, weights + layout.Find(TensorKind::kQ).offset,
                  weights + layout.Find(TensorKind::kK).offset),
              frequencies, values);
  }
  if (model.vocab > kMostFocusTokens) return;
  for (int64_t token = 0; token < model.vocab; ++token) {
    double squares = 0;
    for (int64_t j = 0; j < model.d_model; ++j) {
      const double entry = rows[token * model.d_model + j];
      squares += entry * entry;
    }
    values->push_back({"focus/embed_norm/" + std::to_string(token), std::sqrt(squares)});
  }
}

}  // namespace loglog
