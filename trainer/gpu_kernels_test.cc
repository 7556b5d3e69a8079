// The bodies of the GPU's kernels, run on the host, against plain double arithmetic: by one thread
// and by several, in fp32 and in bf16.
#include "trainer/gpu_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "trainer/gpu_context.h"
#include "trainer/gpu_norms.h"
#include "trainer/gpu_updates.h"

namespace loglog {
namespace {

template <typename T>
std::vector<T> Random(int64_t count, uint32_t seed, double scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) Store(value, static_cast<float>(normal(random)));
  return values;
}

template <typename T>
struct Case {
  using Stored = T;
  // What storing a result may cost, relative: half a unit in the last place for bf16.
  static constexpr double kTolerance = sizeof(T) == 2 ? 1.0 / 256 : 4e-6;
};

template <typename T>
class GpuKernelsTest : public testing::Test {
 protected:
  static constexpr double kTolerance = Case<T>::kTolerance;
  static void Near(double value, double expected, double tolerance = kTolerance) {
    EXPECT_NEAR(value, expected, tolerance * (1 + std::abs(expected)));
  }
};
using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(GpuKernelsTest, Types);

constexpr int kThreadCounts[] = {1, 3, 4};
constexpr int64_t kMembers = 2;

TEST(Bf16Test, RoundsToTheNearestEvenAndKeepsNan) {
  const auto rounded = [](float x) {
    Bf16 stored;
    Store(stored, x);
    return Load(stored);
  };
  EXPECT_EQ(rounded(1.0f), 1.0f);
  EXPECT_EQ(rounded(1.0f + 1.0f / 256), 1.0f);              // a tie, down to even
  EXPECT_EQ(rounded(1.0f + 3.0f / 256), 1.0f + 1.0f / 64);  // a tie, up to even
  EXPECT_EQ(rounded(1.0f + 1.1f / 256), 1.0f + 1.0f / 128);
  EXPECT_EQ(rounded(-std::numeric_limits<float>::infinity()),
            -std::numeric_limits<float>::infinity());
  uint32_t bits = 0x7fffffff;
  float nan;
  memcpy(&nan, &bits, sizeof nan);
  EXPECT_TRUE(std::isnan(rounded(nan)));
}

// RMSNorm, and with a bias LayerNorm.
TYPED_TEST(GpuKernelsTest, NormsAndTheirGradients) {
  const int64_t rows = 5, chunk_rows = 2, chunks = 3;
  for (const int threads : kThreadCounts) {
    for (const int64_t width : {1, 7, 64}) {
      for (const bool centered : {false, true}) {
        const int64_t all = kMembers * rows * width, stride = width + 3;
        const auto x = Random<float>(all, 1), gain = Random<float>(kMembers * stride, 2);
        const auto bias = Random<float>(kMembers * stride, 6);
        const auto delta = Random<TypeParam>(all, 3), dy = Random<TypeParam>(all, 4);
        std::vector<TypeParam> y(all);
        std::vector<float> sum(all), rstd(kMembers * rows), mean(kMembers * rows);
        RunOnHost(AddNorm<TypeParam>{x.data(), delta.data(), gain.data(),
                                     centered ? bias.data() : nullptr, 1e-3f, rows, width, stride,
                                     sum.data(), y.data(), rstd.data()},
                  kMembers * rows, threads);
        const auto dx_before = Random<float>(all, 5);
        auto dx = dx_before;
        std::vector<float> parts(kMembers * chunks * width), bias_parts(parts.size());
        std::vector<float> dgain(kMembers * stride, 1.0f), dbias(kMembers * stride, 2.0f);
        RunOnHost(
            NormBackward<TypeParam>{dy.data(), sum.data(), gain.data(), rstd.data(), rows, width,
                                    stride, chunk_rows, chunks, dx.data(), parts.data(),
                                    centered ? bias_parts.data() : nullptr, mean.data()},
            kMembers * chunks, threads);
        RunOnHost(SumParts{parts.data(), chunks, width, stride, dgain.data()}, kMembers * width,
                  threads);
        RunOnHost(SumParts{bias_parts.data(), chunks, width, stride, dbias.data()},
                  kMembers * width, threads);

        std::vector<double> expected_dgain(dgain.size(), 1.0), expected_dbias(dbias.size(), 2.0);
        for (int64_t r = 0; r < kMembers * rows; ++r) {
          const int64_t own = r / rows * stride;
          const auto in = [&](int64_t i) {
            return static_cast<double>(x[r * width + i]) + Load(delta[r * width + i]);
          };
          const auto scaled = [&](int64_t i) {
            return static_cast<double>(Load(dy[r * width + i])) * gain[own + i];
          };
          double middle = 0, squares = 0, dot = 0, shift = 0;
          for (int64_t i = 0; centered && i < width; ++i) middle += in(i) / width;
          const auto off = [&](int64_t i) { return in(i)-middle; };
          for (int64_t i = 0; i < width; ++i) squares += off(i) * off(i);
          const double scale = 1 / std::sqrt(squares / width + 1e-3);
          this->Near(rstd[r], scale, 4e-6);
          for (int64_t i = 0; i < width; ++i) dot += scaled(i) * off(i) * scale;
          for (int64_t i = 0; centered && i < width; ++i) shift += scaled(i) / width;
          for (int64_t i = 0; i < width; ++i) {
            this->Near(sum[r * width + i], in(i), 1e-6);
            const double added = centered ? bias[own + i] : 0;
            this->Near(Load(y[r * width + i]), off(i) * scale * gain[own + i] + added);
            const double d = (scaled(i) - shift - off(i) * scale * dot / width) * scale;
            EXPECT_NEAR(dx[r * width + i], dx_before[r * width + i] + d, 2e-5 * (1 + scale));
            expected_dgain[own + i] += Load(dy[r * width + i]) * off(i) * scale;
            expected_dbias[own + i] += centered ? Load(dy[r * width + i]) : 0;
          }
        }
        for (size_t i = 0; i < dgain.size(); ++i) {
          this->Near(dgain[i], expected_dgain[i], 2e-5);
          this->Near(dbias[i], expected_dbias[i], 1e-5);
        }
      }
    }
  }
}

TYPED_TEST(GpuKernelsTest, WithoutABranchANormLeavesItsInputAlone) {
  const auto x = Random<float>(8, 1), gain = Random<float>(4, 2);
  std::vector<TypeParam> y(8);
  std::vector<float> rstd(2);
  RunOnHost(AddNorm<TypeParam>{x.data(), nullptr, gain.data(), nullptr, 0, 2, 4, 4, nullptr,
                               y.data(), rstd.data()},
            2, 1);
  EXPECT_EQ(x, Random<float>(8, 1));
  this->Near(Load(y[5]), x[5] * rstd[1] * gain[1]);
}

TYPED_TEST(GpuKernelsTest, HeadsAreSplitTurnedAndPutBack) {
  for (const int threads : kThreadCounts) {
    for (const int64_t width : {6, 7}) {  // an odd head's last entry is not turned
      const HeadShape shape = {
          .sequences = 2, .positions = 3, .heads = 4, .kv_heads = 2, .head_dim = width};
      const int64_t half = width / 2, tokens = 6;
      auto qkv = Random<TypeParam>(tokens * 8 * width, 6);
      std::vector<float> cos, sin;
      for (int64_t i = 0; i < 3 * half; ++i) {
        cos.push_back(static_cast<float>(std::cos(0.3 * static_cast<double>(i + 1))));
        sin.push_back(static_cast<float>(std::sin(0.3 * static_cast<double>(i + 1))));
      }
      std::vector<TypeParam> q(tokens * 4 * width), k(tokens * 2 * width), v(k.size());
      const auto split = [&](TypeParam* rows, bool backward) {
        RunOnHost(SplitHeads<TypeParam>{rows, cos.data(), sin.data(), shape, false, backward,
                                        q.data(), k.data(), v.data()},
                  tokens, threads);
      };
      split(qkv.data(), false);
      for (int64_t token = 0; token < tokens; ++token) {
        for (int64_t head = 0; head < 8; ++head) {
          const int64_t s = token / 3, t = token % 3;
          const auto& out = head < 4 ? q : head < 6 ? k : v;
          const int64_t count = head < 4 ? 4 : 2, own = head < 4 ? head : (head - 4) % 2;
          for (int64_t i = 0; i < width; ++i) {
            const auto in = [&](int64_t j) {
              return static_cast<double>(Load(qkv[(token * 8 + head) * width + j]));
            };
            double expected = in(i);
            if (head < 6 && i < 2 * half) {
              const double angle = 0.3 * static_cast<double>(t * half + i % half + 1);
              expected = i < half ? in(i)*std::cos(angle) - in(half + i) * std::sin(angle)
                                  : in(i)*std::cos(angle) + in(i - half) * std::sin(angle);
            }
            this->Near(Load(out[((s * count + own) * 3 + t) * width + i]), expected);
          }
        }
      }
      std::vector<TypeParam> back(qkv.size());
      split(back.data(), true);
      for (size_t i = 0; i < qkv.size(); ++i) {
        this->Near(Load(back[i]), Load(qkv[i]), 4 * this->kTolerance);
      }

      // By token the same numbers lie elsewhere.
      std::vector<TypeParam> q2(q.size()), k2(k.size()), v2(v.size()), back2(qkv.size());
      for (const bool backward : {false, true}) {
        RunOnHost(
            SplitHeads<TypeParam>{backward ? back2.data() : qkv.data(), cos.data(), sin.data(),
                                  shape, true, backward, q2.data(), k2.data(), v2.data()},
            tokens, threads);
      }
      for (int64_t s = 0; s < 2; ++s) {
        for (int64_t t = 0; t < 3; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            for (int64_t head = 0; head < 4; ++head) {
              EXPECT_EQ(Load(q2[((s * 3 + t) * 4 + head) * width + i]),
                        Load(q[((s * 4 + head) * 3 + t) * width + i]));
            }
            EXPECT_EQ(Load(k2[((s * 3 + t) * 2 + 1) * width + i]),
                      Load(k[((s * 2 + 1) * 3 + t) * width + i]));
            EXPECT_EQ(Load(v2[(s * 3 + t) * 2 * width + i]), Load(v[(s * 2 * 3 + t) * width + i]));
          }
        }
      }
      for (size_t i = 0; i < qkv.size(); ++i) EXPECT_EQ(Load(back2[i]), Load(back[i]));

      std::vector<TypeParam> rows(q.size()), heads(q.size());
      RunOnHost(HeadsToRows<TypeParam>{q.data(), shape, false, rows.data()}, tokens, threads);
      // Sequence 1, head 2, position 1.
      EXPECT_EQ(Load(rows[(1 * 3 + 1) * 4 * width + 2 * width + 5]),
                Load(q[((1 * 4 + 2) * 3 + 1) * width + 5]));
      RunOnHost(HeadsToRows<TypeParam>{heads.data(), shape, true, rows.data()}, tokens, threads);
      for (size_t i = 0; i < q.size(); ++i) EXPECT_EQ(Load(heads[i]), Load(q[i]));
    }
  }
}

