// Where the tokens of an attention lie, and how they come into packed rows and panels.
//
// An attention is rows of queries and keys: row = (video, block of frames, group). Tokens are
// addressed in place, so that neither heads nor frames are transposed in memory, and frames that
// several blocks read are not copied:
//
//   kind 0  q (B, N, S, D), k v (B, N, T, D)
//
//   kind 1  q (R, S, N*D), k v (R, T, N*D)
//
//   kind 2  q (B, F, P, N*D), k v (B, G, P, N*D): a query reads the pixels of the frames
//           index[block]; blocks of F / blocks frames
//
//   kind 3  the same with a pixel reading only its own place in those frames (group = pixel)
#pragma once
#include "scratch.h"
#include "tile_product.h"

struct Side {  // the tokens of a row: `frames` of a block, each of `unit` tokens
  int64_t frames, unit, video, frame, token, group, head;
  const int32_t* index;  // (blocks, frames): the frame that is read, or null: block * frames + f
  int64_t tokens() const { return frames * unit; }
};
struct Row {
  int64_t video, block, group, head;
};
struct Flash {
  const float *q, *k, *v, *bias;
  Side from, to;  // of the queries and of the keys
  int64_t videos, blocks, groups, heads, D, Dp, S, T;
  int64_t bias_video, bias_block, bias_head, bias_q;  // strides; 0 where the bias is the same
  int64_t before, after, unit;  // band: key block t / unit within [s/unit - before, s/unit + after]
  float scale;
  int64_t rows() const { return videos * blocks * groups * heads; }
  // Heads run fastest: neighbours in memory.
  Row row(int64_t i) const {
    return {i / (heads * groups * blocks), i / (heads * groups) % blocks, i / heads % groups,
            i % heads};
  }
  const float* bias_of(const Row& r) const {
    return bias ? bias + r.video * bias_video + r.block * bias_block + r.head * bias_head : nullptr;
  }
  int64_t first_key(int64_t s) const {
    return unit ? std::max<int64_t>(0, s / unit - before) * unit : 0;
  }
  int64_t last_key(int64_t s) const {
    return unit ? std::min(T, (s / unit + after + 1) * unit) : T;
  }
};
// f(t, offset) for the tokens [t0, t1) of a row.
template <class Fn>
static inline void each_token(const Side& s, const Row& r, int64_t t0, int64_t t1, const Fn& f) {
  int64_t base = r.video * s.video + r.group * s.group + r.head * s.head;
  for (int64_t t = t0; t < t1;) {
    int64_t n = t / s.unit;
    int64_t u = t - n * s.unit;
    int64_t end = std::min(t1, (n + 1) * s.unit);
    int64_t frame = s.index ? s.index[r.block * s.frames + n] : r.block * s.frames + n;
    int64_t at = base + frame * s.frame + u * s.token;
    for (; t < end; ++t, at += s.token)
      f(t, at);
  }
}
// Rows of Dp numbers, zeros behind D, times `factor`.
static void pack_rows(const Flash& a, const Side& s, const Row& r, const float* x, int64_t t0,
                      int64_t t1, float factor, float* out) {
  each_token(s, r, t0, t1, [&](int64_t t, int64_t at) {
    const float* p = x + at;
    float* o = out + (t - t0) * a.Dp;
    int64_t d = 0;
    for (; d + LANES <= a.D; d += LANES)
      st(o + d, ld(p + d) * factor);
    if (d < a.D)
      st(o + d, ld_part(p + d, a.D - d) * factor);
  });
}
// Panels of sixteen tokens: out[t / 16][d][t % 16], zeros behind the last token. t0 is a multiple
// of 16.
static void pack_panels(const Flash& a, const Side& s, const Row& r, const float* x, int64_t t0,
                        int64_t t1, float* out) {
  const float* rows[4];
  static const float none[512] = {};
  auto flush = [&](int64_t t) {  // rows t - 3 .. t
    int64_t first = t - 3 - t0;
    turn_rows(rows[0], rows[1], rows[2], rows[3], a.D,
              out + first / LANES * a.D * LANES + first % LANES);
  };
  each_token(s, r, t0, t1, [&](int64_t t, int64_t at) {
    rows[(t - t0) & 3] = x + at;
    if (((t - t0) & 3) == 3)
      flush(t);
  });
  int64_t full = (t1 - t0 + LANES - 1) / LANES * LANES;
  for (int64_t t = t1; t < t0 + full; ++t) {
    rows[(t - t0) & 3] = none;
    if (((t - t0) & 3) == 3)
      flush(t);
  }
}

