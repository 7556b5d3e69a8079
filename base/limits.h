#ifndef LOGLOG_BASE_LIMITS_H_
#define LOGLOG_BASE_LIMITS_H_

#include <cstdint>

// Every limit on what comes in from outside, in one place; docs/LIMITS.md says what happens
// at each and what to do then, and a test compares the two. A limit is far above what an
// honest caller needs and low enough that one at the limit does no harm to others.
namespace loglog::limits {

// ---- a spec
inline constexpr int64_t kSpecBytesMax = 1 << 20;
// Levels of lists and mappings. YAML's aliases, which could multiply a small text without
// end, are refused wherever they stand.
inline constexpr int kSpecDepthMax = 16;
inline constexpr int kSpecValuesMax = 200'000;  // scalars, lists and mappings together
inline constexpr int kAxesMax = 32;
inline constexpr int kAxisValuesMax = 10'000;  // of one axis
// A sweep is stored in one transaction, some 16 us a trial, in which workers are not heard: 3 s.
inline constexpr int64_t kTrialsOfSweepMax = 200'000;

// ---- names and texts
inline constexpr int kNameBytesMax = 63;  // sweeps, workers, arms
inline constexpr int kAxisNameBytesMax = 32;
inline constexpr int kRequestIdBytesMax = 128;
// Short texts that others say of themselves: versions, hosts, devices, scopes.
inline constexpr int kTextBytesMax = 256;
inline constexpr int kPathBytesMax = 4'096;
// Texts for people; what is longer is cut, never refused.
inline constexpr int kReasonBytesMax = 1'000;
inline constexpr int kOutcomeMessageBytesMax = 2'000;

// ---- the store as a whole
inline constexpr int64_t kSweepsMax = 100'000;
inline constexpr int64_t kOpenTrialsMax = 2'000'000;  // pending or running; memory grows with them
inline constexpr int64_t kTokensMax = 10'000;         // revoked ones too; all are held in memory
inline constexpr int64_t kMetricNamesMax = 10'000;
inline constexpr int kMetricNameBytesMax = 200;

// ---- workers
inline constexpr int kWorkersMax = 2'000;  // connected at one time; each parks one sync
inline constexpr int kSlotsOfWorkerMax = 1'024;
inline constexpr int kLabelsOfWorkerMax = 64;
inline constexpr int kLabelKeyBytesMax = 63;
inline constexpr int kLabelValueBytesMax = 256;
inline constexpr int kHeldAttemptsMax = 10'000;  // of one worker, reports that are owed

// ---- metric batches. Workers cut theirs far below (worker/event_file.h).
inline constexpr int kEventsOfBatchMax = 10'000;
inline constexpr int kPointsOfBatchMax = 200'000;
inline constexpr int64_t kBatchBytesMax = 4 << 20;
inline constexpr int64_t kEventLineBytesMax = 1 << 20;  // of a trainer's events file
inline constexpr int64_t kNoticeDetailBytesMax = 64 << 10;
inline constexpr int64_t kSummaryBytesMax = 256 << 10;
inline constexpr int kJsonDepthMax = 64;  // of an event's line, a detail, a summary
// Of one stream, on their way to the store or back. More would only wait longer: reading
// stops, and the transport holds the sender back.
inline constexpr int kBatchesInFlightMax = 16;

// ---- messages
inline constexpr int kRequestBytesMax = 16 << 20;
inline constexpr int kAnswerBytesMax = 64 << 20;  // curves of a whole sweep

// ---- calls of users at one time, from their arrival to their answer. Calls of workers do
// not count, and do not wait for those of users.
inline constexpr int kUserCallsMax = 1'000;
inline constexpr int kSubmitsMax = 16;  // each holds its spec and its trials in memory

// ---- reading
inline constexpr int kPageSizeDefault = 100;
inline constexpr int kPageSizeMax = 1'000;
inline constexpr int kNamesOfCallMax = 10'000;  // trials named one by one
inline constexpr int kPlacesOfFitMax = 1'000;   // where a law's loss is asked for
inline constexpr int64_t kSeriesOfAnswerMax = 50'000;
inline constexpr int64_t kPointsOfAnswerMax = 2'000'000;  // some 60 MB with its message
inline constexpr int kWatchersMax = 500;
inline constexpr int kMetricStreamsMax = 4'000;  // a worker has one, and its old one for a while

}  // namespace loglog::limits

#endif  // LOGLOG_BASE_LIMITS_H_
