// Causal attention of one key-value head over float32 arrays, by the tiles of matmul_impl.h;
// included by kernels_impl.h and under its rules.
//
// Queries go in groups of kTileRows, and a group meets only the keys that its last row may see: the
// products above the diagonal are left out, but for the edges of tiles.

// The columns of a matrix [inner, width] as tiles read them.
struct Panels {
  const float* data;
  int64_t panel;  // from a panel of kTileCols columns to the next
  int64_t row;
};

// As it lies where tiles find whole vectors, else copied to `room`, which then begins behind it.
inline Panels PanelsOfRows(const float* x, int64_t inner, int64_t width, float** room) {
  if (width % kVector == 0) return {x, kTileCols, width};
  const Panels panels{*room, inner * kTileCols, kTileCols};
  for (int64_t j = 0; j < width; j += kTileCols, *room += panels.panel) {
    PackRows(x + j, width, inner, Min(kTileCols, width - j), *room);
  }
  return panels;
}

// Of the transpose of x [rows, width]: panels of its rows.
inline Panels PanelsOfTranspose(const float* x, int64_t rows, int64_t width, float** room) {
  const Panels panels{*room, width * kTileCols, kTileCols};
  for (int64_t j = 0; j < rows; j += kTileCols, *room += panels.panel) {
    PackColumns(x + j * width, width, width, Min(kTileCols, rows - j), *room);
  }
  return panels;
}

// out [rows, cols] = base + a b for at most kTileRows rows; a [rows, inner].
inline void RowsTimes(int64_t rows, int64_t cols, int64_t inner, const MatrixView& a,
                      const Panels& b, const float* base, float* out, int64_t out_row) {
  for (int64_t j = 0; j < cols; j += kTileCols) {
    AnyTile(rows, Min(kTileCols, cols - j),
            {.inner = inner,
             .a = a.data,
             .a_row = a.row,
             .a_step = a.col,
             .b = b.data + j / kTileCols * b.panel,
             .b_row = b.row,
             .base = base == nullptr ? nullptr : base + j,
             .base_row = out_row,
             .out = out + j,
             .out_row = out_row,
             .next_out = nullptr,
             .next_base = nullptr});
  }
}

// For each group of rows of x [length, width]: weights = x across, over whole vectors of the keys
// that its last row sees; then softmax(first row, rows of weights), which puts zeros beyond a row's
// own key; then out = weights b, unless out is null. Beyond those vectors nothing is written or
// read.
template <typename Softmax>
inline void ThroughWeights(int64_t length, int64_t width, const float* x, const Panels& across,
                           float* weights, Softmax softmax, const Panels& b, float* out) {
  for (int64_t t = 0; t < length; t += kTileRows) {
    const int64_t rows = Min(kTileRows, length - t), seen = t + rows;
    const int64_t computed = Min(Parts(seen, kVector) * kVector, length);
    RowsTimes(rows, computed, width, {x + t * width, width, 1}, across, nullptr,
              weights + t * length, length);
    softmax(t, QueryRows{rows, t + 1, length, computed});
    if (out == nullptr) continue;
    RowsTimes(rows, width, seen, {weights + t * length, length, 1}, b, nullptr, out + t * width,
              width);
  }
}

void CausalAttention(const AttentionShape& shape, const float* q, const float* k, const float* v,
                     float* p, float* out, float* scratch) {
  const int64_t length = shape.positions, width = shape.head_dim;
  const float scale = 1.0f / sqrtf(static_cast<float>(width));
  const Panels keys = PanelsOfTranspose(k, length, width, &scratch);
  const Panels values = PanelsOfRows(v, length, width, &scratch);
  for (int64_t head = 0; head < shape.group; ++head) {
    const auto softmax = [&](int64_t t, const QueryRows& rows) {
      SoftmaxRows(rows, p + t * length, scale);
    };
    ThroughWeights(length, width, q, keys, p, softmax, values, out);
    q += length * width;
    p += length * length;
    if (out != nullptr) out += length * width;
  }
}

void CausalAttentionBackward(const AttentionShape& shape, const float* q, const float* k,
                             const float* v, const float* p, const float* dout, float* ds,
                             float* dq, float* dk, float* dv, float* scratch) {
  const int64_t length = shape.positions, width = shape.head_dim;
  const float scale = 1.0f / sqrtf(static_cast<float>(width));
  const Panels values = PanelsOfTranspose(v, length, width, &scratch);
  const Panels keys = PanelsOfRows(k, length, width, &scratch);
  for (int64_t head = 0; head < shape.group; ++head) {
    const auto softmax = [&](int64_t t, const QueryRows& rows) {
      SoftmaxRowsBackward(rows, p + t * length, ds + t * length, scale);
    };
    ThroughWeights(length, width, dout, values, ds, softmax, keys, dq);
    // A group of keys meets the queries from its first key on.
    float* room = scratch;
    const Panels queries = PanelsOfRows(q, length, width, &room);
    const Panels douts = PanelsOfRows(dout, length, width, &room);
    const auto add = [&](int64_t t, const float* weights, const Panels& b, float* to) {
      const int64_t rows = Min(kTileRows, length - t);
      RowsTimes(rows, width, length - t, {weights + t * length + t, 1, length},
                {b.data + t * b.row, b.panel, b.row}, head == 0 ? nullptr : to + t * width,
                to + t * width, width);
    };
    for (int64_t t = 0; t < length; t += kTileRows) {
      add(t, ds, queries, dk);
      add(t, p, douts, dv);
    }
    q += length * width;
    dout += length * width;
    dq += length * width;
    p += length * length;
    ds += length * length;
  }
}
