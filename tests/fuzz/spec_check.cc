#include "tests/fuzz/spec_check.h"

#include <set>

#include "base/check.h"
#include "nlohmann/json.hpp"
#include "plan/expand.h"
#include "plan/grid.h"
#include "plan/spec.h"
#include "plan/spec_error.h"

namespace loglog {
namespace {

constexpr int64_t kTrialsMax = 64;  // more would only be slower

void CheckErrors(const absl::Status& status) {
  LOGLOG_CHECK(!status.message().empty());
  const std::vector<SpecError> errors = SpecErrorsOf(status);
  LOGLOG_CHECK(static_cast<int>(errors.size()) <= kSpecErrorsMax);
  for (const SpecError& error : errors) {
    LOGLOG_CHECK(!error.message.empty());
    LOGLOG_CHECK(error.line >= 0 && error.column >= 0 && error.length >= 0);
  }
  // What `-o json` prints has to be JSON, whatever the text was.
  LOGLOG_CHECK(nlohmann::json::accept(SpecErrorsJson(status)));
}

void CheckExpansion(const SweepSpec& spec) {
  const Grid grid(spec);
  if (!grid.CheckSize().ok() || grid.full_trials() > kTrialsMax) return;
  const absl::StatusOr<Expansion> expansion = Expand(spec);
  if (!expansion.ok()) return CheckErrors(expansion.status());
  std::set<std::string> trials;
  for (const PlannedTrial& trial : expansion->trials) {
    LOGLOG_CHECK(trial.cell >= 0 && trial.cell < static_cast<int>(expansion->cells.size()));
    LOGLOG_CHECK(trials.insert(trial.sha256).second);
  }
  int64_t dropped = 0;
  for (const auto& drop : expansion->dropped) dropped += drop.count;
  LOGLOG_CHECK(static_cast<int64_t>(trials.size()) + dropped == expansion->grid_trials);
}

}  // namespace

void CheckSpecText(absl::string_view text, const std::vector<std::string>& overrides) {
  const absl::StatusOr<SweepSpec> spec = ParseSpec(text, "fuzz.yaml", overrides);
  if (!spec.ok()) return CheckErrors(spec.status());
  const std::string json = CanonicalJson(*spec);
  LOGLOG_CHECK(nlohmann::json::accept(json));
  const absl::StatusOr<SweepSpec> again = ParseSpec(json, "canonical");
  if (!again.ok())
    std::fprintf(stderr, "%s\n%s\n", json.c_str(), again.status().ToString().c_str());
  LOGLOG_CHECK(again.ok());
  if (CanonicalJson(*again) != json) {
    std::fprintf(stderr, "%s\n%s\n", json.c_str(), CanonicalJson(*again).c_str());
  }
  LOGLOG_CHECK(CanonicalJson(*again) == json);
  LOGLOG_CHECK(SpecSha256(*again) == SpecSha256(*spec));
  // One line of JSON is read by another parser than YAML is; the end of a line makes it YAML.
  const absl::StatusOr<SweepSpec> yaml = ParseSpec(json + "\n", "canonical");
  LOGLOG_CHECK(yaml.ok() && CanonicalJson(*yaml) == json);
  CheckExpansion(*spec);
}

}  // namespace loglog
