#ifndef LOGLOG_COORDINATOR_ID_SET_H_
#define LOGLOG_COORDINATOR_ID_SET_H_

#include <algorithm>
#include <cstdint>

#include "coordinator/few.h"

namespace loglog {

// A few ids, in order; mostly one. Any change ends all iterators.
class IdSet {
 public:
  using const_iterator = Few<int64_t>::const_iterator;

  const_iterator begin() const { return ids_.begin(); }
  const_iterator end() const { return ids_.end(); }
  bool empty() const { return ids_.empty(); }
  size_t size() const { return ids_.size(); }
  bool contains(int64_t id) const { return std::binary_search(ids_.begin(), ids_.end(), id); }
  int64_t front() const { return ids_.front(); }

  // Whether it is new.
  bool insert(int64_t id) {
    const auto* const at = std::lower_bound(ids_.begin(), ids_.end(), id);
    if (at != ids_.end() && *at == id) return false;
    ids_.insert(at, id);
    return true;
  }
  void erase(int64_t id) {
    const auto* const at = std::lower_bound(ids_.begin(), ids_.end(), id);
    if (at != ids_.end() && *at == id) ids_.erase(at);
  }

 private:
  Few<int64_t> ids_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ID_SET_H_
