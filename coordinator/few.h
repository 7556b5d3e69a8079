#ifndef LOGLOG_COORDINATOR_FEW_H_
#define LOGLOG_COORDINATOR_FEW_H_

#include <cstddef>
#include <memory>
#include <vector>

namespace loglog {

// Mostly one value, at times a few: one takes no memory of its own and little room, as there may
// be a million of these. T() is none, and never a value. Any change ends all iterators.
template <typename T>
class Few {
 public:
  using const_iterator = const T*;

  const T* begin() const { return several_ == nullptr ? &one_ : several_->data(); }
  const T* end() const { return begin() + size(); }
  size_t size() const {
    if (several_ != nullptr) return several_->size();
    return one_ == T() ? 0 : 1;
  }
  bool empty() const { return size() == 0; }
  const T& front() const { return *begin(); }

  // Before what `at` points to.
  void insert(const T* at, const T& value) {
    if (empty() && several_ == nullptr) {
      one_ = value;
      return;
    }
    const ptrdiff_t index = at - begin();
    if (several_ == nullptr) several_ = std::make_unique<std::vector<T>>(1, one_);
    several_->insert(several_->begin() + index, value);
  }
  void push_back(const T& value) { insert(end(), value); }
  void erase(const T* at) {
    if (several_ == nullptr) {
      one_ = T();
    } else {
      several_->erase(several_->begin() + (at - begin()));
    }
  }

 private:
  T one_ = T();                              // the only one, while several_ is null
  std::unique_ptr<std::vector<T>> several_;  // all of them, since there were two
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_FEW_H_
