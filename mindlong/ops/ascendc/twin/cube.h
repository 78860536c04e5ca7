// The cube: products of tiles in L0A and L0B, summed in L0C.
#pragma once
#include "move.h"

namespace AscendC {
struct MmadParams {
  uint16_t m = 0, n = 0, k = 0;
  bool isBias = false, cmatrixSource = false, cmatrixInitVal = true;
  uint8_t unitFlag = 0;
};

// a[m/16][k/16][16 rows][16] as [m][k], and b[k/16][n/16][16 columns][16] as [k][n], in float.
inline void Unpack(const half* a, const half* b, const MmadParams& p, std::vector<float>* left,
                   std::vector<float>* right) {
  const uint32_t kf = p.k / 16, nf = p.n / 16;
  left->resize(p.m * p.k);
  right->resize(p.k * p.n);
  for (uint32_t i = 0; i < p.m; ++i)
    for (uint32_t k = 0; k < p.k; ++k)
      (*left)[i * p.k + k] = a[((i / 16 * kf + k / 16) * 16 + i % 16) * 16 + k % 16];
  for (uint32_t k = 0; k < p.k; ++k)
    for (uint32_t j = 0; j < p.n; ++j)
      (*right)[k * p.n + j] = b[((k / 16 * nf + j / 16) * 16 + j % 16) * 16 + k % 16];
}

// c[n/16][m][16] (+)= a b: halves in, float sums, in the order of k.
inline void Mmad(const LocalTensor<float>& c, const LocalTensor<half>& a,
                 const LocalTensor<half>& b, const MmadParams& p) {
  TWIN_CHECK(c.memory == L0C && a.memory == L0A && b.memory == L0B, "Mmad: L0A and L0B to L0C");
  TWIN_CHECK(p.m % 16 == 0 && p.n % 16 == 0 && p.k % 16 == 0 && p.m && p.n && p.k,
             "Mmad: whole fractals");
  const uint32_t fractals = p.m / 16 * (p.n / 16) * (p.k / 16);
  Core& core = TheCore();
  core.Begin(M, fractals);
  core.count.macs += fractals * 4096ull;
  a.Read(M, p.m * p.k * 2);
  b.Read(M, p.k * p.n * 2);
  if (!p.cmatrixInitVal)
    c.Read(M, p.m * p.n * 4);
  c.Write(M, p.m * p.n * 4);
  static thread_local std::vector<float> left, right, sum;
  Unpack(a.Data(), b.Data(), p, &left, &right);
  sum.resize(p.n);
  for (uint32_t i = 0; i < p.m; ++i) {
    float* out = c.Data() + i * 16;  // element (i, j) is at (j / 16) * m * 16 + i * 16 + j % 16
    for (uint32_t j = 0; j < p.n; ++j)
      sum[j] = p.cmatrixInitVal ? 0.0f : out[j / 16 * p.m * 16 + j % 16];
    for (uint32_t k = 0; k < p.k; ++k) {
      const float x = left[i * p.k + k];
      const float* y = &right[k * p.n];
      for (uint32_t j = 0; j < p.n; ++j)
        sum[j] += x * y[j];
    }
    for (uint32_t j = 0; j < p.n; ++j)
      out[j / 16 * p.m * 16 + j % 16] = sum[j];
  }
}
}  // namespace AscendC