TYPED_TEST(GpuKernelsTest, SwiGluAndItsGradient) {
  for (const int threads : kThreadCounts) {
    const int64_t rows = 3, width = 7;
    auto in = Random<TypeParam>(rows * 2 * width, 7, 3);
    Store(in[0], 200);  // saturates either way
    Store(in[2 * width], -200);
    const auto dout = Random<TypeParam>(rows * width, 8);
    std::vector<TypeParam> out(rows * width), din(in.size());
    RunOnHost(SwiGlu<TypeParam>{in.data(), width, out.data()}, rows, threads);
    RunOnHost(SwiGluBackward<TypeParam>{dout.data(), in.data(), width, din.data()}, rows, threads);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        const double g = Load(in[r * 2 * width + i]), u = Load(in[r * 2 * width + width + i]);
        const double sigmoid = 1 / (1 + std::exp(-g)), d = Load(dout[r * width + i]);
        this->Near(Load(out[r * width + i]), g * sigmoid * u);
        this->Near(Load(din[r * 2 * width + i]), d * u * (sigmoid + g * sigmoid * (1 - sigmoid)));
        this->Near(Load(din[r * 2 * width + width + i]), d * g * sigmoid);
      }
    }
  }
}

TYPED_TEST(GpuKernelsTest, CrossEntropyAndItsGradient) {
  const int64_t rows = 3;
  const std::vector<float> scale = {0.25f, 2}, z_loss = {0, 0.01f};
  for (const int threads : kThreadCounts) {
    for (const int64_t vocab : {2, 65}) {
      const std::vector<int32_t> targets = {0, -1, static_cast<int32_t>(vocab - 1), 1, 0, -1};
      const auto before = Random<TypeParam>(kMembers * rows * vocab, 9, 5);
      for (const bool gradient : {false, true}) {
        auto logits = before;
        std::vector<float> row_loss(kMembers * rows);
        RunOnHost(CrossEntropy<TypeParam>{logits.data(), targets.data(), scale.data(),
                                          z_loss.data(), rows, vocab, gradient, row_loss.data()},
                  kMembers * rows, threads);
        std::vector<double> loss = {1, 2}, expected_loss = loss;
        RunOnHost(SumRows<float>{row_loss.data(), rows, loss.data()}, kMembers, threads);
        for (int64_t r = 0; r < kMembers * rows; ++r) {
          double total = 0;
          for (int64_t i = 0; i < vocab; ++i) total += std::exp(Load(before[r * vocab + i]));
          const double normalizer = std::log(total);
          const bool scored = targets[r] >= 0;
          if (scored) expected_loss[r / rows] += normalizer - Load(before[r * vocab + targets[r]]);
          for (int64_t i = 0; i < vocab; ++i) {
            const double p = std::exp(Load(before[r * vocab + i])) / total;
            const double full = scale[r / rows] * (p * (1 + 2 * z_loss[r / rows] * normalizer) -
                                                   (i == targets[r] ? 1 : 0));
            const double now = Load(logits[r * vocab + i]);
            if (gradient) {
              this->Near(now, scored ? full : 0);
            } else {
              EXPECT_EQ(now, Load(before[r * vocab + i]));
            }
          }
        }
        for (int64_t member = 0; member < kMembers; ++member) {
          this->Near(loss[member], expected_loss[member], 4e-6);
        }
      }
    }
  }
}

