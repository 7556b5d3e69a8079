// What the engine needs of CUDA beside tensors. Linked with LOGLOG_CUDA only.
#ifndef LOGLOG_TRAINER_DEVICE_CUDA_H_
#define LOGLOG_TRAINER_DEVICE_CUDA_H_

#include <c10/core/Device.h>

#include <array>
#include <memory>

#include "trainer/step_ring.h"

namespace loglog {

// Makes the device this thread's current one, with a stream of its own: the default one cannot be
// captured.
void UseDevice(const at::Device& device);

// Of the thread's current stream.
std::unique_ptr<DeviceClock> MakeCudaClock(const at::Device& device, size_t slots);

// They run the first few times as they are, so that libraries and allocators have what they need,
// then capture their work in a CUDA graph and replay that. Where a capture fails they say so on
// stderr and go on as before. The two share the memory of what is allocated while captured, so no
// run may need what another one left there.
std::array<std::unique_ptr<Repeater>, 2> MakeGraphRepeaters();

}  // namespace loglog

#endif  // LOGLOG_TRAINER_DEVICE_CUDA_H_
