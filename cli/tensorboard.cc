#include "cli/tensorboard.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tensorboard/events.pb.h"

namespace loglog::cli {
namespace {

namespace fs = std::filesystem;

constexpr absl::string_view kPrefix = "events.out.tfevents.";

std::array<uint32_t, 256> Crc32cTable() {
  constexpr uint32_t kReversedPolynomial = 0x82f63b78;
  std::array<uint32_t, 256> table = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? kReversedPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

// Checksums of data that holds checksums are hard on the code; the format turns them.
uint32_t MaskedCrc(absl::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

template <typename Integer>
std::string LittleEndian(Integer value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

void Append(const tensorboard::Event& event, std::string* file) {
  *file += EventRecord(event.SerializeAsString());
}

void AppendPlugin(const std::string& tag, const tensorboard::HParamsPluginData& content,
                  double seconds, std::string* file) {
  tensorboard::Event event;
  event.set_wall_time(seconds);
  tensorboard::Summary::Value* value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  auto* plugin = value->mutable_metadata()->mutable_plugin_data();
  plugin->set_plugin_name("hparams");
  plugin->set_content(content.SerializeAsString());
  Append(event, file);
}

void SetHParam(const std::string& name, absl::string_view text, tensorboard::SessionStart* start) {
  google::protobuf::Value& value = (*start->mutable_hparams())[name];
  double number = 0;
  if (absl::SimpleAtod(text, &number)) {
    value.set_number_value(number);
  } else if (text == "true" || text == "false") {
    value.set_bool_value(text == "true");
  } else {
    value.set_string_value(std::string(text));
  }
}

tensorboard::SessionEnd::Status StatusOf(v1::Trial::State state) {
  switch (state) {
    case v1::Trial::DONE:
    case v1::Trial::STOPPED:
      return tensorboard::SessionEnd::STATUS_SUCCESS;
    case v1::Trial::DIVERGED:
    case v1::Trial::FAILED:
    case v1::Trial::CANCELLED:
      return tensorboard::SessionEnd::STATUS_FAILURE;
    default:
      return tensorboard::SessionEnd::STATUS_RUNNING;
  }
}

std::string Folder(const v1::Trial& trial) {
  const std::string& name = trial.name();
  return absl::StrCat("trial-", name.substr(name.rfind('/') + 1));
}

}  // namespace

uint32_t Crc32c(absl::string_view bytes) {
  static const std::array<uint32_t, 256> table = Crc32cTable();
  uint32_t crc = ~uint32_t{0};
  for (const char byte : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<uint8_t>(byte)) & 255];
  return ~crc;
}

std::string EventRecord(absl::string_view bytes) {
  const std::string length = LittleEndian(uint64_t{bytes.size()});
  return absl::StrCat(length, LittleEndian(MaskedCrc(length)), bytes,
                      LittleEndian(MaskedCrc(bytes)));
}

std::string TensorBoardEvents(const v1::Trial& trial, const std::vector<v1::Series>& series) {
  const double begin = static_cast<double>(trial.start_time_ms()) / 1e3;
  const double end = std::max(begin, static_cast<double>(trial.end_time_ms()) / 1e3);
  std::string file;
  tensorboard::Event version;
  version.set_wall_time(begin);
  version.set_file_version("brain.Event:2");
  Append(version, &file);

  tensorboard::HParamsPluginData started;
  tensorboard::SessionStart* start = started.mutable_session_start_info();
  for (const auto& [axis, value] : trial.axes()) SetHParam(axis, value, start);
  SetHParam("seed", absl::StrCat(trial.seed()), start);
  SetHParam("params", absl::StrCat(trial.params_total()), start);
  SetHParam("tokens", absl::StrCat(trial.tokens_planned()), start);
  start->set_group_name(trial.cell_sha256());
  start->set_start_time_secs(begin);
  AppendPlugin("_hparams_/session_start_info", started, begin, &file);

  // Metrics of one step share an event.
  std::map<int64_t, tensorboard::Event> steps;
  for (const v1::Series& one : series) {
    for (const v1::Point& point : one.points()) {
      tensorboard::Summary::Value* value = steps[point.step()].mutable_summary()->add_value();
      value->set_tag(one.metric());
      value->set_simple_value(static_cast<float>(point.value()));
    }
  }
  const double last = steps.empty() ? 1 : std::max<double>(1, steps.rbegin()->first);
  for (auto& [step, event] : steps) {
    event.set_step(step);
    event.set_wall_time(begin + (end - begin) * static_cast<double>(step) / last);
    Append(event, &file);
  }

  tensorboard::HParamsPluginData ended;
  ended.mutable_session_end_info()->set_status(StatusOf(trial.state()));
  ended.mutable_session_end_info()->set_end_time_secs(end);
  AppendPlugin("_hparams_/session_end_info", ended, end, &file);
  return file;
}

absl::Status WriteTensorBoard(const std::string& dir, const v1::Trial& trial,
                              const std::vector<v1::Series>& series) {
  const fs::path folder = fs::path(dir) / Folder(trial);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::InternalError(
        absl::StrCat("cannot make ", folder.string(), ": ", error.message()));
  }
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (absl::StartsWith(entry.path().filename().string(), kPrefix)) fs::remove(entry, error);
  }
  const fs::path path = folder / absl::StrCat(kPrefix, trial.start_time_ms() / 1000, ".loglog");
  std::ofstream file(path, std::ios::binary);
  file << TensorBoardEvents(trial, series);
  file.close();
  if (file) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot write ", path.string(), ": is the disk full?"));
}

}  // namespace loglog::cli
