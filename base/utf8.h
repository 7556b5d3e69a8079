// Text that is UTF-8 and has to stay it, also when it is cut: protobuf refuses a message with a
// broken string.
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

// Bytes of the UTF-8 character that the text starts with; 0 when it starts with none.
inline size_t Utf8Size(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty() || byte(0) < 0x80) return text.empty() ? 0 : 1;
  const size_t size = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and beyond the last code point.
  const bool wrong = (byte(0) == 0xe0 && byte(1) < 0xa0) || (byte(0) == 0xed && byte(1) > 0x9f) ||
                     (byte(0) == 0xf0 && byte(1) < 0x90) || (byte(0) == 0xf4 && byte(1) > 0x8f);
  return wrong ? 0 : size;
}

}  // namespace loglog

#endif  // LOGLOG_BASE_UTF8_H_
