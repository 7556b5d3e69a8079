#include "trainer/gpu_launch.h"

#include <cuda_runtime.h>
#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>

#include "trainer/config.h"

namespace loglog {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kWarps = kThreads / kWarp;

// The context of gpu_context.h on a block of kThreads threads: folds within warps by shuffles in a
// fixed order, then over the warps' values.
class BlockContext {
 public:
  __device__ int threads() const { return kThreads; }
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ float Sum(float x) {
    return Fold(x, [](float a, float b) { return a + b; });
  }
  __device__ double Sum(double x) {
    return Fold(x, [](double a, double b) { return a + b; });
  }
  __device__ float Max(float x) {
    return Fold(x, [](float a, float b) { return b > a ? b : a; });
  }

 private:
  template <typename Value, typename Join>
  __device__ Value Fold(Value x, Join join) {
    __shared__ Value slots[kWarps];
    for (int step = kWarp / 2; step > 0; step /= 2) {
      x = join(x, __shfl_down_sync(0xffffffffu, x, step));
    }
    if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = x;
    __syncthreads();
    Value all = slots[0];
    for (int i = 1; i < kWarps; ++i) all = join(all, slots[i]);
    __syncthreads();  // the next fold writes the slots
    return all;
  }
};

template <typename Body>
__global__ void __launch_bounds__(kThreads) Blocks(const Body body) {
  BlockContext context;
  body(context, static_cast<int64_t>(blockIdx.x));
}

// As written in the source: loglog::SwiGlu<loglog::Bf16>.
std::string NameOf(const std::type_info& type) {
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
  return name ? name.get() : type.name();
}

}  // namespace

template <typename Body>
void LaunchOnGpu(const Body& body, int64_t blocks, void* stream) {
  if (blocks == 0) return;
  if (blocks < 0 || blocks > INT32_MAX) {
    throw std::runtime_error("GPU kernel " + NameOf(typeid(Body)) + ": " + std::to_string(blocks) +
                             " blocks; a launch takes up to 2147483647: lower the batch");
  }
  Blocks<<<static_cast<unsigned>(blocks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(body);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) {
    const std::string what = "GPU kernel " + NameOf(typeid(Body)) + ", " + std::to_string(blocks) +
                             " blocks: " + cudaGetErrorString(error);
    if (error == cudaErrorMemoryAllocation) throw OutOfMemoryError(what);
    throw DeviceError(what);
  }
}

#define LOGLOG_LAUNCH(...) \
  template void LaunchOnGpu<__VA_ARGS__>(const __VA_ARGS__&, int64_t, void*)
#define LOGLOG_LAUNCH_BOTH(Body) \
  LOGLOG_LAUNCH(Body<float>);    \
  LOGLOG_LAUNCH(Body<Bf16>)

LOGLOG_LAUNCH_BOTH(AddNorm);
LOGLOG_LAUNCH_BOTH(NormBackward);
LOGLOG_LAUNCH(SumParts);
LOGLOG_LAUNCH_BOTH(Embed);
LOGLOG_LAUNCH(EmbedBackward);
LOGLOG_LAUNCH_BOTH(SplitHeads);
LOGLOG_LAUNCH_BOTH(HeadsToRows);
LOGLOG_LAUNCH_BOTH(SwiGlu);
LOGLOG_LAUNCH_BOTH(SwiGluBackward);
LOGLOG_LAUNCH_BOTH(SigmoidGate);
LOGLOG_LAUNCH_BOTH(SigmoidGateBackward);
LOGLOG_LAUNCH_BOTH(CrossEntropy);
LOGLOG_LAUNCH(SumRows<float>);
LOGLOG_LAUNCH(SumRows<double>);
LOGLOG_LAUNCH(SquareParts);
LOGLOG_LAUNCH(JudgeStep);
LOGLOG_LAUNCH(AdamWFlat);
LOGLOG_LAUNCH(SumSegments);

}  // namespace loglog
