// One axis of a tile of Winograd's minimal filtering, sixteen channels in lanes.
#pragma once
#include "vector.h"

// One axis: A numbers from M + K - 1 inputs, K taps, M outputs. `in` B^T d, `tap` G g, `out` A^T m;
// `out_back` and `tap_back` are the transposes of the last two.
struct Tile2 {  // F(2, 3): points 0, 1, -1
  static constexpr int M = 2;
  static constexpr int A = 4;
  static constexpr int K = 3;
  static inline void in(const f16x* d, f16x* v) {
    v[0] = d[0] - d[2];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
  }
  static inline void out(const f16x* m, f16x* y) {
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
  }
  static inline void tap(const f16x* g, f16x* u) {
    f16x s = (g[0] + g[2]) * 0.5f;
    f16x h = g[1] * 0.5f;
    u[0] = g[0];
    u[1] = s + h;
    u[2] = s - h;
    u[3] = g[2];
  }
  static inline void out_back(const f16x* y, f16x* m) {
    m[0] = y[0];
    m[1] = y[0] + y[1];
    m[2] = y[0] - y[1];
    m[3] = -y[1];
  }
  static inline void tap_back(const f16x* u, f16x* g) {
    f16x s = (u[1] + u[2]) * 0.5f;
    g[0] = u[0] + s;
    g[1] = (u[1] - u[2]) * 0.5f;
    g[2] = s + u[3];
  }
};
struct Tile4 {  // F(4, 3): points 0, 1, -1, 2, -2
  static constexpr int M = 4;
  static constexpr int A = 6;
  static constexpr int K = 3;
  static inline void in(const f16x* d, f16x* v) {
    f16x a = d[4] - d[2] * 4.f;
    f16x b = d[3] - d[1] * 4.f;
    f16x c = d[4] - d[2];
    f16x e = (d[3] - d[1]) * 2.f;
    v[0] = d[0] * 4.f - d[2] * 5.f + d[4];
    v[1] = a + b;
    v[2] = a - b;
    v[3] = c + e;
    v[4] = c - e;
    v[5] = d[1] * 4.f - d[3] * 5.f + d[5];
  }
  static inline void out(const f16x* m, f16x* y) {
    f16x a = m[1] + m[2];
    f16x b = m[1] - m[2];
    f16x c = m[3] + m[4];
    f16x e = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = b + e * 2.f;
    y[2] = a + c * 4.f;
    y[3] = b + e * 8.f + m[5];
  }
  static inline void tap(const f16x* g, f16x* u) {
    f16x a = (g[0] + g[2]) * (-1.f / 6);
    f16x b = g[1] * (1.f / 6);
    f16x c = g[0] * (1.f / 24) + g[2] * (1.f / 6);
    f16x e = g[1] * (1.f / 12);
    u[0] = g[0] * 0.25f;
    u[1] = a - b;
    u[2] = a + b;
    u[3] = c + e;
    u[4] = c - e;
    u[5] = g[2];
  }
  static inline void out_back(const f16x* y, f16x* m) {
    f16x a = y[0] + y[2];
    f16x b = y[1] + y[3];
    f16x c = y[0] + y[2] * 4.f;
    f16x e = y[1] * 2.f + y[3] * 8.f;
    m[0] = y[0];
    m[1] = a + b;
    m[2] = a - b;
    m[3] = c + e;
    m[4] = c - e;
    m[5] = y[3];
  }
  static inline void tap_back(const f16x* u, f16x* g) {
    f16x a = (u[1] + u[2]) * (-1.f / 6);
    f16x b = (u[2] - u[1]) * (1.f / 6);
    f16x c = u[3] + u[4];
    f16x e = u[3] - u[4];
    g[0] = u[0] * 0.25f + a + c * (1.f / 24);
    g[1] = b + e * (1.f / 12);
    g[2] = a + c * (1.f / 6) + u[5];
  }
};
struct Tile1 {  // an axis without taps
  static constexpr int M = 1;
  static constexpr int A = 1;
  static constexpr int K = 1;
  static inline void in(const f16x* d, f16x* v) { v[0] = d[0]; }
  static inline void out(const f16x* m, f16x* y) { y[0] = m[0]; }
  static inline void tap(const f16x* g, f16x* u) { u[0] = g[0]; }
  static inline void out_back(const f16x* y, f16x* m) { m[0] = y[0]; }
  static inline void tap_back(const f16x* u, f16x* g) { g[0] = u[0]; }
};
