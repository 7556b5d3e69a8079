// Our side of bench/run-trainer-rivals: trains a shape for as long as it is told, turn by turn.
//
//   trainer_turns LAYERS D_MODEL HEADS D_FF VOCAB SEQ_LEN SEQUENCES
//
// After the first step it prints "ready". Then for each line of stdin, a number of seconds: steps
// for about so much CPU time, clipping and metrics on, and one line of JSON: steps, CPU seconds,
// loss. "peak SECONDS" answers with the core's multiply-add peak.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/trainer/fma_peak.h"
#include "trainer/engine.h"
#include "trainer/flops.h"

namespace loglog {
namespace {

MemberConfig Member(char** argv) {
  const auto number = [&](int i) { return std::atoll(argv[i]); };
  MemberConfig member;
  member.model = {.layers = number(1),
                  .d_model = number(2),
                  .heads = number(3),
                  .kv_heads = number(3),
                  .d_ff = number(4),
                  .vocab = number(5),
                  .seq_len = number(6)};
  member.train.batch_tokens = number(6) * number(7);
  member.train.tokens = member.train.batch_tokens * 1'000'000;
  member.train.lr = 1e-3;
  member.train.clip = 1.0;
  return member;
}

int Main(char** argv) {
  const MemberConfig member = Member(argv);
  Engine engine({member}, {});
  engine.InitWeights();
  std::vector<int32_t> tokens(
      static_cast<size_t>(member.SequencesPerStep() * (member.model.seq_len + 1)));
  uint32_t state = 1;
  int64_t step = 0;
  const auto train = [&] {
    for (int32_t& token : tokens) {
      state = state * 1664525u + 1013904223u;
      token = static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(member.model.vocab));
    }
    return engine.TrainStep(tokens.data(), step++, /*with_metrics=*/true)[0].loss;
  };
  train();
  std::printf("ready\n");
  std::fflush(stdout);
  const double flops =
      TrainFlopsPerToken(member.model) * static_cast<double>(member.train.batch_tokens);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    if (std::strncmp(line, "peak ", 5) == 0) {
      std::printf("{\"peak_flops\": %.6e}\n", MeasureFmaPeak(std::atof(line + 5)));
    } else {
      const double seconds = std::atof(line), begin = ThreadCpuSeconds();
      double elapsed = 0, loss = 0;
      int64_t steps = 0;
      do {
        loss = train();
        ++steps;
        elapsed = ThreadCpuSeconds() - begin;
      } while (elapsed < seconds);
      std::printf("{\"steps\": %lld, \"cpu_s\": %.6f, \"loss\": %.5f, \"flops_of_step\": %.6e}\n",
                  static_cast<long long>(steps), elapsed, loss, flops);
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fprintf(stderr,
                 "usage: trainer_turns LAYERS D_MODEL HEADS D_FF VOCAB SEQ_LEN SEQUENCES\n");
    return 2;
  }
  return loglog::Main(argv);
}
