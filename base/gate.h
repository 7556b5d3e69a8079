#ifndef LOGLOG_BASE_GATE_H_
#define LOGLOG_BASE_GATE_H_

#include <atomic>
#include <memory>

namespace loglog {

// Lets so many in at one time. Thread-safe; outlives the passes.
class Gate {
 public:
  // Held by who was let in; the last copy to go makes room.
  using Pass = std::shared_ptr<void>;

  explicit Gate(int passes_max) : passes_max_(passes_max) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  int passes_max() const { return passes_max_; }
  // Null when there is no room.
  Pass TryEnter() {
    if (inside_.fetch_add(1) >= passes_max_) {
      inside_.fetch_sub(1);
      return nullptr;
    }
    return Pass(this, [](Gate* gate) { gate->inside_.fetch_sub(1); });
  }

 private:
  const int passes_max_;
  std::atomic<int> inside_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_BASE_GATE_H_
