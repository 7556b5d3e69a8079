// The measures of focus and dilution against the formulas in plain double loops.
#include "trainer/focus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "trainer/reference_testing.h"

namespace loglog {
namespace {

using Matrix = std::vector<std::vector<double>>;

ModelConfig OneLayer(int64_t heads, int64_t kv_heads) {
  return {.layers = 1,
          .d_model = 8,
          .heads = heads,
          .kv_heads = kv_heads,
          .d_ff = 4,
          .vocab = 5,
          .seq_len = 6,
          .norm = NormKind::kNone,
          .mlp = MlpKind::kNone,
          .positions = Positions::kNone};
}

Matrix MatrixOf(const std::vector<double>& flat, const TensorSpec& tensor) {
  Matrix matrix;
  for (int64_t i = 0; i < tensor.rows; ++i) {
    const auto begin = flat.begin() + tensor.offset + i * tensor.cols;
    matrix.emplace_back(begin, begin + tensor.cols);
  }
  return matrix;
}

// a b^T
Matrix TimesTransposed(const Matrix& a, const Matrix& b) {
  Matrix out(a.size(), std::vector<double>(b.size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) {
      for (size_t k = 0; k < a[i].size(); ++k) out[i][j] += a[i][k] * b[j][k];
    }
  }
  return out;
}

double Norm(const Matrix& matrix) {
  double squares = 0;
  for (const auto& row : matrix) {
    for (const double x : row) squares += x * x;
  }
  return std::sqrt(squares);
}

// The two largest singular values: power iteration on a a^T, then again without what it found.
std::pair<double, double> TopTwo(const Matrix& a) {
  Matrix gram = TimesTransposed(a, a);
  double found[2] = {};
  for (double& value : found) {
    std::vector<double> x(gram.size(), 1.0);
    x[0] = 1.5;
    double size = 0;
    for (int round = 0; round < 20000; ++round) {
      std::vector<double> y(x.size());
      for (size_t i = 0; i < x.size(); ++i) {
        for (size_t j = 0; j < x.size(); ++j) y[i] += gram[i][j] * x[j];
      }
      size = 0;
      for (const double entry : y) size += entry * entry;
      size = std::sqrt(size);
      if (size == 0) break;
      for (size_t i = 0; i < x.size(); ++i) x[i] = y[i] / size;
    }
    value = std::sqrt(size);
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t j = 0; j < x.size(); ++j) gram[i][j] -= size * x[i] * x[j];
    }
  }
  return {found[0], found[1]};
}

// Phi by its definition, the heads of the keys repeated for the queries that share them.
Matrix PlainPhi(const ModelConfig& model, const Matrix& embed, const Matrix& q, const Matrix& k) {
  Matrix keys;
  for (int64_t row = 0; row < model.QDim(); ++row) {
    const int64_t head = row / model.HeadDim() / (model.heads / model.kv_heads);
    keys.push_back(k[static_cast<size_t>(head * model.HeadDim() + row % model.HeadDim())]);
  }
  return TimesTransposed(TimesTransposed(embed, q), TimesTransposed(embed, keys));
}

