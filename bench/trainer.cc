// Training speed of the CPU engine against its floor: the same weight products, of the same
// shapes, alone. Engine and floor take turns in one process on one thread; medians and spreads
// of its CPU time are printed, so that a busy machine disturbs little.
//   bench_trainer [--smoke]
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <c10/core/InferenceMode.h>

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bench/median.h"
#include "trainer/engine.h"
#include "trainer/flops.h"

namespace loglog {
namespace {

struct Shape {
  const char* name;
  ModelConfig model;
  int64_t sequences;
};

const Shape kShapes[] = {
    {"X: L2 d64 H4 ff176 V64 T64 B8",
     {.layers = 2,
      .d_model = 64,
      .heads = 4,
      .kv_heads = 4,
      .d_ff = 176,
      .vocab = 64,
      .seq_len = 64},
     8},
    {"S: L4 d128 H4 ff352 V256 T128 B16",
     {.layers = 4,
      .d_model = 128,
      .heads = 4,
      .kv_heads = 4,
      .d_ff = 352,
      .vocab = 256,
      .seq_len = 128},
     16},
};

MemberConfig Member(const Shape& shape) {
  MemberConfig member;
  member.model = shape.model;
  member.train.batch_tokens = shape.sequences * shape.model.seq_len;
  member.train.tokens = member.train.batch_tokens * 1'000'000;
  member.train.lr = 1e-3;
  return member;
}

std::vector<int32_t> Tokens(const Shape& shape, int64_t members) {
  std::vector<int32_t> tokens(members * shape.sequences * (shape.model.seq_len + 1));
  uint32_t state = 1;
  for (int32_t& token : tokens) {
    state = state * 1664525u + 1013904223u;
    token = static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(shape.model.vocab));
  }
  return tokens;
}

// Every product of an activation with a weight matrix in one step, forward and both backward
// ones, over the whole batch at once.
class Floor {
 public:
  explicit Floor(const Shape& shape) {
    const ModelConfig& m = shape.model;
    const int64_t tokens = shape.sequences * m.seq_len;
    for (int64_t layer = 0; layer < m.layers; ++layer) {
      Add(tokens, m.d_model, m.d_model + 2 * m.KvDim());
      Add(tokens, m.d_model, m.d_model);
      Add(tokens, m.d_model, 2 * m.d_ff);
      Add(tokens, m.d_ff, m.d_model);
    }
    Add(tokens, m.d_model, m.vocab);
  }

  void Step() {
    for (Product& p : products_) {
      at::mm_out(p.y, p.x, p.w.t());
      at::mm_out(p.dx, p.y, p.w);
      at::mm_out(p.dw, p.y.t(), p.x);
    }
  }

 private:
  struct Product {
    at::Tensor x, w, y, dx, dw;
  };

  void Add(int64_t tokens, int64_t in, int64_t out) {
    products_.push_back({at::rand({tokens, in}), at::rand({out, in}), at::empty({tokens, out}),
                         at::empty({tokens, in}), at::empty({out, in})});
  }

  std::vector<Product> products_;
};

double CpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double Seconds(const std::function<void()>& body) {
  const double begin = CpuSeconds();
  body();
  return CpuSeconds() - begin;
}

struct Timing {
  std::vector<double> seconds;  // a step, by round

  double Median() const { return loglog::Median(seconds); }
  double Spread() const {
    const auto [low, high] = std::minmax_element(seconds.begin(), seconds.end());
    return (*high - *low) / Median();
  }
};

// Alternates the bodies for `rounds` rounds of about `round_seconds` each.
std::vector<Timing> TakeTurns(const std::vector<std::function<void()>>& bodies, int rounds,
                              double round_seconds) {
  std::vector<Timing> timings(bodies.size());
  std::vector<int> repeats;
  for (const auto& body : bodies) {
    body();
    repeats.push_back(std::max(1, static_cast<int>(round_seconds / Seconds(body))));
  }
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < bodies.size(); ++i) {
      const double seconds = Seconds([&] {
        for (int r = 0; r < repeats[i]; ++r) bodies[i]();
      });
      timings[i].seconds.push_back(seconds / repeats[i]);
    }
  }
  return timings;
}

