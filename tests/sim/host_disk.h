#ifndef LOGLOG_TESTS_SIM_HOST_DISK_H_
#define LOGLOG_TESTS_SIM_HOST_DISK_H_

#include <sys/resource.h>

#include <cstdint>

#include "tests/sim/world.h"

namespace loglog::sim {

// The disk of a worker's host. While it is full, nothing that runs on the host can make a
// file longer than some bytes: the kernel's limit on the size of files stands in for it,
// which cuts writes short as a disk does that has little room left.
class HostDisk {
 public:
  explicit HostDisk(World* world) : world_(world) {}

  // Full for so long; then somebody has made room.
  void Fill(int64_t ms);
  bool full() const { return world_->now_ms() < full_until_ms_; }

  // What happens while one lives happens on this disk. They do not nest.
  class Use {
   public:
    explicit Use(const HostDisk& disk);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    const bool limited_;
    rlimit before_ = {};
  };

 private:
  World* const world_;
  int64_t full_until_ms_ = 0;
  uint64_t room_bytes_ = 0;  // of each file
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_HOST_DISK_H_
