#ifndef LOGLOG_BASE_IO_GUARD_H_
#define LOGLOG_BASE_IO_GUARD_H_

namespace loglog {

// While one of these lives, its thread holds something that everybody waits for (the
// store's write transaction): no other input or output may happen on it.
class NoIoScope {
 public:
  NoIoScope();
  ~NoIoScope();
  NoIoScope(const NoIoScope&) = delete;
  NoIoScope& operator=(const NoIoScope&) = delete;
};

// For whatever may block: files, processes, the network. Aborts inside a NoIoScope,
// naming `what`.
void CheckIoAllowed(const char* what);

}  // namespace loglog

#endif  // LOGLOG_BASE_IO_GUARD_H_
