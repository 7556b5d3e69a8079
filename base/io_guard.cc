#include "base/io_guard.h"

#include <cstdio>
#include <cstdlib>

namespace loglog {
namespace {

thread_local int scopes = 0;

}  // namespace

NoIoScope::NoIoScope() { ++scopes; }
NoIoScope::~NoIoScope() { --scopes; }

void CheckIoAllowed(const char* what) {
  if (scopes == 0) return;
  std::fprintf(stderr, "invariant failed: %s within a write transaction\n", what);
  std::abort();
}

}  // namespace loglog
