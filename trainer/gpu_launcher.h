// Where kernel bodies run: on a GPU, in order on its current stream, or for tests on the host.
#ifndef LOGLOG_TRAINER_GPU_LAUNCHER_H_
#define LOGLOG_TRAINER_GPU_LAUNCHER_H_

#include <ATen/core/Tensor.h>
#ifdef LOGLOG_CUDA
#include <c10/cuda/CUDAStream.h>

#include "trainer/gpu_launch.h"
#endif

#include "trainer/gpu_context.h"

namespace loglog {

// Immutable. The device is the thread's current one.
class Launcher {
 public:
  Launcher(at::Device device, int host_threads) : device_(device), host_threads_(host_threads) {}

  // Blocks 0 .. blocks - 1 of `body`. On the host they have run on return.
  template <typename Body>
  void operator()(const Body& body, int64_t blocks) const {
#ifdef LOGLOG_CUDA
    if (device_.is_cuda()) {
      return LaunchOnGpu(body, blocks, c10::cuda::getCurrentCUDAStream(device_.index()).stream());
    }
#endif
    RunOnHost(body, blocks, host_threads_);
  }

  const at::Device& device() const { return device_; }

 private:
  at::Device device_;
  int host_threads_;
};

// The data of a tensor as a kernel's type, members one after another.
template <typename T>
const T* In(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <typename T>
T* Out(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_LAUNCHER_H_
