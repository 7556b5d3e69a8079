#include "trainer/device.h"

#include <ATen/Context.h>

namespace loglog {

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
  // The CPU allocator has no type of error of its own.
  const bool out_of_memory = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                             what.find("can't allocate memory") != std::string::npos;
  if (out_of_memory) ThrowOutOfMemory(device, what);
  throw DeviceError("LibTorch failed on " + device.str() + ": " + what);
}

}  // namespace loglog
