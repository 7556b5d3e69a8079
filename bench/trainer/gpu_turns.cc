// Our side of bench/trainer_gpu: trains a shape for as many steps as it is told, turn by turn.
//
//   gpu_turns DEVICE LAYERS D_MODEL HEADS D_FF VOCAB SEQ_LEN SEQUENCES
//
// In bf16, with clipping, a tied head and metrics on each tenth step. After the first step it
// prints "ready". Then for each line of stdin, a number of steps, it takes them and prints one line
// of JSON: seconds, loss, parameters. DEVICE cuda:<n>, or cpu for the bodies of the GPU's kernels
// on the host. LOGLOG_CUDA_GRAPHS=1 in the environment captures steps.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "trainer/engine.h"
#include "trainer/flops.h"

namespace loglog {
namespace {

MemberConfig Member(char** argv) {
  const auto number = [&](int i) { return std::atoll(argv[i]); };
  MemberConfig member;
  member.model = {.layers = number(2),
                  .d_model = number(3),
                  .heads = number(4),
                  .kv_heads = number(4),
                  .d_ff = number(5),
                  .vocab = number(6),
                  .seq_len = number(7),
                  .tied_head = true};
  member.train.batch_tokens = number(7) * number(8);
  member.train.tokens = member.train.batch_tokens * 1'000'000;
  member.train.lr = 1e-4;
  member.train.clip = 1.0;
  member.train.precision = Precision::kBf16;
  return member;
}

class Program {
 public:
  Program(const MemberConfig& member, const EngineOptions& options)
      : member_(member), engine_({member}, options) {
    engine_.InitWeights();
    tokens_.resize(static_cast<size_t>(member.SequencesPerStep() * (member.model.seq_len + 1)));
  }

  // The loss of the last of them.
  double Train(int64_t steps) {
    double loss = 0;
    for (int64_t i = 0; i < steps; ++i, ++step_) {
      for (int32_t& token : tokens_) {
        random_ = random_ * 1664525u + 1013904223u;
        token = static_cast<int32_t>((random_ >> 8) % static_cast<uint32_t>(member_.model.vocab));
      }
      engine_.StartStep(tokens_.data(), step_, /*with_metrics=*/step_ % 10 == 9);
      while (const auto finished = engine_.TakeStep(/*wait=*/i + 1 == steps)) {
        loss = finished->results[0].loss;
      }
    }
    return loss;
  }

 private:
  MemberConfig member_;
  Engine engine_;
  std::vector<int32_t> tokens_;
  uint32_t random_ = 1;
  int64_t step_ = 0;
};

int Main(char** argv) {
  const MemberConfig member = Member(argv);
  EngineOptions options;
  options.device = argv[1];
  options.gpu_kernel_threads = options.device == "cpu" ? 1 : 0;
  options.captures_steps = std::getenv("LOGLOG_CUDA_GRAPHS") != nullptr;
  Program program(member, options);
  program.Train(1);
  std::printf("ready\n");
  std::fflush(stdout);
  char line[64];
  while (std::fgets(line, sizeof line, stdin) != nullptr) {
    const auto begin = std::chrono::steady_clock::now();
    const double loss = program.Train(std::atoll(line));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    std::printf("{\"seconds\": %.6f, \"loss\": %.5f, \"params\": %lld}\n", elapsed.count(), loss,
                static_cast<long long>(CountParams(member.model).total));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr,
                 "usage: gpu_turns DEVICE LAYERS D_MODEL HEADS D_FF VOCAB SEQ_LEN SEQUENCES\n");
    return 2;
  }
  try {
    return loglog::Main(argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_turns: %s\n", error.what());
    return 1;
  }
}
