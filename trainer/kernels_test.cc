// Every instruction set's loops against plain double arithmetic.
#include "trainer/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace loglog {
namespace {

constexpr double kTolerance = 2e-6;

std::vector<float> Random(size_t count, uint32_t seed, double scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(normal(random));
  return values;
}

class KernelsTest : public testing::TestWithParam<NamedKernels> {
 protected:
  const Kernels& kernels() const { return *GetParam().kernels; }
};

// Widths around the 16 lanes, and one that is larger than any unrolled block.
constexpr int64_t kWidths[] = {1, 2, 15, 16, 17, 33, 176, 1000};

TEST_P(KernelsTest, RmsNorm) {
  for (const int64_t width : kWidths) {
    const int64_t rows = 3;
    const auto x = Random(rows * width, 1), gain = Random(width, 2);
    std::vector<float> y(rows * width), rstd(rows);
    kernels().rms_norm(x.data(), gain.data(), 1e-3f, rows, width, y.data(), rstd.data());
    for (int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) squares += std::pow(x[r * width + i], 2);
      const double expected = 1 / std::sqrt(squares / width + 1e-3);
      EXPECT_NEAR(rstd[r], expected, kTolerance * expected);
      for (int64_t i = 0; i < width; ++i) {
        const double value = x[r * width + i] * expected * gain[i];
        EXPECT_NEAR(y[r * width + i], value, kTolerance * (1 + std::abs(value)));
      }
    }
  }
}

TEST_P(KernelsTest, CausalSoftmaxAndItsGradient) {
  for (const int64_t length : {1, 5, 16, 40}) {
    const int64_t blocks = 2;
    const size_t size = blocks * length * length;
    const auto scores = Random(size, 3, 4), upstream = Random(size, 4);
    auto p = scores, dp = upstream;
    const double scale = 0.7;
    kernels().causal_softmax(p.data(), blocks, length, 0.7f);
    kernels().causal_softmax_backward(p.data(), dp.data(), blocks, length, 0.7f);
    for (int64_t row = 0; row < blocks * length; ++row) {
      const int64_t keys = row % length + 1;
      double total = 0, dot = 0;
      for (int64_t i = 0; i < keys; ++i) total += std::exp(scale * scores[row * length + i]);
      const auto probability = [&](int64_t i) {
        return i < keys ? std::exp(scale * scores[row * length + i]) / total : 0;
      };
      for (int64_t i = 0; i < keys; ++i) dot += probability(i) * upstream[row * length + i];
      for (int64_t i = 0; i < length; ++i) {
        EXPECT_NEAR(p[row * length + i], probability(i), kTolerance);
        const double gradient = probability(i) * (upstream[row * length + i] - dot) * scale;
        EXPECT_NEAR(dp[row * length + i], gradient, 4 * kTolerance);
      }
    }
  }
}

TEST_P(KernelsTest, SoftmaxTakesExtremeScores) {
  std::vector<float> scores = {0, 0, 3e4f, -3e4f};
  kernels().causal_softmax(scores.data(), 1, 2, 1);
  EXPECT_EQ(scores[0], 1);
  EXPECT_EQ(scores[1], 0);
  EXPECT_EQ(scores[2], 1);
  EXPECT_LT(scores[3], 1e-37);
}

// A matrix of doubles by its entries' strides.
struct Entries {
  const std::vector<float>& values;
  int64_t row, col;
  double operator()(int64_t i, int64_t j) const {
    return values[static_cast<size_t>(i * row + j * col)];
  }
};

