// What the vector unit does for every kernel: numbers against tensors, tails, and which columns a
// row sees.
#ifndef MINDLONG_ATTENTION_VECTORS_H
#define MINDLONG_ATTENTION_VECTORS_H
#include "mindlong_attention_tiles.h"

namespace mindlong {
constexpr float MASKED = -65504.0f;       // the lowest half: exp gives 0
constexpr uint32_t REPEAT = 256;          // bytes of one repeat of a vector instruction
constexpr int16_t NOT_A_NUMBER = 0x7e00;  // as the bits of a half

struct Span {  // columns [low, high) that a row may see
  int32_t low, high;
};

class Vectors : public Tiles {
 protected:
  __aicore__ inline void OpenVectors() {
    c16_ = Take<half>(STRIP);
    tail_ = Take<half>(STRIP);
    number_ = Take<half>(REPEAT / 2);
  }
  __aicore__ inline uint32_t VectorBytes() const { return TileBytes() + STRIP * 2 * 2 + REPEAT; }

  // ---- max and min with a number, which the chip has for two tensors only ----
  // n elements, whole repeats. x may come from the instruction before: a barrier lies between.
  template <typename T>
  __aicore__ inline void AtLeast(const LocalTensor<T>& x, T value, int32_t n) {
    Max(x, x, Number(value), Lanes<T>(), Repeats<T>(n), Against());
  }
  template <typename T> __aicore__ inline void AtMost(const LocalTensor<T>& x, T value, int32_t n) {
    Min(x, x, Number(value), Lanes<T>(), Repeats<T>(n), Against());
  }
  template <typename T> __aicore__ inline LocalTensor<T> Number(T value) {  // one repeat of it
    LocalTensor<T> c = number_.ReinterpretCast<T>();
    Duplicate(c, value, (int32_t)(REPEAT / sizeof(T)));
    Step();
    return c;
  }
  template <typename T> __aicore__ inline uint64_t Lanes() const { return REPEAT / sizeof(T); }
  template <typename T> __aicore__ inline uint8_t Repeats(int32_t n) const {
    return (uint8_t)(n * sizeof(T) / REPEAT);
  }
  __aicore__ inline BinaryRepeatParams Against() const {  // the same repeat again and again
    BinaryRepeatParams r;
    r.src1RepStride = 0;
    return r;
  }

  // ---- the tail: a float for each row, as three halves ----
  __aicore__ inline void LaneMask(uint64_t (&mask)[2], uint64_t lanes) const {
    mask[0] = lanes | lanes << 16 | lanes << 32 | lanes << 48;
    mask[1] = mask[0];
  }
  // tail_ = lanes 0 to 2 of `from` (STRIP floats, a row's value in each of its lanes) split,
  // negated. Uses f_[1], f_[2], c16_.
  __aicore__ inline void Split(const LocalTensor<float>& from) { Split(from, from, false); }
  // The same of from + more, where a float would lose of `more` what `from` is large.
  __aicore__ inline void Split(const LocalTensor<float>& from, const LocalTensor<float>& more,
                               bool add) {
    Duplicate(tail_, half(0.0f), (int32_t)STRIP);
    for (uint32_t i = 0; i < 3; ++i) {
      uint64_t mask[2];
      LaneMask(mask, 1ull << i);
      Remainder(i, from);
      if (i == 1 && add) {
        Add(f_[1], f_[1], more, (int32_t)STRIP);
        Step();
      }
      Part(i);
      Muls(tail_, c16_, half(-1.0f), mask, (uint8_t)(STRIP / 128), UnaryRepeatParams());
    }
  }
  // f_[1] = what the halves before the `i`-th of three leave of `from`; the first is of 512ths.
  __aicore__ inline void Remainder(uint32_t i, const LocalTensor<float>& from) {
    if (i == 0) {
      Muls(f_[1], from, 1.0f / 512.0f, (int32_t)STRIP);
      Step();
    } else {
      Remove(i == 1 ? -512.0f : -1.0f, i == 1 ? from : f_[1]);
    }
  }
  // c16_ = the `i`-th half, of f_[1]; the last is of 4096 times what is left.
  __aicore__ inline void Part(uint32_t i) {
    if (i == 2) {
      Muls(f_[1], f_[1], 4096.0f, (int32_t)STRIP);
      Step();
    }
    Cast(c16_, f_[1], RoundMode::CAST_NONE, STRIP);
    Step();
  }
  // f_[1] = from + back * c16_
  __aicore__ inline void Remove(float back, const LocalTensor<float>& from) {
    Cast(f_[2], c16_, RoundMode::CAST_NONE, STRIP);
    Step();
    Muls(f_[2], f_[2], back, (int32_t)STRIP);
    Step();
    Add(f_[1], f_[2], from, (int32_t)STRIP);
    Step();
  }
  // The constants on the other side of a tail, `rows` high, into L1 (only while nothing else runs).
  __aicore__ inline void Constants(const LocalTensor<half>& l1, uint32_t rows) {
    const float values[3] = {512.0f, 1.0f, 1.0f / 4096.0f};
    Duplicate(c16_, half(0.0f), (int32_t)STRIP);
    Step();
    for (uint32_t i = 0; i < 3; ++i) {
      uint64_t mask[2];
      LaneMask(mask, 1ull << i);
      Duplicate(c16_, half(values[i]), mask, (uint8_t)(STRIP / 128), 1, 8);
      Step();
    }
    ToL1(l1, c16_, rows);
  }
  // A strip of `rows` rows of 16 halves, while nothing else runs.
  __aicore__ inline void ToL1(const LocalTensor<half>& l1, const LocalTensor<half>& strip,
                              uint32_t rows) {
    Stop();
    DataCopy(l1, strip, DataCopyParams(1, rows, 0, 0));
    Stop();
  }

