// How long a refit takes: the answer decides whether a sweep can refit from scratch on
// every finished trial. Times are of the thread's CPU clock, medians of 5. Rivals in the
// same run: the same objective from a coarse grid of starts, and SciPy's BFGS with the
// analytic gradient on the same resamples (bench/fit_scipy.py).
//   bench_fit [--smoke] [--scipy PYTHON]
// The Chinchilla part needs LOGLOG_REFERENCE_DATA.
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <numeric>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/median.h"
#include "fit/fit.h"
#include "fit/form_fit.h"
#include "fit/planted_testing.h"
#include "fit/power_sum.h"

namespace loglog {
namespace {

constexpr double kDelta = 1e-3;
constexpr int kReplicates = 4000;
constexpr int kDraws = 240;

// Of this thread, since it began.
double ThreadCpuMilliseconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1e3 + time.tv_nsec * 1e-6;
}

double CpuMilliseconds(const std::function<void()>& work) {
  const double start = ThreadCpuMilliseconds();
  work();
  return ThreadCpuMilliseconds() - start;
}

double MedianMilliseconds(int repetitions, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) times.push_back(CpuMilliseconds(work));
  return Median(std::move(times));
}

std::vector<Observation> Arm(int tokens, int seeds, uint64_t seed) {
  Noise noise(seed);
  const auto law = [](double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); };
  return Planted(LogRange(1e8, 64, tokens), seeds, 0.003, &noise, law);
}

void OneArm(bool smoke) {
  const int repetitions = smoke ? 3 : 201;
  const std::vector<Observation> arm1 = Arm(6, 3, 2), arm2 = Arm(6, 3, 3);
  std::printf("one arm, 6 D x 3 seeds, median of %d\n", repetitions);
  std::printf("  local slope         %8.3f ms\n",
              MedianMilliseconds(repetitions, [&] { FitLocalSlope(arm1).IgnoreError(); }));
  std::printf("  saturating          %8.3f ms  (profiles, triple and leave-largest-out in it)\n",
              MedianMilliseconds(repetitions, [&] { FitSaturating(arm1).IgnoreError(); }));
  std::printf("  paired comparison   %8.3f ms\n",
              MedianMilliseconds(repetitions, [&] { CompareArms(arm1, arm2).IgnoreError(); }));
}

// Where a saturating refit's time goes.
void TwentyFourPoints(bool smoke) {
  const int repetitions = smoke ? 3 : 51;
  const std::vector<Observation> arm = Arm(24, 1, 4);
  const ConfigMeans means = *MeansOverSeeds(arm, Axis::kTokens);
  std::vector<std::vector<double>> starts;
  Minimum squares, huber;
  const std::unique_ptr<Form> form = MakeForm(Law::kSaturating, means);
  const auto time = [&](const char* what, const std::function<void()>& work) {
    std::printf("  %-32s %8.3f ms\n", what, MedianMilliseconds(repetitions, work));
  };
  std::printf("saturating form on 24 points, median of %d (target: 2 ms in all)\n", repetitions);
  time("41 starts", [&] { starts = form->Starts(); });
  time("least squares, 8 polished", [&] { squares = MinimizeSquares(*form, starts); });
  time("profiles of beta and E", [&] {
    FormIntervals intervals(*form, squares.theta, squares.value, 0.95);
    std::vector<std::string> notes;
    intervals.ProfileOf(2, &notes, starts);
    intervals.ProfileOf(0, &notes);
  });
  time("Huber, 3 polished", [&] { huber = MinimizeHuber(*form, starts, kDelta, squares.theta); });
  time("LAD by continuation", [&] { LadFrom(*form, huber.theta); });
  time("the whole fit", [&] { FitSaturating(arm).IgnoreError(); });
}

void LiveRefit(bool smoke) {
  const int n_arms = smoke ? 5 : 100;
  std::vector<std::vector<Observation>> arms;
  for (int i = 0; i < n_arms; ++i) arms.push_back(Arm(12, 5, 100 + i));
  const double ms = MedianMilliseconds(smoke ? 1 : 5, [&] {
    for (int i = 0; i < n_arms; ++i) {
      FitLocalSlope(arms[i]).IgnoreError();
      FitSaturating(arms[i]).IgnoreError();
      if (i > 0) CompareArms(arms[i], arms[0]).IgnoreError();
    }
  });
  std::printf(
      "live refit of %d arms x 60 trials (12 D x 5 seeds; slope, exponent, comparison): %.1f ms "
      "(target: 50)\n",
      n_arms, ms);
}

std::vector<std::vector<double>> ReadNumbers(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::vector<double>> rows;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<double> row;
    std::stringstream stream(line);
    std::string cell;
    while (std::getline(stream, cell, ',')) row.push_back(std::strtod(cell.c_str(), nullptr));
    rows.push_back(std::move(row));
  }
  return rows;
}

double WallMilliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// The work in processes that share nothing: what the machine's cores give.
void InProcesses(int n, int processes, const std::function<void(int)>& work) {
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      for (int i = p; i < n; i += processes) work(i);
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) waitpid(child, nullptr, 0);
}

// What each of the threads took of its CPU clock, and how often it waited for another.
struct ThreadCosts {
  std::vector<double> cpu_ms;
  int64_t waits = 0;
};
ThreadCosts CostsOfThreads(int n, int threads, const std::function<void(int)>& work) {
  struct alignas(64) Slot {
    double cpu_ms = 0;
    int64_t waits = 0;
  };
  std::vector<Slot> slots(threads);
  std::atomic<int> taken{0};
  static std::atomic<int> round{0};
  const int own_round = ++round;
  ForEachIndex(n, threads, [&](int i) {
    thread_local int slot = -1, of_round = 0;
    if (of_round != own_round) {
      slot = taken++;
      of_round = own_round;
    }
    work(i);
    slots[slot].cpu_ms = ThreadCpuMilliseconds();
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    slots[slot].waits = usage.ru_nvcsw;
  });
  ThreadCosts costs;
  for (const Slot& slot : slots) {
    costs.cpu_ms.push_back(slot.cpu_ms);
    costs.waits += slot.waits;
  }
  return costs;
}

// On cores that others use too the wall clock tells nothing of threads, so two things are
// measured in turns. By the CPU clocks: the time of one thread over the threads' sum, which is
// what so many free cores would give (contention lowers it; waits, which no CPU clock sees, are
// counted; shares are uneven by one resample at most, as threads take them one by one). By
// the wall clock: against as many processes that share nothing and meet the same neighbours.
void ThreadScaling(int n, int repetitions, const std::function<void(int)>& work) {
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  for (int threads = 2; threads <= cores; threads *= 2) {
    std::vector<double> of_free_cores, of_processes, gains;
    int64_t waits = 0;
    for (int i = 0; i < repetitions; ++i) {
      const double one_cpu = CpuMilliseconds([&] { ForEachIndex(n, 1, work); });
      const ThreadCosts costs = CostsOfThreads(n, threads, work);
      const double sum = std::accumulate(costs.cpu_ms.begin(), costs.cpu_ms.end(), 0.0);
      of_free_cores.push_back(one_cpu / sum);
      waits += costs.waits;
      const double one = WallMilliseconds([&] { ForEachIndex(n, 1, work); });
      const double apart = WallMilliseconds([&] { InProcesses(n, threads, work); });
      const double together = WallMilliseconds([&] { ForEachIndex(n, threads, work); });
      of_processes.push_back(apart / together);
      gains.push_back(one / together);
    }
    std::sort(of_free_cores.begin(), of_free_cores.end());
    std::printf(
        "  %d threads: %.2f per core by their CPU clocks (%.2f to %.2f of %d; target: 0.9),"
        " %.1f waits a run",
        threads, Median(of_free_cores), of_free_cores.front(), of_free_cores.back(), repetitions,
        static_cast<double>(waits) / repetitions);
    double load[1] = {0};
    getloadavg(load, 1);
    std::printf(
        "; by the wall clock %.2f of as many processes that share nothing, %.2f times "
        "one thread; load average %.1f on %d cores",
        Median(of_processes), Median(gains), load[0], cores);
    std::printf("\n");
  }
}

