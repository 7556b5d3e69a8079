#include "trainer/safetensors.h"

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "shards/json_integer.h"

namespace loglog {
namespace {

using nlohmann::ordered_json;

constexpr size_t kLengthBytes = 8;

int64_t ElementBytes(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  return dtype == "I8" || dtype == "U8" || dtype == "BOOL" ? 1 : 0;
}

// Bytes of a tensor, or -1 when its shape makes no sense.
int64_t ExpectedBytes(const std::string& dtype, const std::vector<int64_t>& shape) {
  int64_t bytes = ElementBytes(dtype);
  if (bytes == 0) return -1;
  for (const int64_t size : shape) {
    if (size < 0 || (size > 0 && bytes > std::numeric_limits<int64_t>::max() / size)) return -1;
    bytes *= size;
  }
  return bytes;
}

}  // namespace

std::string SafetensorsHeader(const std::vector<StateBuffer>& tensors) {
  ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  int64_t offset = 0;
  for (const StateBuffer& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  std::string prefix(kLengthBytes, '\0');
  std::memcpy(prefix.data(), &length, kLengthBytes);
  return prefix + text;
}

std::map<std::string, TensorView> ParseSafetensors(std::string_view contents,
                                                   const std::string& path) {
  const auto refuse = [&](const std::string& what) -> void {
    throw std::runtime_error(path + ": " + what + "; it is damaged, or no safetensors file");
  };
  uint64_t length = 0;
  if (contents.size() < kLengthBytes) refuse("is shorter than the length of its header");
  std::memcpy(&length, contents.data(), kLengthBytes);
  if (length > contents.size() - kLengthBytes) {
    refuse("has a header of " + std::to_string(length) + " bytes, more than the file");
  }
  const std::string_view data = contents.substr(kLengthBytes + length);
  const ordered_json header =
      ordered_json::parse(contents.substr(kLengthBytes, length), nullptr, false);
  if (!header.is_object()) refuse("has a header that is not a JSON object");
  std::map<std::string, TensorView> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    try {
      TensorView tensor{.dtype = entry.at("dtype").get<std::string>()};
      for (const ordered_json& size : entry.at("shape")) {
        if (!size.is_number_integer())
          refuse("gives tensor '" + name + "' a shape of other than whole numbers");
        tensor.shape.push_back(size.get<int64_t>());
      }
      const ordered_json& offsets = entry.at("data_offsets");
      if (!offsets.at(0).is_number_integer() || !offsets.at(1).is_number_integer()) {
        refuse("gives tensor '" + name + "' offsets that are no whole numbers");
      }
      const int64_t begin = offsets.at(0).get<int64_t>();
      const int64_t end = offsets.at(1).get<int64_t>();
      if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data.size()) {
        refuse("places tensor '" + name + "' outside of its data");
      }
      if (ExpectedBytes(tensor.dtype, tensor.shape) != end - begin) {
        refuse("gives tensor '" + name + "' another number of bytes than its shape takes");
      }
      tensor.bytes = data.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
      tensors.emplace(name, tensor);
    } catch (const ordered_json::exception& error) {
      refuse("describes tensor '" + name + "' in another form: " + error.what());
    }
  }
  return tensors;
}

}  // namespace loglog
