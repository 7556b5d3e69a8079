#ifndef LOGLOG_STORE_STORE_TESTING_H_
#define LOGLOG_STORE_STORE_TESTING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/store.h"

namespace loglog {

// A folder that goes away with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A sweep of `cells` x `seeds` trials, one solo task each, of 100 steps and 1,000
// tokens. Its spec hash depends on all arguments; cell i is the same in every sweep.
NewSweep SimpleSweep(const std::string& name, int cells, int seeds, int first_cell = 0);

WorkerRow SimpleWorker(const std::string& worker_id, const std::string& scope = "");

// Rows of steps first, first + stride, ... for member 0 with the metrics loss/train
// (= step + offset) and norm/grad (= -step).
Batch RowsBatch(int64_t attempt_id, int64_t first_seq, int64_t first_step, int count,
                double offset = 0, int64_t stride = 1);

}  // namespace loglog

#endif  // LOGLOG_STORE_STORE_TESTING_H_
