// How many metric names a store takes, and which.
#include "base/limits.h"

#include "absl/strings/str_cat.h"
#include "store/store_fixture.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

class StoreLimits : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    Create(SimpleSweep("phase", 1, 1));
    AddWorker("a");
    attempt_id_ = Attempt(1, "a", 0);
  }
  // Stores one point of this metric at the next step.
  absl::Status Report(const std::string& name) {
    Batch batch;
    batch.attempt_id = attempt_id_;
    batch.first_seq = next_seq_;
    batch.metrics = {name};
    batch.events.emplace_back(MetricRow{0, next_seq_ + 1, 10 * next_seq_, {{0, 1.0}}});
    const absl::Status status = store_->ApplyBatch(batch).status();
    if (status.ok()) ++next_seq_;
    return status;
  }

  int64_t attempt_id_ = 0;
  int64_t next_seq_ = 0;
};

TEST_F(StoreLimits, BytesOfAMetricName) {
  EXPECT_TRUE(Report(std::string(limits::kMetricNameBytesMax, 'm')).ok());
  const absl::Status over = Report(std::string(limits::kMetricNameBytesMax + 1, 'm'));
  EXPECT_TRUE(absl::IsInvalidArgument(over));
  EXPECT_THAT(std::string(over.message()), HasSubstr("has 201 bytes, must have 1 to 200"));
  EXPECT_TRUE(absl::IsInvalidArgument(Report("")));
}

TEST_F(StoreLimits, CharactersOfAMetricName) {
  for (const char* good : {"loss/val", "norm/layers.0.q", "a:b=c@d%(e)[0]"}) {
    EXPECT_TRUE(Report(good).ok()) << good;
  }
  for (const char* bad : {"loss val", "a\nb", "\x1b[31mred", "l\xC3\xB6ss", "tab\t", "\x7f"}) {
    const absl::Status status = Report(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("visible ASCII")) << bad;
  }
}

TEST_F(StoreLimits, NumberOfMetricNames) {
  ASSERT_TRUE(Report("first").ok());
  ASSERT_TRUE(store_->connection()
                  ->Run("INSERT INTO metric_names (metric_id, name) VALUES (?1, 'last but one')",
                        limits::kMetricNamesMax - 1)
                  .ok());
  EXPECT_TRUE(Report("last").ok());
  const absl::Status over = Report("one-more");
  EXPECT_TRUE(absl::IsInvalidArgument(over));
  EXPECT_THAT(std::string(over.message()),
              HasSubstr("metric 'one-more' would be number 10001 of at most 10000"));
  // The others go on.
  EXPECT_TRUE(Report("first").ok());
  EXPECT_EQ(CountSql("SELECT count(*) FROM metric_names WHERE name = 'one-more'"), 0);
}

}  // namespace
}  // namespace loglog
