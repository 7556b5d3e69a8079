// A trainer's task.json: refused by a ConfigError, or its members have one canonical form.
#include "base/check.h"
#include "trainer/config.h"
#include "trainer/task.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  try {
    const Task task =
        ParseTask({reinterpret_cast<const char*>(data), size}, "task.json", "/folder");
    LOGLOG_CHECK(!task.members.empty());
    LOGLOG_CHECK(task.BeginStep() <= task.EndStep());
    LOGLOG_CHECK(ConfigSha256(task.members) == ConfigSha256(task.members));
  } catch (const ConfigError&) {
  }
  return 0;
}
