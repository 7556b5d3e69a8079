// Naming a device, and turning what LibTorch throws into the trainer's own errors.
#ifndef LOGLOG_TRAINER_DEVICE_H_
#define LOGLOG_TRAINER_DEVICE_H_

#include <c10/core/Device.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "trainer/config.h"

namespace loglog {

// "cpu" or "cuda:<n>". Throws ConfigError for another name, DeviceError for a device that
// this program or host does not have.
at::Device ParseDevice(const std::string& name);

// Rethrow as OutOfMemoryError where memory ran out, else as DeviceError; on a CPU as
// std::runtime_error, since no device failed.
[[noreturn]] void ThrowOutOfMemory(const at::Device& device, const std::string& detail);
[[noreturn]] void ThrowTranslated(const at::Device& device, const c10::Error& error);

// Runs `body` without autograd, its LibTorch errors translated.
template <typename Body>
auto Translated(const at::Device& device, Body body) -> decltype(body()) {
  try {
    const c10::InferenceMode no_autograd;
    return body();
  } catch (const std::bad_alloc&) {
    ThrowOutOfMemory(device, "allocation failed");
  } catch (const c10::Error& error) {
    ThrowTranslated(device, error);
  }
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_DEVICE_H_