TEST(Focus, EqualsTheFormulas) {
  for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{1, 1}, {2, 2}, {4, 2}}) {
    const ModelConfig model = OneLayer(heads, kv_heads);
    MemberConfig member = TinyMember(model, 1, 1, 3 + heads);
    member.init.sigma = heads == 1 ? 1e-3 : 0.7;  // a small one, as the paper has it, too
    Engine engine({member}, {});
    engine.InitWeights();
    const std::vector<double> frequencies = {0.1, 0.2, 0.5, 0.15, 0.05};
    engine.SetTokenFrequencies(frequencies);
    const auto tokens = RandomTokens(model, 2, 9);
    const auto values = engine.Probe(0, tokens.data(), 2);
    const auto flat = ReadFlat(engine, model, 0, "weights");
    const Layout layout = MakeLayout(model);
    const auto matrix = [&](TensorKind kind) { return MatrixOf(flat, layout.Find(kind)); };
    const auto near = [&](const std::string& name, double expected) {
      EXPECT_NEAR(ValueOf(values, name), expected, 2e-5 * std::abs(expected)) << name;
    };
    const Matrix embed = matrix(TensorKind::kEmbed);
    for (const auto& [name, table] :
         {std::pair<std::string, Matrix>{"embed", embed}, {"head", matrix(TensorKind::kLmHead)}}) {
      const auto [first, second] = TopTwo(table);
      near("focus/" + name + "_alignment", first / Norm(table));
      near("focus/" + name + "_second", second / first);
    }
    const Matrix q = matrix(TensorKind::kQ), k = matrix(TensorKind::kK);
    const Matrix phi = PlainPhi(model, embed, q, k);
    near("focus/phi_norm", Norm(phi));
    near("focus/phi_alignment", TopTwo(phi).first / Norm(phi));
    double favour = 0;
    for (const auto& row : phi) {
      favour += (row[2] - (row[0] + row[1] + row[3] + row[4]) / 4) / 5;
    }
    near("focus/phi_frequent", favour);
    for (size_t token = 0; token < 5; ++token) {
      near("focus/embed_norm/" + std::to_string(token), Norm({embed[token]}));
    }
    // Attention of each head by hand: softmax over the keys so far of Phi_h / sqrt(width).
    std::vector<double> mass(5), share(5);
    double queries = 0;
    const size_t width = static_cast<size_t>(model.HeadDim());
    for (size_t head = 0; head < static_cast<size_t>(heads); ++head) {
      const size_t kv = head / static_cast<size_t>(heads / kv_heads);
      const Matrix own = TimesTransposed(
          TimesTransposed(embed, Matrix(q.begin() + head * width, q.begin() + (head + 1) * width)),
          TimesTransposed(embed, Matrix(k.begin() + kv * width, k.begin() + (kv + 1) * width)));
      for (size_t s = 0; s < 2; ++s) {
        const int32_t* sequence = &tokens[s * 7];
        for (size_t t = 1; t < 6; ++t) {
          double total = 0;
          const auto weight = [&](size_t i) {
            return std::exp(own[sequence[t]][sequence[i]] / std::sqrt(double(width)));
          };
          for (size_t i = 0; i <= t; ++i) total += weight(i);
          for (size_t i = 0; i <= t; ++i) {
            mass[sequence[i]] += weight(i) / total;
            share[sequence[i]] += 1.0 / static_cast<double>(t + 1);
          }
          queries += 1;
        }
      }
    }
    for (size_t token = 0; token < 5; ++token) {
      near("focus/mass/" + std::to_string(token), mass[token] / queries);
      near("focus/share/" + std::to_string(token), share[token] / queries);
    }
  }
}

TEST(Focus, KnowsRankOneAndZero) {
  const ModelConfig model = OneLayer(1, 1);
  const Layout layout = MakeLayout(model);
  std::vector<float> weights(static_cast<size_t>(layout.floats));
  const std::vector<double> even(5, 1.0);
  std::vector<NamedValue> values;
  AppendFocus(model, layout, weights.data(), even, &values);
  for (const NamedValue& value : values) EXPECT_EQ(value.value, 0) << value.name;
  const TensorSpec& embed = layout.Find(TensorKind::kEmbed);
  for (int64_t i = 0; i < embed.size(); ++i) {
    weights[embed.offset + i] = static_cast<float>((1 + i / 8) * (i % 8 - 3.5));
  }
  values.clear();
  AppendFocus(model, layout, weights.data(), even, &values);
  EXPECT_NEAR(ValueOf(values, "focus/embed_alignment"), 1, 1e-12);
  EXPECT_NEAR(ValueOf(values, "focus/embed_second"), 0, 1e-6);
}

TEST(Focus, IsOfOneLayerOnly) {
  ModelConfig model = OneLayer(1, 1);
  model.layers = 2;
  Engine engine({TinyMember(model, 1, 1, 3)}, {});
  engine.InitWeights();
  for (const NamedValue& value : engine.Probe(0, RandomTokens(model, 1, 9).data(), 1)) {
    EXPECT_NE(value.name.rfind("focus/", 0), 0u) << value.name;
  }
}

}  // namespace
}  // namespace loglog
