// Matrix products of float32 arrays; included by kernels_impl.h and under its rules.
//
// A product is cut into tiles of kTileRows x kTileCols whose sums stay in registers while the
// inner dimension runs. `b` is first copied into panels [inner, kTileCols], so that a step of
// the inner dimension reads two vectors of b and kTileRows numbers of a.

constexpr int kTileRows = kVector == 16 ? 12 : kVector == 8 ? 6 : 4;
constexpr int kTileCols = 2 * kVector;

// A block of a and one panel of b should fit into a second-level cache of 1 MB beside each other,
// and all panels of a block of b into a share of the third.
constexpr int64_t kInnerBlock = 384;
constexpr int64_t kRowBlock = 43 * 12;
constexpr int64_t kColBlock = 1024;
static_assert(kInnerBlock * kColBlock + kRowBlock * (kInnerBlock + kVector) <= kMatMulScratch);

// out = base + a b, or a b without a base, of at most kTileRows x kTileCols.
struct TileTask {
  int64_t inner;
  const float* a;  // entry (i, k) at i * a_row + k * a_step
  int64_t a_row, a_step;
  const float* b;
  int64_t b_row;
  const float* base;
  int64_t base_row;
  float* out;
  int64_t out_row;
  // Of the tile after this one: kTileRows rows as of out and of base are asked for meanwhile.
  const float *next_out, *next_base;
};

inline void PrefetchTileRow(const float* x) {
  for (int64_t j = 0; j < kTileCols; j += 16) __builtin_prefetch(x + j);
}

template <int kRows, int kVectors>
inline void Tile(const TileTask& task) {
  const int64_t a_row = task.a_row, a_step = task.a_step, b_row = task.b_row;
  Vector sums[kRows][kVectors] = {};
  if (task.base != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) {
        sums[i][j] = Load(task.base + i * task.base_row + j * kVector);
      }
    }
  }
  // Four pointers and one distance reach twelve rows; the compiler, left alone, keeps twelve
  // distances, for which there are no registers.
  const float* third[(kRows + 2) / 3];
#pragma GCC unroll 4
  for (int i = 0; i < (kRows + 2) / 3; ++i) third[i] = task.a + 3 * i * a_row;
  const float* b = task.b;
  const auto step = [&]() __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int i = 0; i < (kRows + 2) / 3; ++i) asm("" : "+r"(third[i]));
    asm("" : "+r"(b));
    Vector row[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) row[j] = Load(b + j * kVector);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] += third[i / 3][i % 3 * a_row] * row[j];
    }
#pragma GCC unroll 4
    for (int i = 0; i < (kRows + 2) / 3; ++i) third[i] += a_step;
    b += b_row;
  };
  int64_t k = 0;
  if (task.next_out != nullptr) {
    const int64_t steps = Min(kTileRows, task.inner);
    const float *next_out = task.next_out, *next_base = task.next_base;
    for (; k < steps; ++k, next_out += task.out_row, next_base += task.base_row) {
      PrefetchTileRow(next_out);
      PrefetchTileRow(next_base);
      step();
    }
  }
  for (; k < task.inner; ++k) step();
  float* out = task.out;
  const int64_t out_row = task.out_row;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i, out += out_row) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) Store(out + j * kVector, sums[i][j]);
  }
}

// The same for any number of rows up to kTileRows.
template <int kVectors, int kRows = kTileRows>
inline void TileOfRows(int64_t rows, const TileTask& task) {
  if (rows == kRows) return Tile<kRows, kVectors>(task);
  if constexpr (kRows > 1) TileOfRows<kVectors, kRows - 1>(rows, task);
}

// The same for any number of columns up to kTileCols; b has kTileCols readable columns.
[[gnu::noinline]] void AnyTile(int64_t rows, int64_t cols, const TileTask& task) {
  if (cols == kTileCols) return TileOfRows<2>(rows, task);
  if (cols == kVector) return TileOfRows<1>(rows, task);
  float edge[kTileRows * kTileCols];
  TileTask inside = task;
  inside.out = edge;
  inside.out_row = kTileCols;
  inside.next_out = nullptr;
  if (task.base != nullptr) {
    for (int64_t i = 0; i < rows; ++i) {
      Copy(task.base + i * task.base_row, cols, edge + i * kTileCols);
    }
    inside.base = edge;
    inside.base_row = kTileCols;
  }
  if (cols < kVector) {
    TileOfRows<1>(rows, inside);
  } else {
    TileOfRows<2>(rows, inside);
  }
  for (int64_t i = 0; i < rows; ++i) Copy(edge + i * kTileCols, cols, task.out + i * task.out_row);
}

