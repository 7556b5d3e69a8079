#ifndef LOGLOG_BENCH_TRAINER_FMA_PEAK_H_
#define LOGLOG_BENCH_TRAINER_FMA_PEAK_H_

namespace loglog {

// FLOP/s in float32 of one thread that does nothing but multiply and add in registers, by the
// widest vectors that this processor has; of about `seconds` of the thread's CPU time.
double MeasureFmaPeak(double seconds);

// CPU time of this thread, seconds.
double ThreadCpuSeconds();

}  // namespace loglog

#endif  // LOGLOG_BENCH_TRAINER_FMA_PEAK_H_
