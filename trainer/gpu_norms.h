// The GPU's kernels of norms; gpu_kernels.h says what a kernel is. Vectors of a member (gains,
// biases and their gradients, [K, d]) lie `stride` floats apart: they are views of a flat buffer.
#ifndef LOGLOG_TRAINER_GPU_NORMS_H_
#define LOGLOG_TRAINER_GPU_NORMS_H_

#include <math.h>

#include <cstdint>

#include "trainer/gpu_values.h"

namespace loglog {

// sum [K, M, d] = x + delta where there is one, else x; y = (sum - mean) * rstd * gain + bias. The
// mean is 0 without a bias. A block is a row.
template <typename T>
struct AddNorm {
  const float* x;
  const T* delta;  // or null, and sum with it
  const float* gain;
  const float* bias;  // or null
  float eps;
  int64_t rows, width, stride;  // M, d
  float* sum;
  T* y;
  float* rstd;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t at = block * width, own = block / rows * stride;
    float squares = 0, total = 0;
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      float value = x[at + i];
      if (delta != nullptr) sum[at + i] = value += Load(delta[at + i]);
      squares += value * value;
      total += value;
    }
    // The thread that wrote an entry of `sum` is the one that reads it.
    const float* in = delta != nullptr ? sum : x;
    float mean = 0;
    if (bias != nullptr) {
      mean = context.Sum(total) / static_cast<float>(width);
      squares = 0;
      for (int64_t i = context.thread(); i < width; i += context.threads()) {
        squares += (in[at + i] - mean) * (in[at + i] - mean);
      }
    }
    const float scale = 1 / sqrtf(context.Sum(squares) / static_cast<float>(width) + eps);
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      const float shift = bias != nullptr ? bias[own + i] : 0;
      Store(y[at + i], (in[at + i] - mean) * scale * gain[own + i] + shift);
    }
    if (context.thread() == 0) rstd[block] = scale;
  }
};

// Adds to dx, and writes each chunk's part of the gradients of the gain and, where there is one, of
// the bias to parts [K, chunks, d], for SumParts. A block is a chunk of `chunk_rows` rows of one
// member; the last may be shorter. The rows come from L2 when their columns are summed.
template <typename T>
struct NormBackward {
  const T* dy;
  const float* x;
  const float* gain;
  const float* rstd;
  int64_t rows, width, stride, chunk_rows, chunks;
  float* dx;
  float* dgain_parts;
  float* dbias_parts;  // or null: the norm takes no mean off
  float* mean;         // [K, M], where there is a bias

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / chunks, first = block % chunks * chunk_rows;
    const int64_t last = first + chunk_rows < rows ? first + chunk_rows : rows;
    const float* weight = gain + member * stride;
    const float count = static_cast<float>(width);
    for (int64_t r = member * rows + first; r < member * rows + last; ++r) {
      const int64_t at = r * width;
      float middle = 0, shift = 0;
      if (dbias_parts != nullptr) {
        float total = 0, scaled = 0;
        for (int64_t i = context.thread(); i < width; i += context.threads()) {
          total += x[at + i];
          scaled += Load(dy[at + i]) * weight[i];
        }
        middle = context.Sum(total) / count;
        shift = context.Sum(scaled) / count;
        if (context.thread() == 0) mean[r] = middle;
      }
      float dot = 0;
      for (int64_t i = context.thread(); i < width; i += context.threads()) {
        dot += Load(dy[at + i]) * weight[i] * (x[at + i] - middle) * rstd[r];
      }
      // A barrier, too: the means are there for every thread.
      const float share = context.Sum(dot) / count;
      for (int64_t i = context.thread(); i < width; i += context.threads()) {
        const float unit = (x[at + i] - middle) * rstd[r];
        dx[at + i] += (Load(dy[at + i]) * weight[i] - shift - unit * share) * rstd[r];
      }
    }
    for (int64_t i = context.thread(); i < width; i += context.threads()) {
      float dgain = 0, dbias = 0;
      for (int64_t r = member * rows + first; r < member * rows + last; ++r) {
        const float grad = Load(dy[r * width + i]);
        const float middle = dbias_parts != nullptr ? mean[r] : 0;
        dgain += grad * (x[r * width + i] - middle) * rstd[r];
        dbias += grad;
      }
      dgain_parts[block * width + i] = dgain;
      if (dbias_parts != nullptr) dbias_parts[block * width + i] = dbias;
    }
  }
};

// parts [K, chunks, width], summed over the chunks and added to out [K, width]. A block is a column
// of one member: there are more columns than a GPU runs blocks, and few chunks for a thread.
struct SumParts {
  const float* parts;
  int64_t chunks, width, stride;
  float* out;

  template <typename Context>
  LOGLOG_BOTH void operator()(Context& context, int64_t block) const {
    const int64_t member = block / width, column = block % width;
    double sum = 0;
    for (int64_t c = context.thread(); c < chunks; c += context.threads()) {
      sum += parts[(member * chunks + c) * width + column];
    }
    sum = context.Sum(sum);
    if (context.thread() == 0) out[member * stride + column] += static_cast<float>(sum);
  }
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_NORMS_H_
