// Starts kernel bodies on a GPU. No CUDA header is needed to call it.
#ifndef LOGLOG_TRAINER_GPU_LAUNCH_H_
#define LOGLOG_TRAINER_GPU_LAUNCH_H_

#include <cstdint>

#include "trainer/gpu_kernels.h"
#include "trainer/gpu_norms.h"
#include "trainer/gpu_updates.h"

namespace loglog {

// Puts blocks 0 .. blocks - 1 of `body` on the stream (a cudaStream_t) of the current device and
// returns at once. Nothing is launched for no blocks. Throws, with the body's name and CUDA's
// reason, DeviceError (OutOfMemoryError for want of memory) if the launch is refused or something
// before it has failed. Defined for the bodies of the headers included here.
template <typename Body>
void LaunchOnGpu(const Body& body, int64_t blocks, void* stream);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_LAUNCH_H_
