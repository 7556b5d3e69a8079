#ifndef LOGLOG_PLAN_JSON_TREE_H_
#define LOGLOG_PLAN_JSON_TREE_H_

#include "absl/strings/string_view.h"
#include "plan/spec_tree.h"

namespace loglog {

// The tree of a spec that is written as CanonicalJson writes it: one line of JSON without
// escapes. It is the tree of ParseSpecTree but for the places, which are not known, in a
// fraction of the time: specs come to the coordinator so, and from its store. False for any
// other text, and for one that ParseSpecTree refuses; only that one says why.
bool ParseJsonTree(absl::string_view text, SpecNode* root);

}  // namespace loglog

#endif  // LOGLOG_PLAN_JSON_TREE_H_
