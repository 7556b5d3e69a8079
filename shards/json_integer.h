#ifndef LOGLOG_SHARDS_JSON_INTEGER_H_
#define LOGLOG_SHARDS_JSON_INTEGER_H_

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

namespace loglog {

// The integer under `key` of a nlohmann object. Throws a std::runtime_error that names the key
// when it is anything else: the library converts 1.5, 1e300 and 2^63 without a word, the last
// two to what is undefined.
template <typename Json>
int64_t IntegerAt(const Json& object, const char* key) {
  const Json& value = object.at(key);
  const bool fits = !value.is_number_unsigned() ||
                    value.template get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()};
  if (!value.is_number_integer() || !fits) {
    throw std::runtime_error(std::string(key) + " is " + value.dump() +
                             ", not an integer below 2^63");
  }
  return value.template get<int64_t>();
}

}  // namespace loglog

#endif  // LOGLOG_SHARDS_JSON_INTEGER_H_