// Resamples of the public Chinchilla reconstruction; false without its folder.
bool Chinchilla(bool smoke, const char* folder, const std::string& scipy_python) {
  const std::string path = std::string(folder) + "/epoch_chinchilla/";
  const std::vector<std::vector<double>> rows = ReadNumbers(path + "svg_extracted_data.csv");
  const std::vector<std::vector<double>> reference =
      ReadNumbers(path + "bootstrap_reference_fits.csv");
  std::ifstream file(path + "bootstrap_indices_seed42_4000x240.u8", std::ios::binary);
  std::vector<uint8_t> indices(kReplicates * kDraws);
  file.read(reinterpret_cast<char*>(indices.data()), static_cast<std::streamsize>(indices.size()));
  if (!file.good() || rows.size() != 245 || reference.size() != kReplicates) return false;
  std::vector<std::vector<double>> ln_x(2);
  std::vector<double> y;
  for (const std::vector<double>& row : rows) {
    ln_x[0].push_back(std::log(row[3]));
    ln_x[1].push_back(std::log(row[4] / (6 * row[3])));
    y.push_back(std::log(row[6]));
  }
  const PowerSum form(std::move(ln_x), y, std::vector<double>(y.size(), 1.0));
  const std::vector<double> theta = MinimizeHuber(form, form.Starts(), kDelta).theta;
  std::vector<std::vector<int>> counts(kReplicates, std::vector<int>(rows.size(), 0));
  for (int r = 0; r < kReplicates; ++r) {
    for (int i = 0; i < kDraws; ++i) ++counts[r][indices[r * kDraws + i]];
  }
  const int n = smoke ? 50 : kReplicates;
  std::vector<double> values(n);
  const auto refit = [&](int r) {
    values[r] = RefitResample(form, Loss::Huber(kDelta), theta, counts[r]).value;
  };
  const double ms = MedianMilliseconds(smoke ? 1 : 5, [&] {
    for (int r = 0; r < n; ++r) refit(r);
  });
  double excess = -1;
  for (int r = 0; r < n; ++r) excess = std::max(excess, values[r] - reference[r][1]);
  std::printf(
      "%d refits of Chinchilla resamples, Huber: %.0f ms (target: 1000), %.1f us each; "
      "largest excess over the reference objective %.1g\n",
      n, ms, 1e3 * ms / n, excess);

  ThreadScaling(n, smoke ? 1 : 5, refit);
  if (scipy_python.empty()) return true;
  const std::string command = scipy_python + " bench/fit_scipy.py " + folder + (smoke ? " 20" : "");
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return false;
  char version[64] = {};
  double seconds = 0, scipy_excess = 0;
  int above = 0, of = 0;
  const bool read = std::fscanf(pipe, "scipy %63s %lf %lf %d %d", version, &seconds, &scipy_excess,
                                &above, &of) == 5;
  if (pclose(pipe) != 0 || !read) return false;
  std::printf(
      "  SciPy %s BFGS, analytic gradient: %.1f s for 4000 (CPU), ratio %.0f (target: 80); "
      "%d of %d above the reference by 1e-12, at most %.1g\n",
      version, seconds, seconds * 1e3 / (ms * kReplicates / n), above, of, scipy_excess);
  return true;
}

PowerSum JointSample() {
  Noise noise(1);
  std::vector<std::vector<double>> ln_x(2);
  std::vector<double> y, weight;
  for (const double n : LogRange(5e7, 200, 16)) {
    for (const double d : LogRange(1e9, 200, 15)) {
      ln_x[0].push_back(std::log(n));
      ln_x[1].push_back(std::log(d));
      const double loss = 1.8 + 480 * std::pow(n, -0.35) + 2100 * std::pow(d, -0.37);
      y.push_back(std::log(loss) + 0.005 * noise.Next());
      weight.push_back(1);
    }
  }
  return PowerSum(std::move(ln_x), std::move(y), std::move(weight));
}

std::vector<std::vector<double>> CoarseGrid(const PowerSum& form) {
  std::vector<std::vector<double>> starts;
  for (double alpha = 0; alpha <= 2; alpha += 0.5) {
    for (double beta = 0; beta <= 2; beta += 0.5) {
      for (double a = 0; a <= 25; a += 5) {
        for (double b = 0; b <= 25; b += 5) {
          for (double e = -1; e <= 1; e += 0.5) {
            starts.push_back(
                {e, a - alpha * form.ln_x_mean(0), alpha, b - beta * form.ln_x_mean(1), beta});
          }
        }
      }
    }
  }
  return starts;
}

bool FromScratch(bool smoke) {
  const PowerSum form = JointSample();
  Minimum ours;
  const double ours_ms = MedianMilliseconds(
      smoke ? 1 : 21, [&] { ours = MinimizeHuber(form, form.Starts(), kDelta); });
  std::vector<std::vector<double>> coarse = CoarseGrid(form);
  if (smoke) coarse.resize(50);
  const auto objective = [&](const double* theta, double* gradient) {
    return form.Value(Loss::Huber(kDelta), theta, gradient);
  };
  int found = 0;
  const double rival_ms = CpuMilliseconds([&] {
    for (const std::vector<double>& start : coarse) {
      found += Polish(objective, form.box(), start).value <= ours.value * (1 + 1e-9);
    }
  });
  std::printf("joint form from scratch, %d points, Huber\n", form.size());
  std::printf("  variable projection %8.2f ms  (%d of %d polished starts at the minimum)\n",
              ours_ms, ours.starts_agreed, ours.starts_polished);
  std::printf("  coarse grid         %8.2f ms  (%d of %zu starts at the minimum), ratio %.0f\n",
              rival_ms, found, coarse.size(), rival_ms / ours_ms);
  return ours.status == "CONVERGED";
}

int Main(bool smoke, const std::string& scipy_python) {
  OneArm(smoke);
  TwentyFourPoints(smoke);
  LiveRefit(smoke);
  bool ok = FromScratch(smoke);
  const char* folder = std::getenv("LOGLOG_REFERENCE_DATA");
  if (folder == nullptr) {
    std::printf("no LOGLOG_REFERENCE_DATA: the Chinchilla resamples are left out\n");
  } else {
    ok = Chinchilla(smoke, folder, scipy_python) && ok;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  bool smoke = false;
  std::string scipy_python;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--smoke") smoke = true;
    if (arg == "--scipy" && i + 1 < argc) scipy_python = argv[++i];
  }
  return loglog::Main(smoke, scipy_python);
}
