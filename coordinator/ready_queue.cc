#include "coordinator/ready_queue.h"

namespace loglog {

void ReadyQueue::Put(int64_t task_id, std::vector<Place> places) {
  Remove(task_id);
  for (const Place& place : places) queues_[place.sweep_id].insert({place.rank, task_id});
  places_[task_id] = std::move(places);
}

void ReadyQueue::Remove(int64_t task_id) {
  const auto it = places_.find(task_id);
  if (it == places_.end()) return;
  for (const Place& place : it->second) {
    const auto queue = queues_.find(place.sweep_id);
    queue->second.erase({place.rank, task_id});
    if (queue->second.empty()) queues_.erase(queue);
  }
  places_.erase(it);
}

void ReadyQueue::SetPaused(int64_t sweep_id, bool paused) {
  if (paused) {
    paused_.insert(sweep_id);
  } else {
    paused_.erase(sweep_id);
  }
}

int64_t ReadyQueue::Take(absl::FunctionRef<bool(int64_t)> may_take) {
  auto sweep = queues_.upper_bound(last_served_);
  for (size_t i = 0; i < queues_.size(); ++i, ++sweep) {
    if (sweep == queues_.end()) sweep = queues_.begin();
    if (paused_.contains(sweep->first)) continue;
    for (const auto& [rank, task_id] : sweep->second) {
      if (!may_take(task_id)) continue;
      last_served_ = sweep->first;
      const int64_t taken = task_id;
      Remove(taken);
      return taken;
    }
  }
  return 0;
}

}  // namespace loglog
