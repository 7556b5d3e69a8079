#ifndef LOGLOG_STORE_GATHER_VFS_H_
#define LOGLOG_STORE_GATHER_VFS_H_

#include <sqlite3.h>

namespace loglog {

// The name of an SQLite file layer that stands before the process's default one and gathers
// the writes of a write-ahead log. SQLite logs each page by two writes, its head of 24 bytes
// and the page; here neighbours become one write, made before the log is synced, read,
// measured or cut. An error of that write is the answer to the sync, so that the commit
// fails as it would have.
//
// Only for connections with `synchronous = FULL`: there SQLite syncs the log before it tells
// other connections of what is new in it, so nobody looks for what is still held back. On a
// disk that does not promise SQLITE_IOCAP_POWERSAFE_OVERWRITE nothing is held.
//
// Call it before each open: the default layer may have changed. Thread-safe.
const char* GatherVfsName();

}  // namespace loglog

#endif  // LOGLOG_STORE_GATHER_VFS_H_