TYPED_TEST(GpuKernelsTest, CrossEntropyKeepsNanAndTakesExtremes) {
  const std::vector<float> scale = {1}, z_loss = {0};
  const std::vector<int32_t> target = {0};
  for (const int threads : kThreadCounts) {
    for (const size_t place : {0, 3, 8}) {
      auto logits = Random<TypeParam>(9, 10);
      Store(logits[place], std::numeric_limits<float>::quiet_NaN());
      float loss = 0;
      RunOnHost(CrossEntropy<TypeParam>{logits.data(), target.data(), scale.data(), z_loss.data(),
                                        1, 9, true, &loss},
                1, threads);
      EXPECT_TRUE(std::isnan(loss)) << place << " of " << threads;
    }
    std::vector<TypeParam> far(3);
    Store(far[0], -3e4f);
    Store(far[1], 3e4f);
    Store(far[2], -std::numeric_limits<float>::infinity());
    float loss = 0;
    RunOnHost(CrossEntropy<TypeParam>{far.data(), target.data(), scale.data(), z_loss.data(), 1, 3,
                                      true, &loss},
              1, threads);
    this->Near(loss, 6e4);
    EXPECT_EQ(Load(far[0]), -1);
    EXPECT_EQ(Load(far[1]), 1);
    EXPECT_EQ(Load(far[2]), 0);
  }
}