// Sizes at, below and above a tile's and a block's, stored by rows, by columns and otherwise.
TEST_P(KernelsTest, MatMul) {
  const MatMulShape shapes[] = {{1, 1, 1},     {12, 32, 16},  {13, 33, 17},  {5, 16, 3},
                                {24, 48, 384}, {37, 7, 385},  {265, 65, 9},  {3, 1030, 5},
                                {700, 40, 20}, {14, 40, 800}, {30, 200, 512}};
  std::vector<float> scratch(kMatMulScratch);
  for (const MatMulShape& shape : shapes) {
    const int64_t rows = shape.rows, cols = shape.cols, inner = shape.inner;
    const auto a = Random(rows * inner * 2, 11), b = Random(inner * cols * 2, 12);
    const auto base = Random(rows * cols, 13);
    const Entries a_views[] = {{a, inner, 1}, {a, 1, rows}, {a, 2 * inner, 2}};
    const Entries b_views[] = {{b, cols, 1}, {b, 1, inner}, {b, 2 * cols, 2}};
    for (const Entries& x : a_views) {
      for (const Entries& y : b_views) {
        for (const bool adds : {false, true}) {
          SCOPED_TRACE(testing::Message() << rows << "x" << cols << "x" << inner << " a " << x.row
                                          << " b " << y.row << " adds " << adds);
          // Rows of out are further apart than they are long, and what lies between stays.
          const int64_t out_row = cols + 3;
          std::vector<float> out(rows * out_row, 7);
          const MatrixView right = {b.data(), y.row, y.col};
          const auto multiply = [&](const MatrixView& read, const float* panels, float* to) {
            kernels().matmul(shape, {a.data(), x.row, x.col}, read, panels,
                             adds ? base.data() : nullptr, cols, to, out_row, scratch.data());
          };
          multiply(right, nullptr, out.data());
          std::vector<float> panels(PanelFloats(inner, cols)), again(rows * out_row, 7);
          kernels().pack_panels(right, inner, cols, panels.data());
          multiply({nullptr, y.row, y.col}, panels.data(), again.data());
          EXPECT_EQ(again, out);
          double worst = 0;
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < cols; ++j) {
              double sum = adds ? base[i * cols + j] : 0, size = 1;
              for (int64_t k = 0; k < inner; ++k) {
                sum += x(i, k) * y(k, j);
                size += std::abs(x(i, k) * y(k, j));
              }
              worst = std::max(worst, std::abs(out[i * out_row + j] - sum) / size);
            }
            for (int64_t j = cols; j < out_row; ++j) ASSERT_EQ(out[i * out_row + j], 7);
          }
          EXPECT_LT(worst, kTolerance);
        }
      }
    }
  }
}

// What a row's sums are does not depend on the rows and columns that are computed with them.
TEST_P(KernelsTest, MatMulOfAPartIsThePart) {
  const int64_t rows = 29, cols = 70, inner = 400;
  const auto a = Random(rows * inner, 14), b = Random(inner * cols, 15);
  std::vector<float> scratch(kMatMulScratch), all(rows * cols), part(rows * cols);
  kernels().matmul({rows, cols, inner}, {a.data(), inner, 1}, {b.data(), cols, 1}, nullptr, nullptr,
                   0, all.data(), cols, scratch.data());
  for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 5}, {5, 24}}) {
    kernels().matmul({count, cols, inner}, {a.data() + first * inner, inner, 1},
                     {b.data(), cols, 1}, nullptr, nullptr, 0, part.data() + first * cols, cols,
                     scratch.data());
  }
  EXPECT_EQ(all, part);
}

TEST_P(KernelsTest, CausalAttentionAndItsGradient) {
  const AttentionShape shapes[] = {{1, 1, 1}, {1, 12, 32}, {2, 13, 5}, {1, 40, 16}, {3, 70, 24}};
  for (const AttentionShape& shape : shapes) {
    const int64_t group = shape.group, length = shape.positions, width = shape.head_dim;
    const size_t queries = group * length * width, keys = length * width;
    const auto q = Random(queries, 21, 2), k = Random(keys, 22), v = Random(keys, 23);
    const auto dout = Random(queries, 24);
    std::vector<float> p(group * length * length, -1), ds = p, out(queries, -1), dq = out;
    std::vector<float> dk(keys, -1), dv = dk, scratch(AttentionScratch(shape));
    kernels().causal_attention(shape, q.data(), k.data(), v.data(), p.data(), out.data(),
                               scratch.data());
    kernels().causal_attention_backward(shape, q.data(), k.data(), v.data(), p.data(), dout.data(),
                                        ds.data(), dq.data(), dk.data(), dv.data(), scratch.data());
    std::vector<double> dq64(queries), dk64(keys), dv64(keys);
    const double scale = 1 / std::sqrt(static_cast<double>(width));
    for (int64_t row = 0; row < group * length; ++row) {
      const int64_t seen = row % length + 1;
      std::vector<double> weights(seen), grads(seen);
      double total = 0, mean = 0;
      for (int64_t i = 0; i < seen; ++i) {
        double score = 0;
        for (int64_t e = 0; e < width; ++e) {
          score += static_cast<double>(q[row * width + e]) * k[i * width + e];
          grads[i] += static_cast<double>(dout[row * width + e]) * v[i * width + e];
        }
        total += weights[i] = std::exp(scale * score);
      }
      for (int64_t i = 0; i < seen; ++i) {
        weights[i] /= total;
        mean += weights[i] * grads[i];
        EXPECT_NEAR(p[row * length + i], weights[i], kTolerance);
      }
      for (int64_t e = 0; e < width; ++e) {
        double sum = 0;
        for (int64_t i = 0; i < seen; ++i) {
          const double slope = weights[i] * (grads[i] - mean) * scale;
          sum += weights[i] * v[i * width + e];
          dq64[row * width + e] += slope * k[i * width + e];
          dk64[i * width + e] += slope * q[row * width + e];
          dv64[i * width + e] += weights[i] * dout[row * width + e];
        }
        EXPECT_NEAR(out[row * width + e], sum, 4 * kTolerance);
      }
    }
    const auto near = [](const std::vector<float>& values, const std::vector<double>& expected) {
      for (size_t i = 0; i < values.size(); ++i) {
        EXPECT_NEAR(values[i], expected[i], 8 * kTolerance * (1 + std::abs(expected[i])));
      }
    };
    near(dq, dq64);
    near(dk, dk64);
    near(dv, dv64);
    auto again = p;
    kernels().causal_attention(shape, q.data(), k.data(), v.data(), again.data(), nullptr,
                               scratch.data());
    EXPECT_EQ(again, p);
  }
}

