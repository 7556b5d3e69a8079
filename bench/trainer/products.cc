// The products of a training step: ours beside those of libraries, in turns, on one thread.
//
//   bench_products [--rounds N] [--smoke] [NAME=LIBRARY ...]
//
// MKL is the one inside LibTorch. A LIBRARY is a shared object with cblas_sgemm, or with the
// scipy_cblas_sgemm64_ of the OpenBLAS that comes with NumPy. Operands are taken from sets that
// together are larger than a second-level cache, as in a step. Medians of GFLOP/s over the rounds,
// by CPU time.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "bench/median.h"
#include "bench/trainer/fma_peak.h"
#include "trainer/footprint.h"
#include "trainer/kernels.h"

namespace loglog {
namespace {

// out [rows, cols] = a b, or out += a b; a and b are stored by rows or as their transposes are.
struct Product {
  const char* name;
  MatMulShape shape;
  bool a_transposed, b_transposed, adds;
};

using Run = std::function<void(const Product&, const float* a, const float* b, float* out)>;

struct Contender {
  std::string name;
  Run run;
  std::vector<double> rates;
};

std::vector<Product> ProductsOf(int64_t d, int64_t ff, int64_t vocab) {
  const int64_t m = CpuChunkTokens(d);
  std::vector<Product> products;
  const auto linear = [&](const char* name, int64_t in, int64_t out, bool onto_residual) {
    products.push_back({name, {m, out, in}, false, true, onto_residual});
    products.push_back({name, {m, in, out}, false, false, false});
    products.push_back({name, {out, in, m}, true, false, true});
  };
  linear("qkv", d, 3 * d, false);
  linear("o", d, d, true);
  linear("up", d, 2 * ff, false);
  linear("down", ff, d, true);
  linear("head", d, vocab, false);
  return products;
}

void RunOurs(const Product& p, const float* a, const float* b, float* out) {
  static std::vector<float> scratch(kMatMulScratch);
  const auto [rows, cols, inner] = p.shape;
  const MatrixView a_view = p.a_transposed ? MatrixView{a, 1, rows} : MatrixView{a, inner, 1};
  const MatrixView b_view = p.b_transposed ? MatrixView{b, 1, inner} : MatrixView{b, cols, 1};
  CpuKernels().matmul(p.shape, a_view, b_view, nullptr, p.adds ? out : nullptr, cols, out, cols,
                      scratch.data());
}

void RunLibTorch(const Product& p, const float* a, const float* b, float* out) {
  const auto matrix = [](const float* data, int64_t rows, int64_t cols, bool transposed) {
    float* values = const_cast<float*>(data);
    return transposed ? at::from_blob(values, {cols, rows}).t()
                      : at::from_blob(values, {rows, cols});
  };
  const auto [rows, cols, inner] = p.shape;
  const at::Tensor x = matrix(a, rows, inner, p.a_transposed);
  const at::Tensor y = matrix(b, inner, cols, p.b_transposed);
  at::Tensor to = at::from_blob(out, {rows, cols});
  if (p.adds) {
    at::addmm_out(to, to, x, y);
  } else {
    at::mm_out(to, x, y);
  }
}

template <typename Int>
Run Cblas(void* symbol) {
  using Sgemm = void (*)(int, int, int, Int, Int, Int, float, const float*, Int, const float*, Int,
                         float, float*, Int);
  return [sgemm = reinterpret_cast<Sgemm>(symbol)](const Product& p, const float* a, const float* b,
                                                   float* out) {
    const Int rows = static_cast<Int>(p.shape.rows), cols = static_cast<Int>(p.shape.cols),
              inner = static_cast<Int>(p.shape.inner);
    constexpr int kByRows = 101, kPlain = 111, kTransposed = 112;
    sgemm(kByRows, p.a_transposed ? kTransposed : kPlain, p.b_transposed ? kTransposed : kPlain,
          rows, cols, inner, 1, a, p.a_transposed ? rows : inner, b, p.b_transposed ? inner : cols,
          p.adds ? 1.0f : 0.0f, out, cols);
  };
}

// Of an argument NAME=LIBRARY.
Contender Loaded(const std::string& argument) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos) {
    std::fprintf(stderr, "%s is not NAME=LIBRARY\n", argument.c_str());
    std::exit(2);
  }
  void* library = dlopen(argument.c_str() + equals + 1, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s: %s\n", argument.c_str(), dlerror());
    std::exit(2);
  }
  const std::string name = argument.substr(0, equals);
  if (void* symbol = dlsym(library, "scipy_cblas_sgemm64_"))
    return {name, Cblas<int64_t>(symbol), {}};
  if (void* symbol = dlsym(library, "cblas_sgemm")) return {name, Cblas<int>(symbol), {}};
  std::fprintf(stderr, "%s has no cblas_sgemm\n", argument.c_str());
  std::exit(2);
}

