#ifndef LOGLOG_COORDINATOR_READY_QUEUE_H_
#define LOGLOG_COORDINATOR_READY_QUEUE_H_

#include <compare>
#include <cstdint>
#include <map>
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"

namespace loglog {

// Tasks that could start now, each in the queue of every sweep that wants it. Within a
// sweep the lowest band goes first, within a band what takes longest, then the lowest
// number. Tasks of one shape take time in proportion to their tokens, so that what is
// measured meanwhile changes the order of shapes and never that within one.
// Cost: logarithmic in what is queued, and linear in the shapes of a band.
// Confined to one thread.
class ReadyQueue {
 public:
  struct Place {
    int64_t sweep_id = 0;
    int64_t tokens = 0;  // of the task; 0 in sweeps that are ordered by number alone
    float shape = 0;     // FLOPs per token; 0 as above
    int32_t band = 0;
    int32_t number = 0;
  };
  using Places = absl::InlinedVector<Place, 1>;
  // How long so many tokens of a shape take.
  using Seconds = absl::FunctionRef<double(float shape, double tokens)>;

  // A task that is not queued. Without places it waits in no queue and never comes up.
  void Insert(int64_t task_id, const Places& places);
  // With the places that it was inserted with, which are not kept: a million may be queued.
  void Remove(int64_t task_id, const Places& places);
  // Tasks in the queue of this sweep.
  size_t SizeOf(int64_t sweep_id) const;

  // The first task of this sweep that `may_take` likes, 0 when there is none. Of tasks
  // that it does not like only so many of a band are asked about, lest a cell that failed on a
  // worker makes each of that worker's calls walk over all its seeds; of each band, lest the
  // branches of one that wait for their checkpoint's worker hide the work of all others.
  static constexpr int kAskedMax = 256;
  int64_t First(int64_t sweep_id, Seconds seconds,
                absl::FunctionRef<bool(int64_t task_id)> may_take) const;

 private:
  struct Item {
    int64_t minus_tokens = 0;
    int32_t number = 0;
    int64_t task_id = 0;
    auto operator<=>(const Item&) const = default;
  };
  using Items = absl::btree_set<Item>;
  using Shapes = std::map<float, Items>;  // no empty ones
  struct Queue {
    size_t size = 0;
    std::map<int32_t, Shapes> bands;  // no empty ones
  };

  absl::flat_hash_map<int64_t, Queue> queues_;  // by sweep; no empty ones
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_READY_QUEUE_H_