TYPED_TEST(GpuKernelsTest, SigmoidGateAndItsGradient) {
  const int64_t rows = 3, width = 7;
  const auto x = Random<TypeParam>(rows * width, 20), gate = Random<TypeParam>(rows * width, 21, 3);
  const auto dout = Random<TypeParam>(rows * width, 22);
  for (const int threads : kThreadCounts) {
    std::vector<TypeParam> out(x.size()), dx(x.size()), dgate(x.size());
    RunOnHost(SigmoidGate<TypeParam>{x.data(), gate.data(), width, out.data()}, rows, threads);
    RunOnHost(SigmoidGateBackward<TypeParam>{dout.data(), x.data(), gate.data(), width, dx.data(),
                                             dgate.data()},
              rows, threads);
    for (size_t i = 0; i < x.size(); ++i) {
      const double s = 1 / (1 + std::exp(-static_cast<double>(Load(gate[i])))), d = Load(dout[i]);
      this->Near(Load(out[i]), Load(x[i]) * s);
      this->Near(Load(dx[i]), d * s);
      this->Near(Load(dgate[i]), d * Load(x[i]) * s * (1 - s));
    }
  }
}

TYPED_TEST(GpuKernelsTest, EmbedTakesRowsOfTheMembersTable) {
  const int64_t rows = 3, width = 5, stride = 4 * width + 2;
  const auto table = Random<TypeParam>(kMembers * stride, 23);
  const std::vector<int32_t> tokens = {2, 0, 2, /* member 1 */ 3, 3, 1};
  std::vector<float> out(tokens.size() * width);
  RunOnHost(Embed<TypeParam>{table.data(), tokens.data(), rows, width, stride, out.data()},
            kMembers * rows, 3);
  for (int64_t r = 0; r < kMembers * rows; ++r) {
    for (int64_t i = 0; i < width; ++i) {
      EXPECT_EQ(out[r * width + i], Load(table[r / rows * stride + tokens[r] * width + i]));
    }
  }
}

