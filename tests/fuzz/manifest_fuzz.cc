// A manifest of shards: refused by a ShardError, or written back as the same manifest with
// names that stay in their folder.
#include "base/check.h"
#include "shards/manifest.h"
#include "shards/token_shard.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  try {
    const ShardManifest manifest =
        ManifestFromJson({reinterpret_cast<const char*>(data), size}, "manifest.json");
    for (const ShardSet* set : {&manifest.train, &manifest.val}) {
      for (const ShardFile& file : set->files) {
        LOGLOG_CHECK(!file.name.empty() && file.name.find('/') == std::string::npos);
        LOGLOG_CHECK(file.name != "." && file.name != "..");
      }
    }
    const std::string json = ManifestToJson(manifest);
    LOGLOG_CHECK(ManifestToJson(ManifestFromJson(json, "again")) == json);
  } catch (const ShardError&) {
  }
  return 0;
}
