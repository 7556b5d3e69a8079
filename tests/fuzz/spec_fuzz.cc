// Any text as a spec.
#include "tests/fuzz/spec_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  loglog::CheckSpecText({reinterpret_cast<const char*>(data), size}, {});
  return 0;
}
