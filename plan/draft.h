#ifndef LOGLOG_PLAN_DRAFT_H_
#define LOGLOG_PLAN_DRAFT_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plan/fields.h"
#include "plan/spec.h"
#include "plan/spec_tree.h"

namespace loglog {

// A spec while it is being read: what was found, where it stood, what is wrong.
// The readers below each take one part of the tree; they go on after errors.
struct SpecDraft {
  SpecErrorSink* sink = nullptr;
  SweepSpec spec;
  std::map<std::string, SpecValue> values;  // scalar fields that are written and not null
  std::set<std::string> refused;            // scalar fields whose value was an error
  std::set<std::string> guessed;            // what unknown keys were probably meant to be
  // Of fields ("train.tokens"), sections ("train"), axis values ("axes.D.values[1]"),
  // arm entries ("arms.small.init.gamma"), fits ("fit[1].compare[0]").
  std::map<std::string, SpecPlace> places;

  // The most precise place known for a path: its own, or that of what it is part of.
  SpecPlace PlaceOf(absl::string_view path) const;
  void Refuse(const SpecPlace& place, std::string message, std::string suggestion,
              const std::string& field_path);
};

// Scalars of all sections, and the structured sections' nodes remembered by place only.
void ReadFields(const SpecNode& root, SpecDraft* draft);

// Axes without their `when`. Needs the fields.
void ReadAxes(const SpecNode& axes, SpecDraft* draft);
// The `when` of each axis. Needs axes and arms.
void ReadWhens(const SpecNode& axes, SpecDraft* draft);

// Needs axes. Without the section, arms are made of the axes that are not scaling axes.
void ReadArms(const SpecNode* arms, SpecDraft* draft);
void ReadExclude(const SpecNode& exclude, SpecDraft* draft);
void ReadOrder(const SpecNode* order, SpecDraft* draft);
void ReadFit(const SpecNode* fit, SpecDraft* draft);
// Its selector; the rest of the section is plain fields.
void ReadSchedule(const SpecNode& schedule, SpecDraft* draft);

// Base values: presets, defaults, what is missing. Needs all of the above.
void FillBase(SpecDraft* draft);

// A path that an axis or arm sets ("init.gamma"); an error at the wrong part of it, or
// nullptr. `seed` is no field: callers treat it first.
const SpecField* ResolvePath(absl::string_view path, const SpecPlace& place,
                             const std::string& field_path, SpecDraft* draft);

// Reads the value that `path` is set to: model.preset must name a shape.
std::optional<SpecValue> ReadPathValue(const SpecField& field, const SpecNode& node,
                                       const std::string& field_path, SpecDraft* draft);

// A list, or an error that says what was there instead.
bool ExpectList(const SpecNode& node, const std::string& field_path, SpecDraft* draft);
bool ExpectMap(const SpecNode& node, const std::string& field_path, SpecDraft* draft);

// Trial seeds as a field, for reading and checking them.
const SpecField& SeedField();

// True when axes or arms give `path` a value in every cell.
bool IsCovered(const SweepSpec& spec, absl::string_view path);
// True when some axis or arm sets it.
bool IsSwept(const SweepSpec& spec, absl::string_view path);

}  // namespace loglog

#endif  // LOGLOG_PLAN_DRAFT_H_
