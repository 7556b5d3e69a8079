#ifndef LOGLOG_STORE_TOKEN_H_
#define LOGLOG_STORE_TOKEN_H_

#include <string>

#include "absl/strings/string_view.h"

// The text of a bearer token. It is shown once, to whom it is made for; everything else
// knows its hash. Thread-safe.
namespace loglog {

// "llg_" and 64 hex digits: 256 random bits of the kernel, under a prefix that scanners for
// leaked secrets can be told.
std::string MakeToken();

// Whether it may be a token at all.
bool IsTokenForm(absl::string_view text);

// What the store keeps of it. Hashing once is enough: 256 random bits cannot be tried out.
std::string TokenSha256(absl::string_view token);

}  // namespace loglog

#endif  // LOGLOG_STORE_TOKEN_H_
