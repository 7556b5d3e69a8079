#include "trainer/device.h"

#include <ATen/Context.h>

#include <stdexcept>

namespace loglog {
namespace {

// Only the CUDA caching allocator has a type of error of its own.
bool IsOutOfMemory(const c10::Error& error, const std::string& what) {
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) return true;
  for (const char* text : {"can't allocate memory", "CUDA error: out of memory",
                           "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"}) {
    if (what.find(text) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

at::Device ParseDevice(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
  const std::string prefix = "cuda:";
  const std::string index = name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : "";
  if (index.empty() || index.size() > 3 ||
      index.find_first_not_of("0123456789") != std::string::npos) {
    throw ConfigError("device is '" + name + "'; use cpu or cuda:<number>");
  }
  if (!at::globalContext().hasCUDA()) {
    throw DeviceError("device is '" + name +
                      "' and this loglog-trainer finds no CUDA: build it with LOGLOG_CUDA=ON on a "
                      "host with a GPU driver, or use device cpu");
  }
  const int count = at::globalContext().getAcceleratorHooksInterface(at::kCUDA).deviceCount();
  if (std::stoi(index) >= count) {
    throw DeviceError("device is '" + name + "' and this host has " + std::to_string(count) +
                      " CUDA devices, numbered from 0");
  }
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(std::stoi(index)));
}

void ThrowOutOfMemory(const at::Device& device, const std::string& detail) {
  throw OutOfMemoryError("out of memory on " + device.str() +
                         "; use a smaller train.batch_tokens, model or number of members (" +
                         detail + ")");
}

void ThrowTranslated(const at::Device& device, const c10::Error& error) {
  const std::string what = error.what_without_backtrace();
  if (IsOutOfMemory(error, what)) ThrowOutOfMemory(device, what);
  // A CPU does not fail and run on: this is a fault of the program, on any host.
  if (device.is_cpu()) throw std::runtime_error("LibTorch failed on cpu: " + what);
  throw DeviceError("LibTorch failed on " + device.str() + ": " + what);
}

}  // namespace loglog
