// Attention of every pixel over frames (kind 3): a few pixels of all frames are brought into a work
// space first. In place each token lies a whole frame behind the last, often a multiple of the
// pages that a processor keeps account of, and each of its heads looks the page up anew.
#pragma once
#include <numeric>

#include "flash_layout.h"

static const int64_t NEAR_BYTES = 1 << 20;  // of the work space: it stays in the second cache
static const int64_t NEAR_RUN = 1024;       // numbers of a frame that are worth a visit: a page

struct Near {
  int64_t pixels;  // of a tile; 0: the tokens are read where they lie
  int64_t frame;   // numbers from one frame of the work space to the next

  // `arrays`: how many of the queries' shape, and as many of the keys', are in the work space.
  Near(const Flash& a, int64_t arrays) : pixels(0), frame(0) {
    int64_t C = a.heads * a.D;
    int64_t all = arrays * (frames(a.from) + frames(a.to));
    for (int64_t n = std::min(a.groups, std::max<int64_t>(1, NEAR_RUN / C)); n > 0; n /= 2) {
      frame = n * C + a.D / std::gcd(a.D, LANES) * LANES;  // whole heads, and whole lines
      if (a.groups > 1 && all * frame * 4 <= NEAR_BYTES) {
        pixels = n;
        return;
      }
    }
  }
  static int64_t frames(const Side& s) { return s.frame ? s.video / s.frame : 0; }
  int64_t size(const Side& s) const { return frames(s) * frame; }
  int64_t tiles(const Flash& a) const { return a.videos * ((a.groups + pixels - 1) / pixels); }
};
// One tile: the pixels [p, p + n) of a video, and the attention on its part of the work space.
struct Tile {
  const Flash& a;
  const Near& near;
  int64_t video, p, n, C;
  Tile(const Flash& a_, const Near& near_, int64_t i) : a(a_), near(near_), C(a_.heads * a_.D) {
    int64_t each = (a.groups + near.pixels - 1) / near.pixels;
    video = i / each;
    p = i % each * near.pixels;
    n = std::min(near.pixels, a.groups - p);
  }
  // The attention on its part, with queries, keys and values brought to `at`, which moves on.
  Flash flash(float*& at) const {
    Flash b = a;
    b.q = bring(a.from, a.q, at);
    b.k = bring(a.to, a.k, at);
    b.v = bring(a.to, a.v, at);
    b.videos = 1;
    b.groups = n;
    b.from.video = b.to.video = 0;
    b.from.frame = b.to.frame = near.frame;
    return b;
  }
  // x as q or k lie, into the work space, whose part is returned; `at` moves behind it.
  float* bring(const Side& s, const float* x, float*& at) const {
    float* m = room(s, at);
    for (int64_t f = 0; f < Near::frames(s); ++f)
      std::memcpy(m + f * near.frame, x + video * s.video + f * s.frame + p * C, size_t(n * C) * 4);
    return m;
  }
  float* room(const Side& s, float*& at) const {
    float* m = at;
    at += near.size(s);
    return m;
  }
  void take(const Side& s, const float* m, float* x) const {
    for (int64_t f = 0; f < Near::frames(s); ++f)
      std::memcpy(x + video * s.video + f * s.frame + p * C, m + f * near.frame, size_t(n * C) * 4);
  }
  // The log-sums, one for each query and head: D times fewer numbers.
  void take_sums(const float* m, float* x) const {
    each_frame([&](int64_t far, int64_t here) {
      std::memcpy(x + far, m + here, size_t(n * a.heads) * 4);
    });
  }
  void bring_sums(const float* x, float* m) const {
    each_frame([&](int64_t far, int64_t here) {
      std::memcpy(m + here, x + far, size_t(n * a.heads) * 4);
    });
  }

 private:
  template <class Fn> void each_frame(const Fn& f) const {
    for (int64_t i = 0; i < Near::frames(a.from); ++i)
      f((video * a.from.video + i * a.from.frame + p * C) / a.D, i * near.frame / a.D);
  }
};
// f(tile, work space of `room` numbers) for every tile, dealt to the threads.
template <class Fn>
static void each_tile(const Flash& a, const Near& near, size_t room, const Fn& f) {
  int64_t tiles = near.tiles(a);
  int64_t pieces = std::min(tiles, int64_t(pool().threads()) * 8);
  tasks(int(pieces), [&](int piece) {
    float* scratch = tl_flash.get(room);
    for (int64_t u = tiles * piece / pieces; u < tiles * (piece + 1) / pieces; ++u)
      f(Tile(a, near, u), scratch);
  });
}
