// What a kernel body of gpu_kernels.h is given by whoever runs it: which of the block's threads it
// is, and sums and maxima over the block. The bodies run on the host too, so that their index
// arithmetic and formulas are tested where there is no GPU; gpu_launch.cu has the GPU's context.
#ifndef LOGLOG_TRAINER_GPU_CONTEXT_H_
#define LOGLOG_TRAINER_GPU_CONTEXT_H_

#include <barrier>
#include <cstdint>
#include <thread>
#include <vector>

namespace loglog {

// One block of `threads` host threads. Sum and Max are called by all of them in the same order and
// give every thread the same value; they are barriers, too.
class HostBlock {
 public:
  explicit HostBlock(int threads) : slots_(threads), barrier_(threads) {}

  class Context {
   public:
    Context(HostBlock& block, int thread) : block_(block), thread_(thread) {}
    int threads() const { return static_cast<int>(block_.slots_.size()); }
    int thread() const { return thread_; }
    float Sum(float x) { return static_cast<float>(Sum(static_cast<double>(x))); }
    double Sum(double x) {
      return Fold(x, [](double a, double b) { return a + b; });
    }
    float Max(float x) {
      return static_cast<float>(Fold(x, [](double a, double b) { return b > a ? b : a; }));
    }

   private:
    template <typename Join>
    double Fold(double x, Join join) {
      block_.slots_[static_cast<size_t>(thread_)] = x;
      block_.barrier_.arrive_and_wait();
      double all = block_.slots_[0];
      for (size_t i = 1; i < block_.slots_.size(); ++i) all = join(all, block_.slots_[i]);
      block_.barrier_.arrive_and_wait();
      return all;
    }

    HostBlock& block_;
    int thread_;
  };

 private:
  std::vector<double> slots_;
  std::barrier<> barrier_;
};

// Runs blocks 0 .. blocks - 1 on `threads` threads; with one, on the caller's. Blocks do not wait
// for one another's threads, as on a GPU: they may touch no common memory that one of them writes.
template <typename Body>
void RunOnHost(const Body& body, int64_t blocks, int threads) {
  HostBlock block(threads);
  const auto run = [&](int thread) {
    HostBlock::Context context(block, thread);
    for (int64_t index = 0; index < blocks; ++index) body(context, index);
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  run(0);
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_CONTEXT_H_
