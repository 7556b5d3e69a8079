// Vectors of the widest kind that the instruction set has; included by kernels_impl.h and under its
// rules.

#if defined(__AVX512F__)
constexpr int kVector = 16;
#elif defined(__AVX2__)
constexpr int kVector = 8;
#else
constexpr int kVector = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * kVector)));
typedef uint32_t Bits __attribute__((vector_size(4 * kVector)));
typedef float LooseVector __attribute__((vector_size(4 * kVector), aligned(4), may_alias));

inline Vector Load(const float* from) { return *reinterpret_cast<const LooseVector*>(from); }
inline void Store(float* to, Vector value) { *reinterpret_cast<LooseVector*>(to) = value; }
inline Vector All(float value) { return Vector{} + value; }

// The larger and the smaller of two numbers; y where one is NaN.
inline Vector Larger(Vector x, Vector y) {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(0xffff, x, y);
#elif defined(__AVX2__)
  return _mm256_max_ps(x, y);
#else
  return x > y ? x : y;
#endif
}
inline Vector Smaller(Vector x, Vector y) {
#if defined(__AVX512F__)
  return _mm512_maskz_min_ps(0xffff, x, y);
#elif defined(__AVX2__)
  return _mm256_min_ps(x, y);
#else
  return x < y ? x : y;
#endif
}

// 1 / x. A division takes as long as all else in the loops that need this. Two corrections of an
// estimate end where a division does, but for a mantissa of ones, so a processor's way of
// estimating does not show.
inline Vector Reciprocal(Vector x) {
#if defined(__AVX512F__)
  Vector y = _mm512_maskz_rcp14_ps(0xffff, x);
  y += y * (1.0f - x * y);
  return y + y * (1.0f - x * y);
#else
  return 1.0f / x;
#endif
}

inline Vector SquareRoot(Vector x) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xffff, x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#else
  for (int j = 0; j < kVector; ++j) x[j] = sqrtf(x[j]);
  return x;
#endif
}

// e^x within 2 units in the last place for |x| <= 87, saturating outside; NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial for e^r.
inline Vector Exp(Vector x) {
  x = Smaller(All(88.0f), Larger(All(-87.0f), x));
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Vector shifted = x * 1.44269504f + kRound;
  const Vector n = shifted - kRound;
  Vector r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  // By pairs: from one power to the next the processor would wait for each multiply-add.
  const Vector square = r * r;
  const Vector low = r * 1.6666665459e-1f + 5.0000001201e-1f;
  const Vector middle = r * 8.3334519073e-3f + 4.1665795894e-2f;
  const Vector high = r * 1.9875691500e-4f + 1.3981999507e-3f;
  const Vector p = (high * (square * square) + (middle * square + low)) * square + (r + 1.0f);
  const Bits exponent = (reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000u;
  return p * reinterpret_cast<Vector>(exponent);
}

// Combines the lanes in a fixed order; the result is in all of them.
template <typename Combine, int... kLane>
inline Vector Fold(Vector x, Combine combine, std::integer_sequence<int, kLane...>) {
  if constexpr (kVector > 8) x = combine(x, __builtin_shufflevector(x, x, (kLane ^ 8)...));
  if constexpr (kVector > 4) x = combine(x, __builtin_shufflevector(x, x, (kLane ^ 4)...));
  x = combine(x, __builtin_shufflevector(x, x, (kLane ^ 2)...));
  return combine(x, __builtin_shufflevector(x, x, (kLane ^ 1)...));
}
template <typename Combine>
inline Vector Fold(Vector x, Combine combine) {
  return Fold(x, combine, std::make_integer_sequence<int, kVector>());
}

// `value` in the first `count` lanes, `beyond` in the others.
template <int... kLane>
inline Vector FirstLanes(int count, Vector value, float beyond,
                         std::integer_sequence<int, kLane...>) {
  typedef int Ints __attribute__((vector_size(4 * kVector)));
  return Ints{kLane...} < count ? value : All(beyond);
}

// What a loop over an array sees of it: a whole vector; or the entries that are left, in a vector
// that is there, or not. Keep puts `beyond` into the lanes that stand for nothing.
struct Whole {
  static Vector Load(const float* from) { return loglog::Load(from); }
  static void Store(float* to, Vector value) { loglog::Store(to, value); }
  static Vector Keep(Vector value, float) { return value; }
};
struct Edge {
  int count;
  static Vector Load(const float* from) { return loglog::Load(from); }
  static void Store(float* to, Vector value) { loglog::Store(to, value); }
  Vector Keep(Vector value, float beyond) const {
    return FirstLanes(count, value, beyond, std::make_integer_sequence<int, kVector>());
  }
};
struct Rest {
  int count;
  Vector Load(const float* from) const {
    Vector value = {};
    for (int j = 0; j < count; ++j) value[j] = from[j];
    return value;
  }
  void Store(float* to, Vector value) const {
    for (int j = 0; j < count; ++j) to[j] = value[j];
  }
  Vector Keep(Vector value, float beyond) const { return Edge{count}.Keep(value, beyond); }
};

// body(i, part) over the first `count` of `room` entries.
template <typename Body>
[[gnu::always_inline]] inline void ForVectors(int64_t count, int64_t room, Body body) {
  int64_t i = 0;
  for (; i + kVector <= count; i += kVector) body(i, Whole());
  if (i == count) return;
  const int left = static_cast<int>(count - i);
  if (i + kVector <= room) {
    body(i, Edge{left});
  } else {
    body(i, Rest{left});
  }
}
template <typename Body>
[[gnu::always_inline]] inline void ForVectors(int64_t count, Body body) {
  ForVectors(count, count, body);
}

// The sums of term(i, part), lane by lane.
template <typename Term>
[[gnu::always_inline]] inline Vector LanesSum(int64_t count, int64_t room, Term term) {
  Vector sum = {};
  ForVectors(count, room, [&](int64_t i, auto part) { sum += part.Keep(term(i, part), 0); });
  return sum;
}
inline Vector FoldSum(Vector lanes) {
  return Fold(lanes, [](Vector x, Vector y) { return x + y; });
}

// The sum of term(i, part), in all lanes.
template <typename Term>
[[gnu::always_inline]] inline Vector VectorSum(int64_t count, Term term) {
  return FoldSum(LanesSum(count, count, term));
}

// The largest of x, lane by lane.
[[gnu::always_inline]] inline Vector LanesMax(const float* x, int64_t count, int64_t room) {
  Vector top = All(-INFINITY);
  ForVectors(count, room, [&](int64_t i, auto part) {
    top = Larger(part.Keep(part.Load(x + i), -INFINITY), top);
  });
  return top;
}
