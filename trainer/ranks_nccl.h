// Sums over several GPUs, for ranks.h.
#ifndef LOGLOG_TRAINER_RANKS_NCCL_H_
#define LOGLOG_TRAINER_RANKS_NCCL_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace loglog {

class DeviceSums {
 public:
  virtual ~DeviceSums() = default;
  // As in Ranks; the order is that of the device's current stream, and no call waits for it.
  virtual void Start(const at::Tensor& values) = 0;
  virtual void Finish() = 0;
};

// `broadcast` hands bytes from rank 0 to all. Throws DeviceError.
std::unique_ptr<DeviceSums> MakeNcclSums(int rank, int count, at::Device device,
                                         const std::function<void(void*, size_t)>& broadcast);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_RANKS_NCCL_H_
