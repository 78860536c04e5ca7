// The tiles of columns that the backward kernels walk over: two tensors, three tiles of each in L1.
//
// For queries as columns a tile carries its tails (log-sums, deltas); for keys the constants lie
// there already.
#ifndef MINDLONG_ATTENTION_COLUMNS_H
#define MINDLONG_ATTENTION_COLUMNS_H
#include "mindlong_attention_delta.h"

namespace mindlong {
constexpr uint32_t RING = 3;  // tiles of columns in L1

// Null where a kernel has none: q, o and dq for keys; dk and dv for queries. delta and scaled are
// written for queries and read for keys.
struct BackwardTensors {
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR control;
  GM_ADDR o;
  GM_ADDR logsum;
  GM_ADDR dout;
  GM_ADDR delta;
  GM_ADDR scaled;
  GM_ADDR dq;
  GM_ADDR dk;
  GM_ADDR dv;
};

class Columns : public Delta {
 protected:
  // `total`: columns of each of the bn; `shrink`: on the second tensor.
  __aicore__ inline void OpenColumns(uint32_t total, bool tails, float shrink) {
    columns_ = total;
    tails_ = tails;
    shrink_ = shrink;
    query_rows_ = (t_.sq + ROWS - 1) / ROWS * ROWS;
  }
  __aicore__ inline uint32_t ColumnTile() const { return (width_ + 1) * bc_ * LANES; }
  __aicore__ inline uint32_t RingBytes() const { return 2 * 2 * RING * ColumnTile(); }
  __aicore__ inline void PlaceRing() {
    const uint32_t tile = ColumnTile();
    for (uint32_t i = 0; i < RING; ++i) {
      c1_[i] = l1b_.GetWithOffset<half>(tile, 4 * tile * i);
      c2_[i] = l1b_.GetWithOffset<half>(tile, 4 * tile * i + 2 * tile);
    }
  }
  // Global memory is read from here on, `end` columns of it at most; PlaceTile brings it to L1.
  __aicore__ inline void AskTile(uint32_t bn, uint32_t tile, uint32_t end) {
    if (tile >= RING)
      WaitFlag<HardEvent::MTE1_MTE2>(tile % RING);
    const uint32_t row = (first_ + tile) * bc_;
    asked_ = true;
    asked_tile_ = tile;
    asked_rows_ = Left(row, end);
    if (tails_)
      lost_[0] = lost_[0] || Lost(bn, row);
    slot_[0] = Ask(Rows(column1_, bn, row, columns_), asked_rows_);
    AskTail(slot_[0], logsum_, bn, row);
    slot_[1] = Ask(Rows(column2_, bn, row, columns_), asked_rows_);
    AskTail(slot_[1], delta_, bn, row);
  }
  // Whether the forward pass refused the tile of queries that `row` is of.
  __aicore__ inline bool Lost(uint32_t bn, uint32_t row) {
    return logsum_bits_.GetValue(((uint64_t)bn * query_rows_ + row) * LANES) == NOT_A_NUMBER;
  }
  __aicore__ inline void AskTail(uint32_t s, const GlobalTensor<half>& from, uint32_t bn,
                                 uint32_t row) {
    if (tails_)
      DataCopy(Stage(s)[bc_ * t_.d], from[((uint64_t)bn * query_rows_ + row) * LANES], bc_ * LANES);
    SetFlag<HardEvent::MTE2_MTE3>(s);
  }
  __aicore__ inline void PlaceTile() {
    const uint32_t b = asked_tile_ % RING;
    PlaceOne(c1_[b], slot_[0], 1.0f);
    PlaceOne(c2_[b], slot_[1], shrink_);
    SetFlag<HardEvent::MTE3_MTE1>(asked_tile_ & 1);
    asked_ = false;
  }
  __aicore__ inline void PlaceOne(const LocalTensor<half>& l1, uint32_t s, float factor) {
    Place(l1, s, asked_rows_, bc_, 0, factor);
    if (tails_)
      DataCopy(l1[width_ * bc_ * LANES], Stage(s)[bc_ * t_.d], DataCopyParams(1, bc_, 0, 0));
    SetFlag<HardEvent::MTE3_MTE2>(s);
  }

  GlobalTensor<half> column1_, column2_, logsum_, delta_;
  GlobalTensor<int16_t> logsum_bits_;
  LocalTensor<half> c1_[RING], c2_[RING];
  uint32_t first_;  // the tile that the walk begins with
  bool asked_ = false;
  bool lost_[2];  // a result is refused: for queries that of a tile of rows, for keys [0]

 private:
  uint32_t columns_, query_rows_, asked_tile_, asked_rows_, slot_[2];
  float shrink_;
  bool tails_;
};
}  // namespace mindlong
#endif
