// Files that would be trained on and then validated on.
#ifndef LOGLOG_TRAINER_SHARED_FILES_H_
#define LOGLOG_TRAINER_SHARED_FILES_H_

#include <string>
#include <vector>

namespace loglog {

// The files that a glob of a spec matches.
struct GlobbedFiles {
  std::string glob;
  std::vector<std::string> paths;
};

// A loss on text that was trained on is no validation loss, and nothing later would show it.
// Throws ShardError, which names both globs, where a file is on both sides, by whatever paths;
// `such_as` ends its message. The files exist.
void RefuseSharedFiles(const std::vector<GlobbedFiles>& train, const std::vector<GlobbedFiles>& val,
                       const std::string& such_as);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_SHARED_FILES_H_
