// How much LibTorch allocates, and what its errors become.
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "trainer/device.h"
#include "trainer/engine.h"
#include "trainer/footprint.h"
#include "trainer/optimizer.h"
#include "trainer/reference_testing.h"

namespace loglog {
namespace {

using testing::HasSubstr;

// Counts the bytes of tensors that this thread allocates while it exists.
class AllocationCounter {
 public:
  int64_t held() const { return counts_->held; }
  int64_t peak() const { return counts_->peak; }
  void ForgetPeak() { counts_->peak = counts_->held; }

 private:
  struct Counts : public c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
      held += size;
      peak = std::max(peak, held);
    }
    bool memoryProfilingEnabled() const override { return true; }
    int64_t held = 0, peak = 0;
  };

  std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, counts_};
};

constexpr int64_t kMegabyte = int64_t{1} << 20;

const ModelConfig kModel = {.layers = 2,
                            .d_model = 16,
                            .heads = 4,
                            .kv_heads = 2,
                            .d_ff = 24,
                            .vocab = 2000,
                            .seq_len = 16,
                            .tied_head = false,
                            .norm_eps = 1e-4};

// Batches of 6 sequences go in one part; evaluations are longer, shorter, and no multiple.
TEST(Memory, EvaluationsLeaveNoWorkspaceBehind) {
  Engine engine({TinyMember(kModel, 6, 2, 1)}, {});
  engine.InitWeights();
  AllocationCounter counter;
  engine.TrainStep(RandomTokens(kModel, 6, 1).data(), 0, true);
  const int64_t held = counter.held();
  const double estimate = WorkspaceBytes(kModel, 6);
  ASSERT_NEAR(static_cast<double>(held), estimate, 0.05 * estimate);
  for (const int64_t sequences : {12, 13, 4, 6, 40}) {
    counter.ForgetPeak();
    engine.Evaluate(RandomTokens(kModel, sequences, 2).data(), sequences);
    EXPECT_EQ(counter.held(), held) << sequences;
    EXPECT_LT(counter.peak(), sequences % 6 == 0 ? held + held / 4 : 2 * held) << sequences;
  }
}

// With parts the weights are there once more, forward and backward, of one member at a time.
TEST(Memory, PartsShareTheWeightsAsProductsReadThem) {
  EngineOptions options;
  options.chunk_tokens = 2 * kModel.seq_len;
  const MemberConfig member = TinyMember(kModel, 6, 2, 1);
  Engine engine({member, member}, options);
  engine.InitWeights();
  AllocationCounter counter;
  std::vector<int32_t> tokens = RandomTokens(kModel, 12, 1);
  engine.TrainStep(tokens.data(), 0, true);
  const double estimate = WorkspaceBytes(kModel, 2) + PanelBytes(kModel);
  EXPECT_NEAR(static_cast<double>(counter.held()), estimate, 0.05 * estimate);
  const int64_t held = counter.held();
  engine.Evaluate(RandomTokens(kModel, 13, 2).data(), 13);
  EXPECT_EQ(counter.held(), held);
}

FlatState FlatOf(const at::Tensor& grads) { return {grads, grads, grads, grads}; }

TEST(Memory, GradientNormTakesNoCopyOfTheGradient) {
  constexpr int64_t kFloats = (int64_t{1} << 25) + 3;
  const at::Tensor grads = at::full({1, kFloats}, 0.5f, at::TensorOptions().dtype(at::kFloat));
  const AdamW optimizer(kModel, MakeLayout(kModel), FlatOf(grads), /*composed=*/true);
  AllocationCounter counter;
  EXPECT_EQ(optimizer.GradSquares().item<double>(), 0.25 * kFloats);
  EXPECT_LT(counter.peak(), 140 * kMegabyte);
}

TEST(Memory, GradientNormDoesNotDependOnWhoElseIsThere) {
  constexpr int64_t kFloats = 100003;
  at::Tensor grads = at::zeros({3, kFloats}, at::TensorOptions().dtype(at::kFloat));
  float* values = grads.mutable_data_ptr<float>();
  for (int64_t i = 0; i < 3 * kFloats; ++i) values[i] = 1.0f / static_cast<float>(i % 977 + 3);
  const Layout layout = MakeLayout(kModel);
  const at::Tensor together = AdamW(kModel, layout, FlatOf(grads), true).GradSquares();
  for (int64_t member = 0; member < 3; ++member) {
    const at::Tensor row = grads.narrow(0, member, 1).clone();
    EXPECT_EQ(AdamW(kModel, layout, FlatOf(row), true).GradSquares().item<double>(),
              together.select(0, member).item<double>());
  }
}

c10::Error LibTorchError(const std::string& what) { return {{__func__, __FILE__, __LINE__}, what}; }

// The message that says so, or that it was taken for something else.
std::string OutOfMemory(const at::Device& device, const std::string& what) {
  try {
    ThrowTranslated(device, LibTorchError(what));
  } catch (const OutOfMemoryError& error) {
    return error.what();
  } catch (const std::exception& error) {
    return "another error";
  }
  return "nothing was thrown";
}

TEST(Errors, MemoryThatRanOutIsKnownByItsWords) {
  const at::Device gpu(at::kCUDA, 0), cpu(at::kCPU);
  EXPECT_THAT(OutOfMemory(cpu, "DefaultCPUAllocator: can't allocate memory: you tried to"),
              HasSubstr("out of memory on cpu; use a smaller train.batch_tokens"));
  EXPECT_THAT(OutOfMemory(gpu, "CUDA error: out of memory"), HasSubstr("out of memory on cuda:0;"));
  EXPECT_THAT(OutOfMemory(gpu, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate"),
              HasSubstr("out of memory on cuda:0;"));
  EXPECT_EQ(OutOfMemory(gpu, "CUDA error: an illegal memory access was encountered"),
            "another error");
}

TEST(Errors, OnlyADeviceFails) {
  const c10::Error error = LibTorchError("mat1 and mat2 shapes cannot be multiplied");
  EXPECT_THROW(ThrowTranslated(at::Device(at::kCUDA, 0), error), DeviceError);
  try {
    ThrowTranslated(at::Device(at::kCPU), error);
  } catch (const DeviceError& wrong) {
    ADD_FAILURE() << wrong.what();
  } catch (const std::runtime_error& right) {
    EXPECT_STREQ(right.what(), "LibTorch failed on cpu: mat1 and mat2 shapes cannot be multiplied");
  }
}

}  // namespace
}  // namespace loglog