// In a square of vectors, swaps what lies off the diagonal of each square of 2 kHalf.
template <int kHalf, int... kLane>
inline void SwapHalves(Vector (&rows)[kVector], std::integer_sequence<int, kLane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kVector; ++i) {
    if ((i & kHalf) != 0) continue;
    const Vector low = rows[i], high = rows[i + kHalf];
    rows[i] =
        __builtin_shufflevector(low, high, ((kLane & kHalf) ? kVector + kLane - kHalf : kLane)...);
    rows[i + kHalf] =
        __builtin_shufflevector(low, high, ((kLane & kHalf) ? kVector + kLane : kLane + kHalf)...);
  }
}

inline void Transpose(Vector (&rows)[kVector]) {
  const std::make_integer_sequence<int, kVector> lanes;
  if constexpr (kVector > 8) SwapHalves<8>(rows, lanes);
  if constexpr (kVector > 4) SwapHalves<4>(rows, lanes);
  SwapHalves<2>(rows, lanes);
  SwapHalves<1>(rows, lanes);
}

// One panel [inner, kTileCols] of b [inner, cols], cols <= kTileCols; zeros beyond its columns.
inline void PackRows(const float* b, int64_t b_row, int64_t inner, int64_t cols, float* panel) {
  for (int64_t k = 0; k < inner; ++k, b += b_row, panel += kTileCols) {
    if (cols == kTileCols) {
      Store(panel, Load(b));
      Store(panel + kVector, Load(b + kVector));
    } else {
      Copy(b, cols, panel);
      for (int64_t j = cols; j < kTileCols; ++j) panel[j] = 0;
    }
  }
}

// The same where b is stored by columns, entry (k, j) at k + j * b_col.
inline void PackColumns(const float* b, int64_t b_col, int64_t inner, int64_t cols, float* panel) {
  int64_t k = 0;
  for (; k + kVector <= inner; k += kVector) {
    for (int64_t first = 0; first < kTileCols; first += kVector) {
      Vector rows[kVector];
#pragma GCC unroll 16
      for (int j = 0; j < kVector; ++j) {
        rows[j] = first + j < cols ? Load(b + (first + j) * b_col + k) : Vector{};
      }
      Transpose(rows);
#pragma GCC unroll 16
      for (int i = 0; i < kVector; ++i) Store(panel + (k + i) * kTileCols + first, rows[i]);
    }
  }
  for (; k < inner; ++k) {
    for (int64_t j = 0; j < kTileCols; ++j)
      panel[k * kTileCols + j] = j < cols ? b[k + j * b_col] : 0;
  }
}

inline void Pack(const MatrixView& b, int64_t inner, int64_t cols, float* panel) {
  if (b.col == 1) {
    PackRows(b.data, b.row, inner, cols, panel);
  } else if (b.row == 1) {
    PackColumns(b.data, b.col, inner, cols, panel);
  } else {
    for (int64_t k = 0; k < inner; ++k) {
      for (int64_t j = 0; j < kTileCols; ++j) {
        panel[k * kTileCols + j] = j < cols ? b.data[k * b.row + j * b.col] : 0;
      }
    }
  }
}

// The rows of a whose distance is a multiple of 2 KB fall into a few sets of the first-level cache
// and push each other out; a copy with another distance does not.
inline bool Collides(const MatrixView& a) { return a.col == 1 && a.row % 512 == 0; }

// [rows, inner] -> rows kInnerBlock + kVector apart.
inline void CopyApart(const float* from, int64_t row, int64_t rows, int64_t inner, float* to) {
  for (int64_t i = 0; i < rows; ++i) {
    Copy(from + i * row, inner, to + i * (kInnerBlock + kVector));
  }
}

// Where a is stored by columns, each step of a tile reads another of its rows in memory, and of a
// large matrix each is in another page. From so many entries on, tiles read a copy.
constexpr int64_t kFarFloats = 1 << 18;

// From a row of such a group to the next: groups whose distance is a multiple of 4 KB would push
// each other out of the first-level cache while they are written.
inline int64_t GroupRow(int64_t inner) { return inner + kVector; }

// The transpose of from [inner, rows] in groups of kTileRows rows, each [inner, kTileRows].
inline void CopyGroups(const float* from, int64_t col, int64_t rows, int64_t inner, float* to) {
  const int64_t whole = rows / kTileRows * kTileRows;
  for (int64_t k = 0; k < inner; ++k, from += col) {
    float* group = to + k * kTileRows;
    for (int64_t i = 0; i < whole; i += kTileRows, group += GroupRow(inner) * kTileRows) {
      __builtin_memcpy(group, from + i, kTileRows * sizeof(float));
    }
    Copy(from + whole, rows - whole, group);
  }
}

