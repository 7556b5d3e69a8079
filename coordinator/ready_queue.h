#ifndef LOGLOG_COORDINATOR_READY_QUEUE_H_
#define LOGLOG_COORDINATOR_READY_QUEUE_H_

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"

namespace loglog {

// Tasks that could start now, each in the queue of every sweep that wants it. Within a
// sweep the lowest rank goes first (the order that the plan gave the trials); between
// sweeps it goes round, so that a long sweep does not starve one submitted after it.
// Cost: logarithmic in what is queued, whatever else is in the store.
// Confined to one thread.
class ReadyQueue {
 public:
  struct Place {
    int64_t sweep_id = 0;
    int64_t rank = 0;
  };

  // Replaces the places of a task that is queued already. Without places the task
  // waits in no queue and never comes up.
  void Put(int64_t task_id, std::vector<Place> places);
  void Remove(int64_t task_id);
  bool Contains(int64_t task_id) const { return places_.contains(task_id); }
  size_t size() const { return places_.size(); }

  // Tasks that only paused sweeps want do not come up.
  void SetPaused(int64_t sweep_id, bool paused);

  // Takes out the first task that `may_take` likes, from the sweep whose turn it is;
  // 0 when there is none.
  int64_t Take(absl::FunctionRef<bool(int64_t task_id)> may_take);

 private:
  using Queue = std::set<std::pair<int64_t, int64_t>>;  // (rank, task)

  absl::flat_hash_map<int64_t, std::vector<Place>> places_;  // by task
  std::map<int64_t, Queue> queues_;                          // by sweep; no empty ones
  std::set<int64_t> paused_;
  int64_t last_served_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_READY_QUEUE_H_