static const int64_t WIDEST_HEAD = 512;
static const int64_t BK = 256;  // keys of a block: they and the scores stay in the second cache
// The arguments as the kernels get them: q k v index (int32) scale (1) cfg [bias]; cfg (int64) is
// kind, heads, gathers, before, after, unit.
static int flash_args(Flash& a, bool has_bias, void** P, int* nd, int64_t** sh, const char** dt) {
  REQUIRE(all_f32(0, 3, dt) && !std::strcmp(dt[3], "int32") && !std::strcmp(dt[4], "float32") &&
              !std::strcmp(dt[5], "int64"),
          BAD_DTYPE);
  REQUIRE(!has_bias || !std::strcmp(dt[6], "float32"), BAD_DTYPE);
  const int64_t* cfg = static_cast<int64_t*>(P[5]);
  const int64_t* q = sh[0];
  const int64_t* k = sh[1];
  int64_t kind = cfg[0];
  REQUIRE(
      nd[0] == (kind == 1 ? 3 : 4) && nd[1] == nd[0] && nd[2] == nd[1] && kind >= 0 && kind <= 3,
      BAD_SHAPE);
  REQUIRE(numel(nd[0], q) > 0 && numel(nd[1], k) > 0, BAD_SHAPE);
  for (int i = 0; i < nd[1]; ++i)
    REQUIRE(sh[2][i] == k[i], BAD_SHAPE);
  a.q = F(P[0]);
  a.k = F(P[1]);
  a.v = F(P[2]);
  a.bias = has_bias ? F(P[6]) : nullptr;
  a.scale = F(P[4])[0];
  a.heads = cfg[1];
  a.before = cfg[3];
  a.after = cfg[4];
  a.unit = cfg[5];
  a.videos = q[0];
  a.blocks = a.groups = 1;
  REQUIRE(q[0] == k[0], BAD_SHAPE);
  if (kind == 0) {
    REQUIRE(q[1] == a.heads && k[1] == a.heads && q[3] == k[3], BAD_SHAPE);
    a.D = q[3];
    a.from = {1, q[2], q[1] * q[2] * a.D, 0, a.D, 0, q[2] * a.D, nullptr};
    a.to = {1, k[2], k[1] * k[2] * a.D, 0, a.D, 0, k[2] * a.D, nullptr};
  } else if (kind == 1) {
    int64_t C = q[2];
    REQUIRE(C % a.heads == 0 && k[2] == C, BAD_SHAPE);
    a.D = C / a.heads;
    a.from = {1, q[1], q[1] * C, 0, C, 0, a.D, nullptr},
    a.to = {1, k[1], k[1] * C, 0, C, 0, a.D, nullptr};
  } else {
    int64_t Fr = q[1];
    int64_t Kf = k[1];
    int64_t P_ = q[2];
    int64_t C = q[3];
    REQUIRE(C % a.heads == 0 && k[2] == P_ && k[3] == C && nd[3] == 2 && Fr % sh[3][0] == 0,
            BAD_SHAPE);
    a.D = C / a.heads;
    a.blocks = sh[3][0];
    a.groups = kind == 3 ? P_ : 1;
    int64_t unit = kind == 3 ? 1 : P_;
    int64_t group = kind == 3 ? C : 0;
    a.from = {Fr / a.blocks, unit, Fr * P_ * C, P_ * C, C, group, a.D, nullptr};
    a.to = {sh[3][1], unit, Kf * P_ * C, P_ * C, C, group, a.D, static_cast<int32_t*>(P[3])};
    for (int64_t i = 0; i < a.blocks * sh[3][1]; ++i)
      REQUIRE(a.to.index[i] >= 0 && a.to.index[i] < Kf, BAD_SHAPE);
    if (!cfg[2])
      a.to.index = nullptr;
    REQUIRE(cfg[2] || a.blocks * sh[3][1] == Kf, BAD_SHAPE);
  }
  a.Dp = up16(a.D);
  a.S = a.from.tokens();
  a.T = a.to.tokens();
  REQUIRE(a.D <= WIDEST_HEAD, BAD_SHAPE);
  if (!has_bias)
    return OK;
  const int64_t* b = sh[6];  // (videos or blocks or 1, heads or 1, S or 1, T)
  REQUIRE(nd[6] == 4 && (b[0] == 1 || b[0] == (kind > 1 ? a.blocks : a.videos)), BAD_SHAPE);
  REQUIRE((b[1] == 1 || b[1] == a.heads) && (b[2] == 1 || b[2] == a.S) && b[3] == a.T, BAD_SHAPE);
  int64_t first = b[0] == 1 ? 0 : b[1] * b[2] * b[3];
  a.bias_video = kind > 1 ? 0 : first;
  a.bias_block = kind > 1 ? first : 0;
  a.bias_head = b[1] == 1 ? 0 : b[2] * b[3];
  a.bias_q = b[2] == 1 ? 0 : b[3];
  return OK;
}
