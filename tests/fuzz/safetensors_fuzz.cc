// A file as safetensors: an input that begins with "H" is a header whose length is written before
// it, others are the whole file. It is refused, or its tensors lie inside of it, are as large as
// their shapes say, and a header that is made from them is read again alike.
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/check.h"
#include "trainer/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  std::string file(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] == 'H') {
    const size_t end = file.find('\n');
    const uint64_t length = end == std::string::npos ? size - 1 : end - 1;
    std::string prefix(8, '\0');
    std::memcpy(prefix.data(), &length, 8);
    file = prefix + file.substr(1, length) + (end == std::string::npos ? "" : file.substr(end + 1));
  }
  std::map<std::string, TensorView> tensors;
  try {
    tensors = ParseSafetensors(file, "file");
  } catch (const std::runtime_error&) {
    return 0;
  }
  std::vector<StateBuffer> buffers;
  std::string contents;
  for (const auto& [name, tensor] : tensors) {
    LOGLOG_CHECK(tensor.bytes.data() >= file.data() &&
                 tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
    buffers.push_back({.name = name,
                       .dtype = tensor.dtype,
                       .shape = tensor.shape,
                       .bytes = static_cast<int64_t>(tensor.bytes.size())});
    contents += tensor.bytes;
  }
  const std::string again = SafetensorsHeader(buffers) + contents;
  const auto reread = ParseSafetensors(again, "again");
  LOGLOG_CHECK(reread.size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const auto found = reread.find(name);
    LOGLOG_CHECK(found != reread.end() && found->second.shape == tensor.shape &&
                 found->second.dtype == tensor.dtype && found->second.bytes == tensor.bytes);
  }
  return 0;
}
