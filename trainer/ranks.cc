#include "trainer/ranks.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "trainer/config.h"
#include "trainer/device.h"
#ifdef LOGLOG_CUDA
#include "trainer/ranks_nccl.h"
#endif

namespace loglog {
namespace {

// Rank 0 evaluates alone, and the others wait for it. A rank that dies is noticed at once.
constexpr std::chrono::hours kTimeout{6};

// What LibTorch throws, or Gloo by itself, when another rank is gone. A device that failed is no
// lost rank.
template <typename Beginning, typename Body>
auto TurnIntoRankLost(Beginning beginning, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const DeviceError&) {
    throw;
  } catch (const c10::Error& error) {
    throw RankLost(beginning() + error.what_without_backtrace());
  } catch (const std::runtime_error& error) {
    throw RankLost(beginning() + error.what());
  }
}

class ProcessRanks final : public Ranks {
 public:
  ProcessRanks(const RankPlace& place, const at::Device& device) : place_(place), device_(device) {
    auto store = c10::make_intrusive<c10d::FileStore>(place.rendezvous + "/store", place.count);
    auto options = c10d::ProcessGroupGloo::Options::create(kTimeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    // Sums must be made in the order in which they were started.
    options->threads = 1;
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, place.rank, place.count, options);
    if (device_.is_cpu()) return;
#ifdef LOGLOG_CUDA
    nccl_ = MakeNcclSums(place.rank, place.count, device,
                         [this](void* bytes, size_t size) { BroadcastBytes(bytes, size); });
#else
    throw DeviceError("several GPUs need a trainer that is built with LOGLOG_CUDA=ON");
#endif
  }

  int rank() const override { return place_.rank; }
  int count() const override { return place_.count; }

  void Broadcast(void* bytes, size_t size) override {
    Guarded([&] { BroadcastBytes(bytes, size); });
  }

  bool All(bool holds) override {
    int32_t least = holds ? 1 : 0;
    Guarded([&] {
      std::vector<at::Tensor> values = {at::from_blob(&least, {1}, at::kInt)};
      gloo_->allreduce(values, {.reduceOp = c10d::ReduceOp::MIN})->wait();
    });
    return least != 0;
  }

  void StartSum(const at::Tensor& values) override {
    Guarded([&] {
#ifdef LOGLOG_CUDA
      if (nccl_ != nullptr) return nccl_->Start(values);
#endif
      std::vector<at::Tensor> parts = {values};
      pending_.push_back(gloo_->allreduce(parts, {.reduceOp = c10d::ReduceOp::SUM}));
    });
  }

  void FinishSums() override {
    Guarded([&] {
#ifdef LOGLOG_CUDA
      if (nccl_ != nullptr) return nccl_->Finish();
#endif
      for (const auto& work : std::exchange(pending_, {})) work->wait();
    });
  }

 private:
  void BroadcastBytes(void* bytes, size_t size) {
    std::vector<at::Tensor> values = {
        at::from_blob(bytes, {static_cast<int64_t>(size)}, at::kByte)};
    gloo_->broadcast(values, {.rootRank = 0, .rootTensor = 0})->wait();
  }

  template <typename Body>
  void Guarded(Body body) {
    TurnIntoRankLost(
        [this] {
          return "rank " + std::to_string(place_.rank) + " of " + std::to_string(place_.count) +
                 " lost the others: ";
        },
        body);
  }

  const RankPlace place_;
  const at::Device device_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  std::vector<c10::intrusive_ptr<c10d::Work>> pending_;
#ifdef LOGLOG_CUDA
  std::unique_ptr<DeviceSums> nccl_;
#endif
};

}  // namespace

std::unique_ptr<Ranks> JoinRanks(const RankPlace& place, const std::string& device) {
  const at::Device on = ParseDevice(device);
  return TurnIntoRankLost(
      [&] {
        return "the " + std::to_string(place.count) +
               " ranks of this task did not find each other in " + place.rendezvous + ": ";
      },
      [&] { return std::make_unique<ProcessRanks>(place, on); });
}

}  // namespace loglog
