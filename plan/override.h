#ifndef LOGLOG_PLAN_OVERRIDE_H_
#define LOGLOG_PLAN_OVERRIDE_H_

#include <string>

#include "plan/spec_tree.h"

namespace loglog {

// Applies one override in Hydra's form ("a.b=v", "+a.b=v", "++a.b=v", "~a.b") to the
// tree of a spec. `number`, from 1, names it in errors. What it sets carries its place.
void ApplyOverride(const std::string& text, int number, SpecNode* root, SpecErrorSink* sink);

}  // namespace loglog

#endif  // LOGLOG_PLAN_OVERRIDE_H_