TEST_P(KernelsTest, SwiGluAndItsGradient) {
  for (const int64_t width : kWidths) {
    const int64_t rows = 2;
    auto in = Random(rows * 2 * width, 5, 3);
    in[0] = 200;  // saturates either way
    in[2 * width] = -200;
    const auto upstream = Random(rows * width, 6);
    std::vector<float> out(rows * width), gradient(rows * 2 * width);
    kernels().swiglu(in.data(), rows, width, out.data());
    kernels().swiglu_backward(upstream.data(), in.data(), rows, width, gradient.data());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        const double g = in[r * 2 * width + i], u = in[r * 2 * width + width + i];
        const double sigmoid = 1 / (1 + std::exp(-g)), d = upstream[r * width + i];
        const auto near = [](double value, double expected) {
          EXPECT_NEAR(value, expected, 4 * kTolerance * (1 + std::abs(expected)));
        };
        near(out[r * width + i], g * sigmoid * u);
        near(gradient[r * 2 * width + i], d * u * (sigmoid + g * sigmoid * (1 - sigmoid)));
        near(gradient[r * 2 * width + width + i], d * g * sigmoid);
      }
    }
  }
}

TEST_P(KernelsTest, CrossEntropyAndItsGradient) {
  for (const int64_t vocab : {2, 15, 64, 1001}) {
    const std::vector<int32_t> targets = {0, static_cast<int32_t>(vocab - 1), 1};
    const auto logits = Random(3 * vocab, 7, 5);
    auto with_gradient = logits, without = logits;
    const double loss =
        kernels().cross_entropy(with_gradient.data(), targets.data(), 3, vocab, 0.25f, 0, true);
    double expected = 0;
    for (int64_t r = 0; r < 3; ++r) {
      double total = 0;
      for (int64_t i = 0; i < vocab; ++i) total += std::exp(logits[r * vocab + i]);
      expected += std::log(total) - logits[r * vocab + targets[r]];
      for (int64_t i = 0; i < vocab; ++i) {
        const double p = std::exp(logits[r * vocab + i]) / total;
        EXPECT_NEAR(with_gradient[r * vocab + i], 0.25 * (p - (i == targets[r])), kTolerance);
      }
    }
    EXPECT_NEAR(loss, expected, kTolerance * expected);
    EXPECT_NEAR(kernels().cross_entropy(without.data(), targets.data(), 3, vocab, 0.25f, 0, false),
                expected, kTolerance * expected);
    EXPECT_EQ(without, logits);
  }
}

TEST_P(KernelsTest, NanIsNotLost) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<int32_t> target = {0};
  for (const size_t place : {0, 3, 20, 39}) {
    auto values = Random(40, 8);
    values[place] = nan;
    auto logits = values;
    EXPECT_TRUE(
        std::isnan(kernels().cross_entropy(logits.data(), target.data(), 1, 40, 1, 0, true)));
    EXPECT_TRUE(std::isnan(kernels().sum_squares(values.data(), 40)));
    std::vector<float> out(20);
    kernels().swiglu(values.data(), 1, 20, out.data());
    EXPECT_TRUE(std::isnan(out[place % 20]));
  }
  std::vector<float> scores = {0, 0, 1, nan};
  kernels().causal_softmax(scores.data(), 1, 2, 1);
  EXPECT_TRUE(std::isnan(scores[2]));
}

