#include "trainer/shared_files.h"

#include <filesystem>
#include <map>

#include "shards/token_shard.h"

namespace loglog {

void RefuseSharedFiles(const std::vector<GlobbedFiles>& train, const std::vector<GlobbedFiles>& val,
                       const std::string& such_as) {
  std::map<std::string, std::string> trained;  // the glob that matches a file
  for (const GlobbedFiles& files : train) {
    for (const std::string& path : files.paths) {
      trained[std::filesystem::canonical(path).string()] = files.glob;
    }
  }
  for (const GlobbedFiles& files : val) {
    for (const std::string& path : files.paths) {
      const auto found = trained.find(std::filesystem::canonical(path).string());
      if (found == trained.end()) continue;
      throw ShardError("data.train.glob \"" + found->second + "\" and data.val.glob \"" +
                       files.glob + "\" both match " + path +
                       ", which would be trained on and then validated on; make them match "
                       "different files" +
                       such_as);
    }
  }
}

}  // namespace loglog