// Operand sets that a product takes one after another.
class Operands {
 public:
  explicit Operands(const Product& p)
      : a_size_(p.shape.rows * p.shape.inner),
        b_size_(p.shape.inner * p.shape.cols),
        out_size_(p.shape.rows * p.shape.cols),
        sets_(std::max<int64_t>(1, kFloats / (a_size_ + b_size_ + out_size_))),
        a_(Random(a_size_ * sets_)),
        b_(Random(b_size_ * sets_)),
        out_(static_cast<size_t>(out_size_ * sets_)) {}

  // GFLOP/s over about `seconds`.
  double Rate(const Product& p, const Run& run, double seconds) {
    const double flops = 2.0 * static_cast<double>(a_size_ * p.shape.cols);
    const double begin = ThreadCpuSeconds();
    double elapsed = 0;
    int64_t count = 0;
    do {
      const int64_t set = count++ % sets_;
      run(p, a_.data() + set * a_size_, b_.data() + set * b_size_, out_.data() + set * out_size_);
      elapsed = ThreadCpuSeconds() - begin;
    } while (elapsed < seconds);
    return flops * static_cast<double>(count) / elapsed / 1e9;
  }

 private:
  static constexpr int64_t kFloats = 1 << 20;

  static std::vector<float> Random(int64_t count) {
    std::mt19937 random(1);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(random()) / 4.3e9f - 0.5f;
    return values;
  }

  int64_t a_size_, b_size_, out_size_, sets_;
  std::vector<float> a_, b_, out_;
};

int Main(int argc, char** argv) {
  int rounds = 5;
  double seconds = 0.02;
  std::vector<Contender> contenders = {{"ours", RunOurs, {}}, {"MKL", RunLibTorch, {}}};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--smoke") {
      rounds = 1;
      seconds = 0.001;
    } else if (argument == "--rounds" && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else {
      contenders.push_back(Loaded(argument));
    }
  }
  at::set_num_threads(1);
  at::globalContext().setFlushDenormal(true);
  std::printf("multiply-add peak %.1f GFLOP/s\n%-36s", MeasureFmaPeak(0.2) / 1e9, "");
  for (const Contender& contender : contenders) std::printf(" %9s", contender.name.c_str());
  std::printf("\n");
  struct Shape {
    const char* name;
    int64_t d, ff, vocab;
  };
  for (const Shape& shape : {Shape{"X", 64, 176, 64}, Shape{"S", 128, 352, 256},
                             Shape{"M", 256, 704, 1024}, Shape{"d 1024", 1024, 2816, 1024}}) {
    // Of the time that each takes for all products of the shape.
    std::vector<double> time(contenders.size());
    double flops = 0;
    for (const Product& p : ProductsOf(shape.d, shape.ff, shape.vocab)) {
      Operands operands(p);
      for (Contender& contender : contenders) contender.rates.clear();
      for (int round = 0; round < rounds; ++round) {
        for (Contender& contender : contenders) {
          contender.rates.push_back(operands.Rate(p, contender.run, seconds));
        }
      }
      std::printf("%-6s %-5s %5ld x %5ld x %5ld %s ", shape.name, p.name,
                  static_cast<long>(p.shape.rows), static_cast<long>(p.shape.inner),
                  static_cast<long>(p.shape.cols),
                  p.b_transposed   ? "fwd"
                  : p.a_transposed ? "dw "
                                   : "dx ");
      const double size = 2.0 * static_cast<double>(p.shape.rows * p.shape.cols * p.shape.inner);
      flops += size;
      for (size_t i = 0; i < contenders.size(); ++i) {
        const double rate = Median(contenders[i].rates);
        time[i] += size / rate;
        std::printf(" %9.1f", rate);
      }
      std::printf("\n");
    }
    std::printf("%-6s %-29s", shape.name, "all of a layer and the head");
    for (const double total : time) std::printf(" %9.1f", flops / total);
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) { return loglog::Main(argc, argv); }
