#include "tests/sim/host_disk.h"

#include <algorithm>
#include <csignal>

#include "base/check.h"

namespace loglog::sim {

void HostDisk::Fill(int64_t ms) {
  // A write beyond the limit fails; it does not end the simulation.
  std::signal(SIGXFSZ, SIG_IGN);
  full_until_ms_ = std::max(full_until_ms_, world_->now_ms() + ms);
  room_bytes_ = static_cast<uint64_t>(world_->Between(0, 2'000));
}

HostDisk::Use::Use(const HostDisk& disk) : limited_(disk.full()) {
  if (!limited_) return;
  LOGLOG_CHECK(getrlimit(RLIMIT_FSIZE, &before_) == 0);
  rlimit limit = before_;
  limit.rlim_cur = disk.room_bytes_;
  LOGLOG_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

HostDisk::Use::~Use() {
  if (limited_) LOGLOG_CHECK(setrlimit(RLIMIT_FSIZE, &before_) == 0);
}

}  // namespace loglog::sim
