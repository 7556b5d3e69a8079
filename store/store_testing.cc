#include "store/store_testing.h"

#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "shards/sha256.h"

namespace loglog {

TempFolder::TempFolder() {
  // In memory where that is possible: what is tested is not the disk's speed.
  std::error_code ignored;
  const std::filesystem::path parent = std::filesystem::is_directory("/dev/shm", ignored)
                                           ? "/dev/shm"
                                           : std::filesystem::temp_directory_path();
  std::string name = (parent / "loglog-store-XXXXXX").string();
  LOGLOG_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

NewSweep SimpleSweep(const std::string& name, int cells, int seeds, int first_cell) {
  NewSweep sweep;
  sweep.name = name;
  sweep.spec_json =
      absl::StrCat("{\"cells\":", cells, ",\"first\":", first_cell, ",\"seeds\":", seeds, "}");
  sweep.spec_sha256 = Sha256Hex(sweep.spec_json + name);
  sweep.create_ms = 1000;
  for (int i = 0; i < cells; ++i) {
    NewCell cell;
    cell.config_json = absl::StrCat("{\"cell\":", first_cell + i, "}");
    cell.sha256 = Sha256Hex(cell.config_json);
    cell.arm = i % 2 == 0 ? "small" : "large";
    cell.axes_json = absl::StrCat("{\"D\":\"", 1000 * (i + 1), "\"}");
    cell.params_total = 120;
    cell.params_non_embedding = 100;
    cell.tokens = 1000;
    cell.steps = 100;
    cell.flops = 6.0e5;
    sweep.cells.push_back(cell);
  }
  for (int seed = 0; seed < seeds; ++seed) {
    for (int i = 0; i < cells; ++i) {
      sweep.tasks.push_back({{static_cast<int>(sweep.trials.size())}, 0, 1000, -1});
      sweep.trials.push_back({i, seed, Sha256Hex(absl::StrCat(sweep.cells[i].sha256, ":", seed))});
    }
  }
  return sweep;
}

WorkerRow SimpleWorker(const std::string& worker_id, const std::string& scope) {
  WorkerRow worker;
  worker.worker_id = worker_id;
  worker.boot_id = "boot";
  worker.host = "host";
  worker.version = "0.1.0";
  worker.slots = 4;
  worker.slots_json = "[]";
  worker.labels_json = "{}";
  worker.device = "cpu";
  worker.checkpoint_scope = scope;
  worker.register_ms = 1000;
  return worker;
}

Batch RowsBatch(int64_t attempt_id, int64_t first_seq, int64_t first_step, int count, double offset,
                int64_t stride) {
  Batch batch;
  batch.attempt_id = attempt_id;
  batch.first_seq = first_seq;
  batch.metrics = {"loss/train", "norm/grad"};
  batch.time_ms = 2000;
  for (int i = 0; i < count; ++i) {
    const int64_t step = first_step + i * stride;
    const double value = static_cast<double>(step);
    batch.events.emplace_back(MetricRow{0, step, step * 10, {{0, value + offset}, {1, -value}}});
  }
  return batch;
}

}  // namespace loglog
