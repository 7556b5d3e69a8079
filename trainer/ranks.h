// The processes that train one task together, each on its own share of every batch.
#ifndef LOGLOG_TRAINER_RANKS_H_
#define LOGLOG_TRAINER_RANKS_H_

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

namespace at {
class Tensor;
}

namespace loglog {

// Another rank is gone, or cannot be reached.
class RankLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Which of the processes this one is, and the folder of this host in which they meet.
struct RankPlace {
  int rank = 0;
  int count = 1;
  std::string rendezvous;
};

// Every method is collective: all ranks call the same ones in the same order, or wait for hours.
// Use from one thread. Throws RankLost, or DeviceError of a GPU. Each
// sum is made in one place and handed out, so all ranks get the same bits.
class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const = 0;
  virtual int count() const = 0;

  // `size` bytes of this host's memory, from rank 0 to all.
  virtual void Broadcast(void* bytes, size_t size) = 0;
  // Whether it holds on every rank.
  virtual bool All(bool holds) = 0;
  // Begins to sum a contiguous tensor of the engine's device over all ranks, in place, while the
  // caller goes on. It may be read after FinishSums and not be touched before.
  virtual void StartSum(const at::Tensor& values) = 0;
  virtual void FinishSums() = 0;
};

// Waits until all ranks are there. Sums of tensors on a CPU go through Gloo over this host's
// loopback, those on a GPU (`device` "cuda:<n>") through NCCL; the rest always through Gloo.
std::unique_ptr<Ranks> JoinRanks(const RankPlace& place, const std::string& device);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_RANKS_H_
