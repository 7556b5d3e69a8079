// Cutting text that is UTF-8 and has to stay it: protobuf refuses a message with a broken string.
#ifndef LOGLOG_BASE_UTF8_H_
#define LOGLOG_BASE_UTF8_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace loglog {

// The longest beginning of valid UTF-8 that has at most `bytes_max` bytes and whole characters.
inline absl::string_view CutUtf8(absl::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t size = bytes_max;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

}  // namespace loglog

#endif  // LOGLOG_BASE_UTF8_H_
