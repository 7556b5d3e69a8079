#include "plan/spec.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "plan/draft.h"
#include "plan/expand.h"
#include "plan/grid.h"
#include "plan/json_tree.h"
#include "plan/override.h"

namespace loglog {
namespace {

SpecDraft ReadSpec(const SpecNode& root, SpecErrorSink* sink) {
  SpecDraft draft;
  draft.sink = sink;
  draft.places[""] = root.keys.empty() ? root.place : root.keys[0].place;
  ReadFields(root, &draft);
  const SpecNode* axes = root.Find("axes");
  if (axes != nullptr) ReadAxes(*axes, &draft);
  ReadArms(root.Find("arms"), &draft);
  if (axes != nullptr) ReadWhens(*axes, &draft);
  if (const SpecNode* exclude = root.Find("exclude")) ReadExclude(*exclude, &draft);
  ReadOrder(root.Find("order"), &draft);
  ReadFit(root.Find("fit"), &draft);
  if (const SpecNode* schedule = root.Find("schedule")) ReadSchedule(*schedule, &draft);
  FillBase(&draft);
  return draft;
}

// A spec without errors that came as canonical JSON; nothing when either is not so.
std::optional<SweepSpec> ParseCanonical(absl::string_view text) {
  SpecNode root;
  if (!ParseJsonTree(text, &root)) return std::nullopt;
  SpecErrorSink sink;
  SpecDraft draft = ReadSpec(root, &sink);
  if (!sink.empty()) return std::nullopt;
  const Grid grid(draft.spec);
  if (!grid.CheckSize().ok() || !grid.FindErrors().empty()) return std::nullopt;
  return std::move(draft.spec);
}

}  // namespace

absl::StatusOr<SweepSpec> ParseSpec(absl::string_view text, absl::string_view filename,
                                    absl::Span<const std::string> overrides) {
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  if (overrides.empty()) {
    if (std::optional<SweepSpec> spec = ParseCanonical(text)) return *std::move(spec);
  }
  SpecErrorSink sink;
  const int source = sink.AddSource(std::string(filename), text);
  SpecNode root;
  if (!ParseSpecTree(text, source, 0, &sink, &root)) return sink.ToStatus();
  if (!root.is_map()) {
    sink.Add(root.place, absl::StrCat("a spec is a mapping, not ", root.Describe()),
             {"it starts with apiVersion: loglog/v1", "", "loglog explain"});
    return sink.ToStatus();
  }
  for (size_t i = 0; i < overrides.size(); ++i) {
    ApplyOverride(overrides[i], static_cast<int>(i) + 1, &root, &sink);
  }
  SpecDraft draft = ReadSpec(root, &sink);
  LOGLOG_RETURN_IF_ERROR(sink.ToStatus());
  const Grid grid(draft.spec);
  LOGLOG_RETURN_IF_ERROR(grid.CheckSize());
  for (SpecError& error : grid.FindErrors()) {
    const SpecPlace place = draft.PlaceOf(error.field_path);
    sink.Add(std::move(error), place);
  }
  LOGLOG_RETURN_IF_ERROR(sink.ToStatus());
  return std::move(draft.spec);
}

}  // namespace loglog
