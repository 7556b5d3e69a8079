#include "trainer/branch.h"

#include "trainer/schedule.h"
#include "trainer/task.h"

namespace loglog {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// Fields that act through the learning rate and the decay of a step alone.
constexpr const char* kScheduleFields[] = {
    "tokens",         "schedule",     "warmup",      "warmup_tokens", "cooldown",
    "cooldown_shape", "min_lr_ratio", "decay_begin", "decay_end",     "decay_windows"};

// Without what may differ: the schedule, and how often is measured.
json Comparable(json member) {
  json& config = member.at("config");
  for (const char* field : kScheduleFields) config.at("train").erase(field);
  config.erase("eval");
  config.erase("metrics");
  return member;
}

// The path of the first field in which the two differ.
std::string Difference(const json& a, const json& b) {
  const json flat_a = a.flatten(), flat_b = b.flatten();
  for (const json* side : {&flat_a, &flat_b}) {
    for (const auto& [path, value] : side->items()) {
      if (flat_a.value(path, json()) != flat_b.value(path, json())) return path;
    }
  }
  return "";
}

}  // namespace

ordered_json ConfigsJson(const std::vector<MemberConfig>& members) {
  ordered_json configs = ordered_json::array();
  for (const MemberConfig& member : members) {
    configs.push_back(ordered_json::parse(CanonicalMember(member)));
  }
  return configs;
}

void CheckBranch(const ordered_json& loop, const std::vector<MemberConfig>& members, int64_t step,
                 const std::string& path) {
  if (!loop.contains("configs")) {
    throw ConfigError(path +
                      ": was written before checkpoints held their configuration, so what it was "
                      "trained with is unknown; branch from one of this version");
  }
  const ordered_json& configs = loop.at("configs");
  if (configs.size() != members.size()) {
    throw ConfigError(path + ": has " + std::to_string(configs.size()) + " members and this task " +
                      std::to_string(members.size()) + "; branch with as many");
  }
  for (size_t i = 0; i < members.size(); ++i) {
    const std::string member = "members[" + std::to_string(i) + "]";
    const MemberConfig parent = ParseCanonicalMember(configs[i].dump(), path);
    const std::string difference = Difference(Comparable(json::parse(CanonicalMember(parent))),
                                              Comparable(json::parse(CanonicalMember(members[i]))));
    if (!difference.empty()) {
      throw ConfigError(path + ": was trained with another " + difference + " than " + member +
                        " asks for; a branch may change length and schedule alone");
    }
    for (int64_t t = 0; t < step; ++t) {
      if (LearningRate(parent.train, t) == LearningRate(members[i].train, t) &&
          DecayRate(parent.train, t) == DecayRate(members[i].train, t)) {
        continue;
      }
      throw ConfigError(path + ": had another learning rate or decay at step " + std::to_string(t) +
                        " than the schedule of " + member +
                        "; branch before that, or give the warm-up in tokens and let the cooldown "
                        "begin later");
    }
  }
}

}  // namespace loglog