void Report(const char* what, const Timing& timing, double tokens, double flops_per_token) {
  const double rate = tokens / timing.Median();
  std::printf("  %-28s %9.0f tokens/CPU-s  %6.1f GFLOP/s  spread %4.1f %%\n", what, rate,
              rate * flops_per_token / 1e9, 100 * timing.Spread());
}

// What metrics add to a step at the default cadence, as shares of a step without any: the cheap
// ones of each tenth step, the same of every step, and a probe in each hundred. Goals: under 1 %
// and 3 %.
void ReportMetrics(const Shape& shape, Engine& engine, const std::vector<int32_t>& tokens,
                   int rounds, double round_seconds) {
  const MetricsConfig cadence;
  int64_t step = 1'000;
  const std::vector<Timing> timings =
      TakeTurns({[&] { engine.TrainStep(tokens.data(), step++, false); },
                 [&] { engine.TrainStep(tokens.data(), step++, true); },
                 [&] { engine.Probe(0, tokens.data(), std::min<int64_t>(4, shape.sequences)); }},
                rounds, round_seconds);
  // By rounds, so that what slows the machine for a while does not count.
  std::vector<double> every_step;
  for (int round = 0; round < rounds; ++round) {
    every_step.push_back(timings[1].seconds[round] / timings[0].seconds[round] - 1);
  }
  std::sort(every_step.begin(), every_step.end());
  const double each = every_step[every_step.size() / 2];
  std::printf(
      "  metrics: every step %+.2f %%, each %lldth %+.2f %%; probe %.1f ms, each %lldth step "
      "%.2f %%\n",
      100 * each, static_cast<long long>(cadence.every),
      100 * each / static_cast<double>(cadence.every), 1e3 * timings[2].Median(),
      static_cast<long long>(cadence.probe_every),
      100 * timings[2].Median() / timings[0].Median() / static_cast<double>(cadence.probe_every));
}

void Measure(const Shape& shape, bool smoke) {
  const int rounds = smoke ? 3 : 9;
  const double round_seconds = smoke ? 0.02 : 0.4;
  std::printf("%s\n", shape.name);

  constexpr int kMembers = 8;
  const std::vector<int32_t> tokens = Tokens(shape, kMembers);
  Engine solo({Member(shape)}, {});
  const double first = Seconds([&] {
    solo.InitWeights();
    solo.TrainStep(tokens.data(), 0, false);
  });
  Engine fused(std::vector<MemberConfig>(kMembers, Member(shape)), {});
  fused.InitWeights();
  Floor floor(shape);
  int64_t step = 1, metric_step = 1;
  const std::vector<Timing> timings =
      TakeTurns({
                    [&] { solo.TrainStep(tokens.data(), step++, false); },
                    [&] {
                      const c10::InferenceMode no_autograd;
                      floor.Step();
                    },
                    [&] { solo.TrainStep(tokens.data(), step++, metric_step++ % 10 == 0); },
                    [&] { fused.TrainStep(tokens.data(), step++, false); },
                },
                rounds, round_seconds);
  const double batch = static_cast<double>(Member(shape).train.batch_tokens);
  const double flops = MatmulFlopsPerToken(shape.model);
  Report("engine", timings[0], batch, flops);
  Report("floor: the products alone", timings[1], batch, flops);
  Report("engine, metrics every 10", timings[2], batch, flops);
  Report("engine, 8 members", timings[3], batch * kMembers, flops);
  std::printf("  engine / floor %.2f; members / solo %.2f; first step %.0f ms\n",
              timings[1].Median() / timings[0].Median(),
              kMembers * timings[0].Median() / timings[3].Median(), 1e3 * first);
  ReportMetrics(shape, solo, tokens, rounds, round_seconds);
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  const bool smoke = argc > 1 && std::strcmp(argv[1], "--smoke") == 0;
  if (argc > 2 || (argc == 2 && !smoke)) {
    std::fprintf(stderr, "usage: bench_trainer [--smoke]\n");
    return 2;
  }
  at::set_num_threads(1);
  for (const loglog::Shape& shape : loglog::kShapes) {
    loglog::Measure(shape, smoke);
    if (smoke) break;
  }
  return 0;
}
