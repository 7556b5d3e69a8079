// Resource names and page tokens: what is accepted is written back as the same name.
#include "base/check.h"
#include "base/limits.h"
#include "coordinator/names.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto sweep = ParseSweepName(text); sweep.ok()) {
    LOGLOG_CHECK(IsResourceId(*sweep) && sweep->size() <= limits::kNameBytesMax);
    LOGLOG_CHECK(text == *sweep || text == SweepName(*sweep));
    LOGLOG_CHECK(*ParseSweepName(SweepName(*sweep)) == *sweep);
  }
  if (const auto worker = ParseWorkerName(text); worker.ok()) {
    LOGLOG_CHECK(IsResourceId(*worker));
    LOGLOG_CHECK(text == *worker || text == WorkerName(*worker));
  }
  if (const auto trial = ParseTrialName(text); trial.ok()) {
    LOGLOG_CHECK(IsResourceId(trial->sweep) && trial->number >= 1);
    LOGLOG_CHECK(TrialName(trial->sweep, trial->number) == text);
  }
  if (const auto fit = ParseFitName(text); fit.ok()) {
    LOGLOG_CHECK(FitName(fit->sweep, fit->number) == text);
  }
  FuzzInput input(data, size);
  std::string list = input.Text(64);
  list.erase(std::remove(list.begin(), list.end(), '\n'), list.end());
  const std::string position(input.Rest());
  const auto back = ParsePageToken(list, MakePageToken(list, position));
  LOGLOG_CHECK(back.ok() && *back == position);
  LOGLOG_CHECK(!ParsePageToken(list + "x", MakePageToken(list, position)).ok());
  (void)ParsePageToken("sweeps", text);
  return 0;
}
