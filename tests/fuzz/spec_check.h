#ifndef LOGLOG_TESTS_FUZZ_SPEC_CHECK_H_
#define LOGLOG_TESTS_FUZZ_SPEC_CHECK_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace loglog {

// What must hold of whatever text is read as a spec: it is refused with errors that have a
// place and words, or its canonical JSON is read back to the same spec with the same hash,
// and a small grid of it expands to the trials that it counts.
void CheckSpecText(absl::string_view text, const std::vector<std::string>& overrides);

}  // namespace loglog

#endif  // LOGLOG_TESTS_FUZZ_SPEC_CHECK_H_