TEST(GpuKernelsEmbedTest, BackwardAddsRunsOfTokens) {
  const int64_t rows = 6, width = 5, vocab = 4, stride = vocab * width + 1;
  const std::vector<int32_t> tokens = {2, 0, 2, 3, 2, 0, /* member 1 */ 0, 0, 3, 1, 3, 3};
  std::vector<int32_t> order;
  for (int64_t member = 0; member < kMembers; ++member) {
    std::vector<int32_t> own(rows);
    std::iota(own.begin(), own.end(), 0);
    std::stable_sort(own.begin(), own.end(), [&](int32_t a, int32_t b) {
      return tokens[member * rows + a] < tokens[member * rows + b];
    });
    order.insert(order.end(), own.begin(), own.end());
  }
  const auto dout = Random<float>(kMembers * rows * width, 11);
  for (const int threads : kThreadCounts) {
    std::vector<float> dtable(kMembers * stride, 1.0f);
    RunOnHost(
        EmbedBackward{dout.data(), tokens.data(), order.data(), rows, width, stride, dtable.data()},
        kMembers * rows, threads);
    std::vector<double> expected(dtable.size(), 1.0);
    for (int64_t r = 0; r < kMembers * rows; ++r) {
      for (int64_t i = 0; i < width; ++i) {
        expected[r / rows * stride + tokens[r] * width + i] += dout[r * width + i];
      }
    }
    for (size_t i = 0; i < dtable.size(); ++i) EXPECT_NEAR(dtable[i], expected[i], 1e-5);
  }
}

TEST(GpuKernelsFlatTest, SumOfSquares) {
  const int64_t count = 1003, chunk = 100, chunks = 11;
  const auto x = Random<float>(kMembers * count, 12);
  for (const int threads : kThreadCounts) {
    std::vector<double> parts(kMembers * chunks), sums(kMembers);
    RunOnHost(SquareParts{x.data(), count, chunk, chunks, parts.data()}, kMembers * chunks,
              threads);
    RunOnHost(SumRows<double>{parts.data(), chunks, sums.data()}, kMembers, threads);
    for (int64_t member = 0; member < kMembers; ++member) {
      double expected = 0;
      for (int64_t i = 0; i < count; ++i) {
        expected += std::pow(static_cast<double>(x[member * count + i]), 2);
      }
      EXPECT_NEAR(sums[member], expected, 1e-12 * expected);
    }
  }
}

