// Durations: never negative, and written back as the same.
#include "base/check.h"
#include "base/duration.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  const auto ms = ParseDurationMs({reinterpret_cast<const char*>(data), size});
  if (!ms.ok()) return 0;
  LOGLOG_CHECK(*ms >= 0);
  const auto again = ParseDurationMs(FormatDurationMs(*ms));
  LOGLOG_CHECK(again.ok() && *again == *ms);
  return 0;
}
