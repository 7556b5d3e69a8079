#include "coordinator/ready_queue.h"

#include <vector>

#include "base/check.h"

namespace loglog {

void ReadyQueue::Insert(int64_t task_id, const Places& places) {
  for (const Place& place : places) {
    Queue& queue = queues_[place.sweep_id];
    ++queue.size;
    queue.bands[place.band][place.shape].insert({-place.tokens, place.number, task_id});
  }
}

void ReadyQueue::Remove(int64_t task_id, const Places& places) {
  for (const Place& place : places) {
    const auto queue = queues_.find(place.sweep_id);
    LOGLOG_CHECK(queue != queues_.end());
    const auto band = queue->second.bands.find(place.band);
    LOGLOG_CHECK(band != queue->second.bands.end());
    const auto shape = band->second.find(place.shape);
    LOGLOG_CHECK(shape != band->second.end());
    LOGLOG_CHECK(shape->second.erase({-place.tokens, place.number, task_id}) == 1);
    if (shape->second.empty()) band->second.erase(shape);
    if (band->second.empty()) queue->second.bands.erase(band);
    if (--queue->second.size == 0) queues_.erase(queue);
  }
}

size_t ReadyQueue::SizeOf(int64_t sweep_id) const {
  const auto queue = queues_.find(sweep_id);
  return queue == queues_.end() ? 0 : queue->second.size;
}

int64_t ReadyQueue::First(int64_t sweep_id, Seconds seconds,
                          absl::FunctionRef<bool(int64_t)> may_take) const {
  const auto queue = queues_.find(sweep_id);
  if (queue == queues_.end()) return 0;
  for (const auto& [band, shapes] : queue->second.bands) {
    int asked = 0;
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
      if (++asked >= kAskedMax) break;
      if (++head.next == head.end) heads.erase(heads.begin() + static_cast<int64_t>(longest));
    }
  }
  return 0;
}

}  // namespace loglog
