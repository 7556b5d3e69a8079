#ifndef LOGLOG_CLI_RENDER_STYLE_H_
#define LOGLOG_CLI_RENDER_STYLE_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace loglog::cli {

// How text may look. Immutable. Without colour every function returns its text
// unchanged, so piped output carries no escape byte.
struct Style {
  bool color = false;
  bool unicode = false;
  int columns = 80;

  std::string Bold(absl::string_view text) const { return Paint("1", text); }
  std::string Dim(absl::string_view text) const { return Paint("2", text); }
  std::string Red(absl::string_view text) const { return Paint("31", text); }
  std::string Green(absl::string_view text) const { return Paint("32", text); }
  std::string Yellow(absl::string_view text) const { return Paint("33", text); }
  std::string Cyan(absl::string_view text) const { return Paint("36", text); }
  // One of six colours that stay apart for colour-blind readers, by series index.
  std::string Series(int index, absl::string_view text) const {
    static constexpr const char* kCodes[] = {"38;5;32",  "38;5;208", "38;5;36",
                                             "38;5;162", "38;5;220", "38;5;75"};
    return Paint(kCodes[index % 6], text);
  }

 private:
  std::string Paint(absl::string_view code, absl::string_view text) const {
    if (!color || text.empty()) return std::string(text);
    return absl::StrCat("\x1b[", code, "m", text, "\x1b[0m");
  }
};

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_RENDER_STYLE_H_
