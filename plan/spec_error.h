#ifndef LOGLOG_PLAN_SPEC_ERROR_H_
#define LOGLOG_PLAN_SPEC_ERROR_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace loglog {

// One thing that is wrong with a spec, and where.
struct SpecError {
  std::string message;     // "unknown key `weigth_decay`"
  std::string file;        // as given to ParseSpec; "override 2" for the second override
  int line = 0;            // from 1; 0: no place in a text
  int column = 0;          // from 1, in characters
  int length = 0;          // characters underlined
  std::string source;      // the line of text itself
  std::string suggestion;  // "did you mean `weight_decay`?"; may be empty
  std::string field_path;  // "train.weight_decay" or "axes.lambda.path"; may be empty
  std::string hint;        // "loglog explain train"; may be empty
};

// At most this many errors of one spec are reported.
inline constexpr int kSpecErrorsMax = 20;

// INVALID_ARGUMENT whose message is every error as people read it (the screen of
// `loglog plan` on a bad spec), and which carries the errors themselves.
// `and_more`: there were more than these.
absl::Status SpecErrorStatus(const std::vector<SpecError>& errors, bool and_more = false);

// The errors that a status of plan/ carries; empty for any other status.
std::vector<SpecError> SpecErrorsOf(const absl::Status& status);

// The same as a JSON array of objects, for `-o json`; "[]" for any other status.
std::string SpecErrorsJson(const absl::Status& status);

// `errors` as people read them.
std::string RenderSpecErrors(const std::vector<SpecError>& errors, bool and_more = false);

}  // namespace loglog

#endif  // LOGLOG_PLAN_SPEC_ERROR_H_