inline void PrefetchMatrix(const MatrixView& x, int64_t rows, int64_t cols) {
  if (x.col == 1) {
    Prefetch<0>(x.data, x.row, rows, cols);
  } else {
    Prefetch<0>(x.data, x.col, cols, rows);
  }
}

inline int64_t InnerBlock(int64_t inner) { return Parts(inner, Parts(inner, kInnerBlock)); }

// All panels, one after another as MatMul comes to them.
void PackPanels(const MatrixView& b, int64_t inner, int64_t cols, float* panels) {
  const int64_t block = InnerBlock(inner);
  for (int64_t col = 0; col < cols; col += kColBlock) {
    const int64_t end = Min(col + kColBlock, cols);
    for (int64_t k = 0; k < inner; k += block) {
      const int64_t depth = Min(block, inner - k);
      for (int64_t j = col; j < end; j += kTileCols, panels += depth * kTileCols) {
        Pack({b.data + k * b.row + j * b.col, b.row, b.col}, depth, Min(kTileCols, end - j),
             panels);
      }
    }
  }
}

void MatMul(const MatMulShape& shape, const MatrixView& a, const MatrixView& b, const float* panels,
            const float* base, int64_t base_row, float* out, int64_t out_row, float* scratch) {
  const int64_t inner_block = InnerBlock(shape.inner);
  float* copy = scratch + kInnerBlock * kColBlock;
  const bool copies = Collides(a) && shape.cols > 4 * kTileCols;
  const bool groups =
      a.row == 1 && shape.rows * shape.inner > kFarFloats && shape.cols >= 4 * kTileCols;
  for (int64_t col = 0; col < shape.cols; col += kColBlock) {
    const int64_t cols = Min(kColBlock, shape.cols - col);
    for (int64_t k = 0; k < shape.inner; k += inner_block) {
      const int64_t inner = Min(inner_block, shape.inner - k);
      for (int64_t row = 0; row < shape.rows; row += kRowBlock) {
        const int64_t rows = Min(kRowBlock, shape.rows - row);
        MatrixView part{a.data + row * a.row + k * a.col, a.row, a.col};
        if (copies) {
          CopyApart(part.data, part.row, rows, inner, copy);
          part = {copy, kInnerBlock + kVector, 1};
        }
        if (groups) {
          CopyGroups(part.data, part.col, rows, inner, copy);
          part = {copy, GroupRow(inner), kTileRows};
        }
        const float* panel = panels;
        for (int64_t j = 0; j < cols; j += kTileCols) {
          const int64_t width = Min(kTileCols, cols - j);
          MatrixView next_panel{panel + inner * kTileCols, kTileCols, 1};
          if (panels == nullptr) {
            const float* from = b.data + k * b.row + (col + j) * b.col;
            float* room = shape.rows > kRowBlock ? scratch + j * inner : scratch;
            if (row == 0) Pack({from, b.row, b.col}, inner, width, room);
            panel = room;
            next_panel = {from + kTileCols * b.col, b.row, b.col};
          }
          // Of the panel after this one, a part with each tile.
          const int64_t next_width = row == 0 ? Min(kTileCols, cols - j - kTileCols) : 0;
          for (int64_t i = 0; i < rows; i += kTileRows) {
            const int64_t next = i + kTileRows, next_rows = Min(kTileRows, rows - next);
            if (next_rows > 0 && j == 0 && !copies && !groups) {
              PrefetchMatrix({part.data + next * part.row, part.row, part.col}, next_rows, inner);
            }
            if (next_width > 0) {
              const int64_t first = inner * i / rows, last = inner * Min(next, rows) / rows;
              PrefetchMatrix(
                  {next_panel.data + first * next_panel.row, next_panel.row, next_panel.col},
                  last - first, next_width);
            }
            float* to = out + (row + i) * out_row + col + j;
            const float* from = base == nullptr ? nullptr : base + (row + i) * base_row + col + j;
            TileTask task = {.inner = inner,
                             .a = part.data + i * part.row,
                             .a_row = groups ? 1 : part.row,
                             .a_step = part.col,
                             .b = panel,
                             .b_row = kTileCols,
                             .base = k > 0 ? to : from,
                             .base_row = k > 0 ? out_row : base_row,
                             .out = to,
                             .out_row = out_row,
                             .next_out = nullptr,
                             .next_base = nullptr};
            if (next_rows == kTileRows) {
              task.next_out = to + kTileRows * out_row;
              task.next_base =
                  task.base == nullptr ? task.next_out : task.base + kTileRows * task.base_row;
            }
            AnyTile(Min(kTileRows, rows - i), width, task);
          }
          if (panels != nullptr) panel += inner * kTileCols;
        }
      }
      if (panels != nullptr) panels += inner * Parts(cols, kTileCols) * kTileCols;
    }
  }
}
