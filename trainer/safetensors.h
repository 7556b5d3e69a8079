// The safetensors format: a length, a JSON header, then the tensors' bytes, little endian.
#ifndef LOGLOG_TRAINER_SAFETENSORS_H_
#define LOGLOG_TRAINER_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/engine.h"

namespace loglog {

// What a file with these tensors, one after the other, begins with. The data that follow are
// aligned to 8 bytes.
std::string SafetensorsHeader(const std::vector<StateBuffer>& tensors);

struct TensorView {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string_view bytes;
};

// The tensors of a whole file, by name; the views are into `contents`. Throws
// std::runtime_error, beginning with `path`, for a file that is cut short or contradicts
// itself: every offset is checked before it is used.
std::map<std::string, TensorView> ParseSafetensors(std::string_view contents,
                                                   const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_SAFETENSORS_H_
