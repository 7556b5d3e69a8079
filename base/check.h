#ifndef LOGLOG_BASE_CHECK_H_
#define LOGLOG_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

// An invariant, checked in release builds too. Aborting is safe: what was
// acknowledged is in the store, and a restart picks up from there.
#define LOGLOG_CHECK(condition)                                                              \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: invariant failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

#endif  // LOGLOG_BASE_CHECK_H_
