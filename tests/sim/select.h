#ifndef LOGLOG_TESTS_SIM_SELECT_H_
#define LOGLOG_TESTS_SIM_SELECT_H_

#include <string>
#include <vector>

namespace loglog::sim {

using Rows = std::vector<std::vector<std::string>>;

// All rows of a store as text, as they are now, without a trace in its files. Doubles keep
// all their digits. A failure is one row that begins with "error".
Rows Select(const std::string& path, const std::string& sql);

// While one lives, Select goes on with one connection, which is several times faster. Nobody
// may write to the store meanwhile.
class SelectOften {
 public:
  explicit SelectOften(const std::string& path);
  ~SelectOften();
  SelectOften(const SelectOften&) = delete;
  SelectOften& operator=(const SelectOften&) = delete;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_SELECT_H_
