// Tasks that begin at the checkpoint of another one, as a cooldown begins at a trunk.
#ifndef LOGLOG_TRAINER_BRANCH_H_
#define LOGLOG_TRAINER_BRANCH_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

// What a checkpoint's loop.json says of the configurations that it was trained with.
nlohmann::ordered_json ConfigsJson(const std::vector<MemberConfig>& members);

// Throws ConfigError, naming `path` and the field, unless the first `step` steps of `members` are,
// number by number, those that the checkpoint with this loop.json was trained with: then a
// branch equals a run of its own with its configuration. Length and schedule may differ where
// learning rate and decay of those steps do not.
void CheckBranch(const nlohmann::ordered_json& loop, const std::vector<MemberConfig>& members,
                 int64_t step, const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_BRANCH_H_
