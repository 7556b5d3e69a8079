#ifndef LOGLOG_TESTS_FUZZ_BATCH_WORLD_H_
#define LOGLOG_TESTS_FUZZ_BATCH_WORLD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "store/store.h"
#include "store/store_testing.h"

namespace loglog {

// A store with a few attempts, and beside it what must be in it: a model of a few lines to
// which every batch that is accepted is applied as well.
//   attempt 1  of task 1, one member; superseded by attempt 2, so stale
//   attempt 2  of task 1, resumed at step 5 of attempt 1
//   attempt 3  of task 2, two members
class BatchWorld {
 public:
  static constexpr int64_t kAttempts = 3;

  BatchWorld();

  void Begin();
  // Applies a batch to the store and, when it is accepted, to the model. Aborts when the
  // store changed by a batch that it refused, or acknowledges by another rule.
  void Apply(Batch batch);
  // Aborts unless all curves are what the model says.
  void CheckCurves();
  void Rollback();
  // Commits, reads everything again through a new store, checks the store as `loglog store
  // check` does, and puts the old one back.
  void CommitAndCheck();

  int64_t last_seq(int64_t attempt_id) const { return last_seq_.at(attempt_id); }
  int64_t last_step(int64_t attempt_id) const { return last_step_.at(attempt_id); }

 private:
  struct ModelPoint {
    int64_t tokens = 0;
    double value = 0;
  };
  // (task, member), metric -> step -> point
  using Curves =
      std::map<std::pair<std::pair<int64_t, int>, std::string>, std::map<int64_t, ModelPoint>>;

  void Open();
  // All that a batch may change, as text.
  std::string Digest() const;
  void ApplyToModel(const Batch& batch, size_t skipped);

  TempFolder folder_;
  std::string template_;  // the bytes of the store's file
  std::unique_ptr<Store> store_;

  Curves first_curves_;
  Curves curves_;
  std::map<int64_t, int64_t> first_seq_;
  std::map<int64_t, int64_t> last_seq_;
  std::map<int64_t, int64_t> last_step_;
};

}  // namespace loglog

#endif  // LOGLOG_TESTS_FUZZ_BATCH_WORLD_H_