TEST_P(KernelsTest, SumsManySquares) {
  const auto values = Random(100003, 9);
  double expected = 0;
  for (const float value : values) expected += static_cast<double>(value) * value;
  EXPECT_NEAR(kernels().sum_squares(values.data(), 100003), expected, 1e-6 * expected);
}

TEST_P(KernelsTest, AdamW) {
  const int64_t count = 5000;
  const AdamWStep step = {.grad_scale = 0.5f,
                          .beta1 = 0.9f,
                          .beta2 = 0.95f,
                          .eps = 1e-3f,
                          .step_size = 0.02f,
                          .inv_sqrt_bias2 = 1.5f,
                          .decay = 0.01f};
  const auto grad = Random(count, 10, 1e-2), weight = Random(count, 11), m = Random(count, 12, 0.1);
  auto v = Random(count, 13, 1e-3);
  for (float& value : v) value = value * value;
  auto new_weight = weight, new_m = m, new_v = v;
  AdamWSums sums;
  kernels().adamw(step, count, grad.data(), new_weight.data(), new_m.data(), new_v.data(), &sums);
  AdamWSums expected;
  for (int64_t i = 0; i < count; ++i) {
    const double g = 0.5 * grad[i];
    const double m_i = 0.9 * m[i] + 0.1 * g, v_i = 0.95 * v[i] + 0.05 * g * g;
    const double change = -0.01 * weight[i] - 0.02 * m_i / (std::sqrt(v_i) * 1.5 + 1e-3);
    EXPECT_NEAR(new_m[i], m_i, 1e-7);
    EXPECT_NEAR(new_v[i], v_i, 1e-6 * v_i + 1e-12);
    EXPECT_NEAR(new_weight[i], weight[i] + change, 2e-6 * (1 + std::abs(change)));
    expected.update_squares += change * change;
    expected.weight_squares += static_cast<double>(weight[i]) * weight[i];
    expected.new_squares += static_cast<double>(new_weight[i]) * new_weight[i];
    expected.below_eps += std::sqrt(v_i) < 1e-3 ? 1 : 0;
  }
  EXPECT_NEAR(sums.update_squares, expected.update_squares, 1e-4 * expected.update_squares);
  EXPECT_NEAR(sums.weight_squares, expected.weight_squares, 1e-5 * expected.weight_squares);
  EXPECT_NEAR(sums.new_squares, expected.new_squares, 1e-5 * expected.new_squares);
  EXPECT_NEAR(sums.below_eps, expected.below_eps, 2);

  auto quiet_weight = weight, quiet_m = m, quiet_v = v;
  kernels().adamw(step, count, grad.data(), quiet_weight.data(), quiet_m.data(), quiet_v.data(),
                  nullptr);
  EXPECT_EQ(quiet_m, new_m);
  EXPECT_EQ(quiet_v, new_v);
  EXPECT_EQ(quiet_weight, new_weight);
}

TEST_P(KernelsTest, HeadsGoThereAndBack) {
  const HeadShape shape = {
      .sequences = 2, .positions = 3, .heads = 4, .kv_heads = 2, .head_dim = 6};
  const auto rows = Random(2 * 3 * 24, 14);
  std::vector<float> heads(rows.size()), back(rows.size());
  kernels().rows_to_heads(rows.data(), shape, heads.data());
  // Sequence 1, head 2, position 1.
  EXPECT_EQ(heads[((1 * 4 + 2) * 3 + 1) * 6], rows[(1 * 3 + 1) * 24 + 2 * 6]);
  kernels().heads_to_rows(heads.data(), shape, back.data());
  EXPECT_EQ(back, rows);

  // Rotating back undoes the rotation.
  const auto qkv = Random(2 * 3 * 48, 15);
  std::vector<float> cos, sin;
  for (int i = 0; i < 3 * 3; ++i) {
    cos.push_back(static_cast<float>(std::cos(0.3 * i)));
    sin.push_back(static_cast<float>(std::sin(0.3 * i)));
  }
  std::vector<float> q(2 * 4 * 3 * 6), k(2 * 2 * 3 * 6), v(k.size()), again(qkv.size());
  kernels().split_heads(qkv.data(), cos.data(), sin.data(), shape, q.data(), k.data(), v.data());
  kernels().split_heads_backward(q.data(), k.data(), v.data(), cos.data(), sin.data(), shape,
                                 again.data());
  for (size_t i = 0; i < qkv.size(); ++i) EXPECT_NEAR(again[i], qkv[i], 1e-6);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, KernelsTest, testing::ValuesIn(RunnableKernels()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace loglog
