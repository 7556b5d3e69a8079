// Event files, read back record by record. tests/oracle reads them with TensorBoard itself.
#include "cli/tensorboard.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "cli/commands_testing.h"
#include "tensorboard/events.pb.h"

namespace loglog::cli {
namespace {

using ::testing::HasSubstr;

TEST(TensorBoard, ChecksumsAreThoseOfTheStandard) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aa);  // RFC 3720, B.4
  const std::string record = EventRecord("abc");
  EXPECT_EQ(record.size(), 8 + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
}

std::vector<tensorboard::Event> Events(const std::string& file) {
  std::vector<tensorboard::Event> events;
  for (size_t at = 0; at < file.size();) {
    uint64_t length = 0;
    std::memcpy(&length, file.data() + at, 8);
    const std::string bytes = file.substr(at + 12, length);
    EXPECT_EQ(file.substr(at, length + 16), EventRecord(bytes));
    events.emplace_back();
    EXPECT_TRUE(events.back().ParseFromString(bytes));
    at += length + 16;
  }
  return events;
}

v1::Series Series(const std::string& metric,
                  const std::vector<std::pair<int64_t, double>>& points) {
  v1::Series series;
  series.set_metric(metric);
  for (const auto& [step, value] : points) {
    v1::Point* point = series.add_points();
    point->set_step(step);
    point->set_value(value);
  }
  return series;
}

TEST(TensorBoard, HoldsAxesPointsAndTheEnd) {
  v1::Trial trial;
  trial.set_name("sweeps/s/trials/17");
  (*trial.mutable_axes())["init.gamma"] = "0.8";
  (*trial.mutable_axes())["model.tied_head"] = "true";
  (*trial.mutable_axes())["train.schedule"] = "wsd";
  trial.set_seed(3);
  trial.set_state(v1::Trial::DIVERGED);
  trial.set_start_time_ms(1'000'000);
  trial.set_end_time_ms(1'010'000);
  const auto events = Events(TensorBoardEvents(
      trial, {Series("loss/train", {{0, 5.5}, {10, NAN}}), Series("loss/val", {{10, 4.25}})}));
  ASSERT_EQ(events.size(), 5);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  tensorboard::HParamsPluginData start;
  const auto& first = events[1].summary().value(0);
  EXPECT_EQ(first.tag(), "_hparams_/session_start_info");
  EXPECT_EQ(first.metadata().plugin_data().plugin_name(), "hparams");
  ASSERT_TRUE(start.ParseFromString(first.metadata().plugin_data().content()));
  const auto& hparams = start.session_start_info().hparams();
  EXPECT_EQ(hparams.at("init.gamma").number_value(), 0.8);
  EXPECT_TRUE(hparams.at("model.tied_head").bool_value());
  EXPECT_EQ(hparams.at("train.schedule").string_value(), "wsd");
  EXPECT_EQ(hparams.at("seed").number_value(), 3);
  EXPECT_EQ(events[2].step(), 0);
  EXPECT_EQ(events[2].wall_time(), 1000);
  EXPECT_EQ(events[2].summary().value(0).simple_value(), 5.5f);
  EXPECT_EQ(events[3].step(), 10);
  EXPECT_EQ(events[3].wall_time(), 1010);
  ASSERT_EQ(events[3].summary().value_size(), 2);
  EXPECT_TRUE(std::isnan(events[3].summary().value(0).simple_value()));
  EXPECT_EQ(events[3].summary().value(1).tag(), "loss/val");
  tensorboard::HParamsPluginData end;
  ASSERT_TRUE(end.ParseFromString(events[4].summary().value(0).metadata().plugin_data().content()));
  EXPECT_EQ(end.session_end_info().status(), tensorboard::SessionEnd::STATUS_FAILURE);
}

class TensorBoardCommandsTest : public CommandsTest {};

TEST_F(TensorBoardCommandsTest, WritesAFolderATrialAndReplacesIt) {
  const std::string dir = testing::TempDir() + "/tensorboard";
  std::filesystem::remove_all(dir);
  const auto files = [&] {
    size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
      count += entry.is_regular_file();
    }
    return count;
  };
  ASSERT_EQ(Run({"export", "tensorboard", "--out", dir, "--metric", "loss/val"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("tensorboard --logdir"));
  EXPECT_EQ(files(), fake_.data.trials.size());
  for (v1::Trial& trial : fake_.data.trials) trial.set_start_time_ms(2'000'000'000'000);
  ASSERT_EQ(Run({"export", "tensorboard", "--out", dir}), 0) << err();
  EXPECT_EQ(files(), fake_.data.trials.size());
  EXPECT_NE(Run({"export", "tensorboard", "--out", "/proc/nowhere"}), 0);
  EXPECT_THAT(err(), HasSubstr("cannot make /proc/nowhere"));
}

}  // namespace
}  // namespace loglog::cli