  // ---- which columns a row sees ----
  // `back` and `ahead` in frames of c_.unit tokens; `limit`: columns that exist.
  __aicore__ inline Span Seen(int32_t row, int32_t back, int32_t ahead, int32_t limit) const {
    Span s = {0, limit};
    if (c_.back < 0)
      return s;
    const int32_t frame = row / c_.unit;
    s.low = frame > back ? (frame - back) * c_.unit : 0;
    const int64_t end = ((int64_t)frame + ahead + 1) * c_.unit;
    s.high = end < limit ? (int32_t)end : limit;
    return s;
  }
  // Scores of tile (row0.., column0..) outside what each row sees become MASKED. x is NZ, bc_ wide.
  __aicore__ inline void Mask(const LocalTensor<half>& x, int32_t row0, int32_t column0,
                              int32_t back, int32_t ahead, int32_t limit) {
    const int32_t end = column0 + (int32_t)bc_;
    const int32_t last_low = Seen(row0 + ROWS - 1, back, ahead, limit).low;
    if (last_low <= column0 && Seen(row0, back, ahead, limit).high >= end)
      return;
    for (int32_t r = 0; r < (int32_t)ROWS;) {
      const Span s = Seen(row0 + r, back, ahead, limit);
      const int32_t next = NextFrame(row0 + r) - row0;
      const int32_t bottom = next < (int32_t)ROWS ? next : (int32_t)ROWS;
      Fill(x, r, bottom, 0, s.low - column0);
      Step();
      Fill(x, r, bottom, s.high - column0, bc_);
      r = bottom;
    }
    Step();
  }
  __aicore__ inline int32_t NextFrame(int32_t row) const {  // the first row of the next frame
    return c_.back < 0 ? row + (int32_t)ROWS : (row / c_.unit + 1) * c_.unit;
  }
  __aicore__ inline void Fill(const LocalTensor<half>& x, int32_t top, int32_t bottom, int32_t left,
                              int32_t right) {
    left = left < 0 ? 0 : left;
    right = right > (int32_t)bc_ ? (int32_t)bc_ : right;
    for (int32_t c = left / (int32_t)LANES * (int32_t)LANES; c < right; c += LANES) {
      const int32_t from = left > c ? left - c : 0;
      const int32_t to = right < c + (int32_t)LANES ? right - c : LANES;
      FillStrip(x[c * ROWS + top * LANES], bottom - top, from, to);
    }
  }
  // Lanes [from, to) of `rows` rows of 16 become MASKED.
  __aicore__ inline void FillStrip(const LocalTensor<half>& strip, int32_t rows, int32_t from,
                                   int32_t to) {
    if (from == 0 && to == (int32_t)LANES) {
      Duplicate(strip, half(MASKED), rows * (int32_t)LANES);
    } else {  // one row of 16 lanes a repeat
      uint64_t mask[2] = {((1ull << to) - 1) & ~((1ull << from) - 1), 0};
      Duplicate(strip, half(MASKED), mask, (uint8_t)rows, 1, 1);
    }
  }

  // ---- results ----
  // f_[0], the strip `c` of a result in float, rounded, into the ND rows staged for output. Uses
  // c16_.
  __aicore__ inline void StageOut(uint32_t c) {
    Cast(c16_, f_[0], RoundMode::CAST_NONE, STRIP);
    Step();
    DataCopy(stage_[c * LANES], c16_, DataCopyParams(ROWS, 1, 0, width_ - 1));
    Step();
  }
  // Says that there is no result: every half is not a number. As bits, for on this chip arithmetic
  // makes 0 of what is not a number.
  __aicore__ inline void Refuse(const LocalTensor<half>& x, uint32_t n) {
    Duplicate(x.ReinterpretCast<int16_t>(), NOT_A_NUMBER, (int32_t)n);
  }

  LocalTensor<half> c16_, tail_, number_;
};
}  // namespace mindlong
#endif
