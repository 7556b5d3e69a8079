#include "trainer/ranks_nccl.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <string>

#include "trainer/config.h"

namespace loglog {
namespace {

void Check(ncclResult_t result, const char* what) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  throw DeviceError(std::string("NCCL failed to ") + what + ": " + ncclGetErrorString(result) +
                    "; NCCL_DEBUG=WARN in the environment tells more");
}

void Check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  throw DeviceError(std::string("CUDA failed to ") + what + ": " + cudaGetErrorString(result));
}

ncclDataType_t TypeOf(const at::Tensor& values) {
  if (values.scalar_type() == at::kFloat) return ncclFloat32;
  if (values.scalar_type() == at::kDouble) return ncclFloat64;
  throw DeviceError("sums over GPUs are of float32 or float64");
}

// On a stream of its own, beside the backward pass: events order it after the kernels that fill
// a bucket and before those that read the sums.
class NcclSums final : public DeviceSums {
 public:
  NcclSums(int rank, int count, at::Device device,
           const std::function<void(void*, size_t)>& broadcast)
      : device_(device), stream_(c10::cuda::getStreamFromPool(true, device.index())) {
    const c10::cuda::CUDAGuard guard(device);
    ncclUniqueId id = {};
    if (rank == 0) Check(ncclGetUniqueId(&id), "make an id");
    broadcast(&id, sizeof id);
    Check(ncclCommInitRank(&comm_, count, id, rank), "connect the GPUs");
    Check(cudaEventCreateWithFlags(&filled_, cudaEventDisableTiming), "make an event");
    Check(cudaEventCreateWithFlags(&summed_, cudaEventDisableTiming), "make an event");
  }
  // Not destroyed but aborted: destroying waits for ranks that may be gone.
  ~NcclSums() override {
    cudaEventDestroy(filled_);
    cudaEventDestroy(summed_);
    ncclCommAbort(comm_);
  }

  void Start(const at::Tensor& values) override {
    const c10::cuda::CUDAGuard guard(device_);
    const auto current = c10::cuda::getCurrentCUDAStream(device_.index());
    Check(cudaEventRecord(filled_, current), "record an event");
    Check(cudaStreamWaitEvent(stream_, filled_, 0), "order a sum");
    void* data = values.mutable_data_ptr();
    Check(ncclAllReduce(data, data, static_cast<size_t>(values.numel()), TypeOf(values), ncclSum,
                        comm_, stream_),
          "sum gradients");
  }

  void Finish() override {
    const c10::cuda::CUDAGuard guard(device_);
    Check(cudaEventRecord(summed_, stream_), "record an event");
    Check(cudaStreamWaitEvent(c10::cuda::getCurrentCUDAStream(device_.index()), summed_, 0),
          "wait for a sum");
    ncclResult_t failure = ncclSuccess;
    Check(ncclCommGetAsyncError(comm_, &failure), "ask for errors");
    Check(failure, "sum gradients");
  }

 private:
  at::Device device_;
  c10::cuda::CUDAStream stream_;
  ncclComm_t comm_ = nullptr;
  cudaEvent_t filled_ = nullptr, summed_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceSums> MakeNcclSums(int rank, int count, at::Device device,
                                         const std::function<void(void*, size_t)>& broadcast) {
  return std::make_unique<NcclSums>(rank, count, device, broadcast);
}

}  // namespace loglog