TEST(GpuKernelsFlatTest, AdamWByMemberAndSegment) {
  const int64_t count = 50, segments = 2;
  const std::vector<AdamWChunk> chunks = {{0, 16, 0}, {16, 14, 0}, {30, 20, 1}};
  const std::vector<int64_t> begins = {0, 2, 3};
  std::vector<SegmentStep> steps;
  for (int i = 0; i < kMembers * segments; ++i) {
    steps.push_back({.adam = {.beta1 = 0.9f,
                              .beta2 = 0.95f,
                              .eps = 1e-3f,
                              .step_size = 0.02f * (1 + i),
                              .inv_sqrt_bias2 = 1.5f,
                              .decay = 0.01f * i},
                     .into_gradient = i == 1 ? 0.25f : 0});
  }
  const std::vector<float> clip = {1, 0.25f};
  const int64_t all = kMembers * count;
  const auto grad = Random<float>(all, 13, 1e-2), weight = Random<float>(all, 14);
  const auto m = Random<float>(all, 15, 0.1);
  auto v = Random<float>(all, 16, 1e-3);
  for (float& value : v) value *= value;
  for (const int threads : kThreadCounts) {
    auto new_weight = weight, new_m = m, new_v = v;
    std::vector<Bf16> shadow(all);
    std::vector<UpdateSums> parts(kMembers * chunks.size()), sums(kMembers * segments);
    RunOnHost(AdamWFlat{chunks.data(), steps.data(), clip.data(), count, 3, segments, grad.data(),
                        new_weight.data(), new_m.data(), new_v.data(), shadow.data(), parts.data()},
              kMembers * 3, threads);
    RunOnHost(SumSegments{parts.data(), begins.data(), 3, segments, sums.data()},
              kMembers * segments, threads);
    std::vector<UpdateSums> expected(sums.size());
    for (int64_t i = 0; i < all; ++i) {
      const int64_t member = i / count, place = i % count;
      const int64_t segment = member * segments + (place < 30 ? 0 : 1);
      const AdamWStep& step = steps[segment].adam;
      const double g = static_cast<double>(clip[member]) * grad[i] +
                       static_cast<double>(steps[segment].into_gradient) * weight[i];
      const double first = 0.9 * m[i] + 0.1 * g, second = 0.95 * v[i] + 0.05 * g * g;
      const double change = -static_cast<double>(step.decay) * weight[i] -
                            step.step_size * first / (std::sqrt(second) * 1.5 + 1e-3);
      EXPECT_NEAR(new_m[i], first, 1e-7);
      EXPECT_NEAR(new_v[i], second, 1e-6 * second + 1e-12);
      EXPECT_NEAR(new_weight[i], weight[i] + change, 2e-6 * (1 + std::abs(change)));
      EXPECT_NEAR(Load(shadow[i]), new_weight[i], std::abs(new_weight[i]) / 256);
      UpdateSums& own = expected[segment];
      own.update_squares += change * change;
      own.weight_squares += static_cast<double>(weight[i]) * weight[i];
      own.below_eps += std::sqrt(second) < 1e-3 ? 1 : 0;
      own.new_squares += std::pow(weight[i] + change, 2);
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      EXPECT_NEAR(sums[i].update_squares, expected[i].update_squares,
                  1e-5 * expected[i].update_squares);
      EXPECT_NEAR(sums[i].weight_squares, expected[i].weight_squares,
                  1e-6 * expected[i].weight_squares);
      EXPECT_NEAR(sums[i].new_squares, expected[i].new_squares, 1e-5 * expected[i].new_squares);
      EXPECT_EQ(sums[i].below_eps, expected[i].below_eps);
    }
  }
}

// Of a member that takes no step nothing is written, its moments and shadow included.
TEST(GpuKernelsFlatTest, AdamWLeavesAMemberWithoutAStepAlone) {
  const std::vector<AdamWChunk> chunks = {{0, 4, 0}};
  const std::vector<SegmentStep> steps(2, {.adam = {.beta1 = 0.5f, .step_size = 1, .decay = 0.5f}});
  const std::vector<float> scale = {-1, 1};
  const auto grad = Random<float>(8, 1), before = Random<float>(8, 2);
  auto weight = before, m = before, v = std::vector<float>(8, 1.0f);
  std::vector<Bf16> shadow(8);
  std::vector<UpdateSums> parts(2, {1, 1, 1, 1});
  RunOnHost(AdamWFlat{chunks.data(), steps.data(), scale.data(), 4, 1, 1, grad.data(),
                      weight.data(), m.data(), v.data(), shadow.data(), parts.data()},
            2, 3);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(weight[i] == before[i] && m[i] == before[i] && v[i] == 1 && shadow[i].bits == 0,
              i < 4);
  }
  EXPECT_EQ(parts[0].weight_squares, 0);
  EXPECT_GT(parts[1].weight_squares, 0);
}

