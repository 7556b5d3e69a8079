#ifndef LOGLOG_TESTS_FUZZ_FUZZ_INPUT_H_
#define LOGLOG_TESTS_FUZZ_FUZZ_INPUT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace loglog {

// Takes the bytes of an input apart, front to back: choices first, then what they are
// about. An input that is used up gives zeros. (Clang's FuzzedDataProvider would do, but the
// corpus is also replayed by builds without clang.)
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return byte;
  }
  // From 0 to `max`, of one byte.
  int Small(int max) { return Byte() % (max + 1); }
  int64_t Integer() {
    int64_t value = 0;
    const size_t size = std::min(rest_.size(), sizeof(value));
    if (size > 0) std::memcpy(&value, rest_.data(), size);
    rest_.remove_prefix(size);
    return value;
  }
  double Real() {
    const int64_t bits = Integer();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }
  std::string Text(size_t bytes_max) {
    const size_t wished = Byte();  // of the rest, hence taken first
    const size_t size = std::min({wished, bytes_max, rest_.size()});
    std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  absl::string_view Rest() {
    const absl::string_view rest = rest_;
    rest_ = {};
    return rest;
  }

 private:
  absl::string_view rest_;
};

}  // namespace loglog

#endif  // LOGLOG_TESTS_FUZZ_FUZZ_INPUT_H_
