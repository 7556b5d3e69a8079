#include "coordinator/ready_queue.h"

namespace loglog {

const ReadyQueue::Places& ReadyQueue::Put(int64_t task_id, Places places) {
  Remove(task_id);
  for (const Place& place : places) {
    Queue& queue = queues_[place.sweep_id];
    ++queue.size;
    queue.bands[place.band][place.shape].insert({-place.tokens, place.number, task_id});
  }
  return places_[task_id] = std::move(places);
}

std::vector<int64_t> ReadyQueue::Remove(int64_t task_id) {
  std::vector<int64_t> sweeps;
  const auto it = places_.find(task_id);
  if (it == places_.end()) return sweeps;
  for (const Place& place : it->second) {
    sweeps.push_back(place.sweep_id);
    const auto queue = queues_.find(place.sweep_id);
    const auto band = queue->second.bands.find(place.band);
    const auto shape = band->second.find(place.shape);
    shape->second.erase({-place.tokens, place.number, task_id});
    if (shape->second.empty()) band->second.erase(shape);
    if (band->second.empty()) queue->second.bands.erase(band);
    if (--queue->second.size == 0) queues_.erase(queue);
  }
  places_.erase(it);
  return sweeps;
}

size_t ReadyQueue::SizeOf(int64_t sweep_id) const {
  const auto queue = queues_.find(sweep_id);
  return queue == queues_.end() ? 0 : queue->second.size;
}

int64_t ReadyQueue::First(int64_t sweep_id, Seconds seconds,
                          absl::FunctionRef<bool(int64_t)> may_take) const {
  const auto queue = queues_.find(sweep_id);
  if (queue == queues_.end()) return 0;
  int asked = 0;
  for (const auto& [band, shapes] : queue->second.bands) {
    // The heads of the shapes, merged by time.
    struct Head {
      float shape;
      Items::const_iterator next, end;
    };
    std::vector<Head> heads;
    for (const auto& [shape, items] : shapes) heads.push_back({shape, items.begin(), items.end()});
    while (!heads.empty()) {
      size_t longest = 0;
      double longest_s = -1;
      for (size_t i = 0; i < heads.size(); ++i) {
        const Item& item = *heads[i].next;
        const double s = seconds(heads[i].shape, static_cast<double>(-item.minus_tokens));
        if (s > longest_s || (s == longest_s && item.number < heads[longest].next->number)) {
          longest = i;
          longest_s = s;
        }
      }
      Head& head = heads[longest];
      const int64_t task_id = head.next->task_id;
      if (may_take(task_id)) return task_id;
      if (++asked >= kAskedMax) return 0;
      if (++head.next == head.end) heads.erase(heads.begin() + static_cast<int64_t>(longest));
    }
  }
  return 0;
}

}  // namespace loglog