TEST(GpuKernelsFlatTest, StepsAreJudgedWhereTheirNumbersAre) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Row {
    double loss, norm;
    StepTerms terms;
    double was_active;
    float scale;
    double inactive, finite, skipped, clipped, active;
  };
  const StepTerms free = {1, kInfinity, kInfinity, 0, 0, 0, 1};
  const StepTerms clips = {1, kInfinity, kInfinity, 0, 0, 2, 1};
  const StepTerms limits = {1, 3, 4, 1, 0, 2, 1};
  const StepTerms out = {1, kInfinity, kInfinity, 0, 0, 0, 0};
  const Row rows[] = {
      {1, 8, free, 1, 1, 0, 1, 0, 0, 1},
      {1, 8, clips, 1, 0.25f, 0, 1, 0, 1, 1},
      {1, 2, clips, 1, 1, 0, 1, 0, 0, 1},    // at the clip
      {nan, 2, free, 1, -1, 0, 0, 0, 0, 0},  // diverges
      {1, kInfinity, clips, 1, -1, 0, 0, 0, 0, 0},
      {3, 4, limits, 1, 0.5f, 0, 1, 0, 1, 1},  // at the limits
      {3.1, 4, limits, 1, -1, 0, 1, 1, 0, 1},
      {3, 4.1, limits, 1, -1, 0, 1, 1, 0, 1},
      {nan, 4, limits, 1, -1, 0, 0, 1, 0, 1},  // an outlier among others
      {1, 8, free, 0, -1, 1, 1, 0, 0, 0},      // had diverged before
      {1, 8, out, 1, -1, 1, 1, 0, 0, 0},       // taken out by the host
  };
  for (const Row& row : rows) {
    StepTerms terms = row.terms;
    terms.predicted = 4;
    const double loss_sum = 4 * row.loss, squares = row.norm * row.norm;
    double active = row.was_active;
    StepNumbers numbers = {};
    float scale = 7;
    SkipHistory history;
    RunOnHost(JudgeStep{&loss_sum, &squares, &terms, &active, &history, &numbers, &scale}, 1, 3);
    EXPECT_EQ(history.loss.count, 0) << "limits are given";
    const auto line = &row - rows;
    EXPECT_EQ(scale, row.scale) << line;
    EXPECT_EQ(numbers.inactive, row.inactive) << line;
    EXPECT_EQ(numbers.finite, row.finite) << line;
    EXPECT_EQ(numbers.skipped, row.skipped) << line;
    EXPECT_EQ(numbers.clipped, row.clipped) << line;
    EXPECT_EQ(active, row.active) << line;
    if (row.finite != 0) {
      EXPECT_EQ(numbers.loss, row.loss) << line;
      EXPECT_NEAR(numbers.grad_norm, row.norm, 1e-12) << line;
    }
  }
}

// As the loop of a CPU decides from its own detectors; ten in a row are no outliers any more.
TEST(GpuKernelsFlatTest, LimitsFollowFromEarlierSteps) {
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 0.1);
  const StepTerms terms = {.predicted = 1, .skip_sd = 2, .active = 1};
  SkipHistory history, expected;
  double active = 1;
  int skips = 0;
  for (int step = 0; step < 400; ++step) {
    const bool high = step >= 200 && step < 215, not_finite = step % 97 == 96;
    const double loss = not_finite ? NAN : 3 + noise(random) + (high ? 5 : 0);
    const double squares = std::pow(1 + 0.001 * noise(random), 2);
    const bool skipped =
        expected.HasLimits(2) && (not_finite || loss > expected.loss.Limit(2) ||
                                  std::sqrt(squares) > expected.grad_norm.Limit(2));
    expected.Add(loss, std::sqrt(squares), !not_finite, skipped);
    StepNumbers numbers = {};
    float scale = 0;
    RunOnHost(JudgeStep{&loss, &squares, &terms, &active, &history, &numbers, &scale}, 1, 1);
    EXPECT_EQ(numbers.skipped != 0, skipped) << step;
    EXPECT_EQ(scale, skipped ? -1 : 1) << step;
    EXPECT_TRUE(!high || step == 210 || skipped) << step;
    EXPECT_TRUE(step != 210 || !skipped) << "eleven in a row";
    skips += skipped ? 1 : 0;
  }
  EXPECT_EQ(active, 1);
  EXPECT_GT(skips, 17);
  EXPECT_EQ(history.loss, expected.loss);
  EXPECT_EQ(history.grad_norm, expected.grad_norm);
}

}  // namespace
}  // namespace loglog
