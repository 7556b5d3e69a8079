#ifndef LOGLOG_BASE_JSON_DEPTH_H_
#define LOGLOG_BASE_JSON_DEPTH_H_

#include "absl/strings/string_view.h"

namespace loglog {

// How many levels of lists and objects JSON text has; of text that is no JSON, at least as
// many as a parser would get to. Looked at before text of others is parsed: writing a value
// again takes a stack frame for each level.
int JsonDepth(absl::string_view text);

}  // namespace loglog

#endif  // LOGLOG_BASE_JSON_DEPTH_H_
