#include "trainer/device_cuda.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdio>
#include <exception>
#include <vector>

namespace loglog {
namespace {

class CudaClock final : public DeviceClock {
 public:
  CudaClock(const at::Device& device, size_t slots) : device_(device), events_(slots) {}

  void Mark(size_t slot) override {
    events_[slot].record(c10::cuda::getCurrentCUDAStream(device_.index()));
  }
  bool Reached(size_t slot) override { return events_[slot].query(); }
  void Wait(size_t slot) override { events_[slot].synchronize(); }

 private:
  at::Device device_;
  std::vector<c10::cuda::CUDAEvent> events_;
};

constexpr int kWarmUps = 3;

class GraphRepeater final : public Repeater {
 public:
  explicit GraphRepeater(at::cuda::MempoolId_t pool) : pool_(pool) {}

  void Run(const std::function<void()>& work) override {
    if (!captured_ && (refused_ || warm_ups_++ < kWarmUps)) return work();
    if (!captured_ && !Capture(work)) return work();
    graph_.replay();
  }

 private:
  // Work that is captured does not run.
  bool Capture(const std::function<void()>& work) {
    c10::cuda::device_synchronize();
    try {
      graph_.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
      work();
      graph_.capture_end();
      captured_ = true;
    } catch (const std::exception& error) {  // a launch of ours or the library's
      refused_ = true;
      std::fprintf(stderr, "steps run without a CUDA graph: %s\n", error.what());
      EndFailedCapture();
    }
    return captured_;
  }

  void EndFailedCapture() {
    try {
      graph_.capture_end();
    } catch (const c10::Error&) {
      // The stream has left the capture all the same.
    }
    cudaGetLastError();
  }

  at::cuda::MempoolId_t pool_;
  at::cuda::CUDAGraph graph_;
  int warm_ups_ = 0;
  bool captured_ = false, refused_ = false;
};

}  // namespace

void UseDevice(const at::Device& device) {
  c10::cuda::set_device(device.index());
  c10::cuda::setCurrentCUDAStream(
      c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()));
}

std::array<std::unique_ptr<Repeater>, 2> MakeGraphRepeaters() {
  const at::cuda::MempoolId_t pool = at::cuda::graph_pool_handle();
  return {std::make_unique<GraphRepeater>(pool), std::make_unique<GraphRepeater>(pool)};
}

std::unique_ptr<DeviceClock> MakeCudaClock(const at::Device& device, size_t slots) {
  return std::make_unique<CudaClock>(device, slots);
}

}  // namespace loglog
