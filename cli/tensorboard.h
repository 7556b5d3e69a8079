#ifndef LOGLOG_CLI_TENSORBOARD_H_
#define LOGLOG_CLI_TENSORBOARD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// CRC-32C (Castagnoli), as in RFC 3720.
uint32_t Crc32c(absl::string_view bytes);

// One record of an event file: its length and its bytes, each with its masked checksum.
std::string EventRecord(absl::string_view bytes);

// The event file of a trial: its axes, seed and size as hyperparameters, its series as scalars, in
// order of their steps, and how it ended. Points carry no time: they lie evenly between the start
// and the end of the newest attempt.
std::string TensorBoardEvents(const v1::Trial& trial, const std::vector<v1::Series>& series);

// Writes it as `dir`/trial-<id>/events.out.tfevents.<start>.loglog and removes other event files
// there, which TensorBoard would show on top. INTERNAL names the path.
absl::Status WriteTensorBoard(const std::string& dir, const v1::Trial& trial,
                              const std::vector<v1::Series>& series);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_TENSORBOARD_H_
