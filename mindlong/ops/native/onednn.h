// Convolution by the oneDNN library inside the MindSpore package, opened at run time.
//
// Only the functions used are declared, by hand. The wheels for x86-64 and for aarch64 hold the
// same C interface, built for an external thread pool, so it is given ours.
#pragma once
#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <string>

#include "common.h"

namespace dn {
typedef int64_t Dims[12];
struct Arg {
  int id;
  void* mem;
};
#define DNNL_FNS(X)                                                                               \
  X(engine_create, int, (void**, int, size_t))                                                    \
  X(threadpool_interop_stream_create, int, (void**, void*, void*))                                \
  X(threadpool_interop_set_max_concurrency, int, (int))                                           \
  X(memory_desc_create_with_tag, int, (void**, int, const int64_t*, int, int))                    \
  X(memory_desc_get_size, size_t, (const void*))                                                  \
  X(memory_desc_equal, int, (const void*, const void*))                                           \
  X(memory_create, int, (void**, const void*, void*, void*))                                      \
  X(memory_set_data_handle, int, (void*, void*))                                                  \
  X(primitive_create, int, (void**, const void*))                                                 \
  X(primitive_execute, int, (const void*, void*, int, const Arg*))                                \
  X(primitive_desc_query_md, const void*, (const void*, int, int))                                \
  X(primitive_desc_query, int, (const void*, int, int, void*))                                    \
  X(primitive_attr_create, int, (void**))                                                         \
  X(primitive_attr_set_scratchpad_mode, int, (void*, int))                                        \
  X(reorder_primitive_desc_create, int,                                                           \
    (void**, const void*, void*, const void*, void*, const void*))                                \
  X(convolution_forward_primitive_desc_create, int,                                               \
    (void**, void*, int, int, const void*, const void*, const void*, const void*, const int64_t*, \
     const int64_t*, const int64_t*, const int64_t*, const void*))                                \
  X(convolution_backward_data_primitive_desc_create, int,                                         \
    (void**, void*, int, const void*, const void*, const void*, const int64_t*, const int64_t*,   \
     const int64_t*, const int64_t*, const void*, const void*))                                   \
  X(convolution_backward_weights_primitive_desc_create, int,                                      \
    (void**, void*, int, const void*, const void*, const void*, const void*, const int64_t*,      \
     const int64_t*, const int64_t*, const int64_t*, const void*, const void*))
#define X(n, r, a) static r(*n) a = nullptr;
DNNL_FNS(X)
#undef X
enum { CPU = 1, F32 = 3, ANY = 1, T_X = 2, TRAIN = 64, DIRECT = 1 };
enum {
  SRC = 1,
  DST = 17,
  WEI = 33,
  BIAS = 41,
  DSRC = 129,
  DDST = 145,
  DWEI = 161,
  DBIAS = 169,
  SCRATCH = 80
};
enum {
  Q_SRC = 129,
  Q_DSRC = 130,
  Q_WEI = 131,
  Q_DWEI = 132,
  Q_DST = 133,
  Q_DDST = 134,
  Q_SCRATCH = 136,
  Q_IMPL = 8
};

static std::string g_path;
static void* g_engine = nullptr;
static std::mutex g_m;

static bool load() {
  if (g_engine)
    return true;
  void* h = dlopen(g_path.empty() ? "libdnnl.so.3" : g_path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (!h) {
    std::fprintf(stderr, "native: %s\n", dlerror());
    return false;
  }
#define X(n, r, a)                                           \
  if (!(n = reinterpret_cast<r(*) a>(dlsym(h, "dnnl_" #n)))) \
    return false;
  DNNL_FNS(X)
#undef X
  return engine_create(&g_engine, CPU, 0) == 0;
}
// dlopen'ed oneDNN may be called from any thread; max concurrency is per thread.
struct Buf {  // grow-only aligned scratch
  void* p = nullptr;
  size_t n = 0;
  void* get(size_t k) {
    if (k > n) {
      std::free(p);
      n = (k + 4095) / 4096 * 4096;
      p = std::aligned_alloc(4096, n);
    }
    return p;
  }
};
static Buf g_buf[5];

struct Port {  // one tensor of the primitive: user (plain) layout and own layout
  int id;
  bool in;
  void *umd, *umem;
  const void* pmd;
  void *pmem, *reorder;
  size_t size;
};
struct Plan {
  void *prim = nullptr, *stream = nullptr, *scratch = nullptr;
  size_t scratch_size = 0;
  std::vector<Port> ports;
  std::string impl;
};
static bool port(Plan& pl, void* pd, int id, bool in, int nd, const int64_t* dims, int tag, int q) {
  Port p{id, in, nullptr, nullptr, nullptr, nullptr, nullptr, 0};
  if (memory_desc_create_with_tag(&p.umd, nd, dims, F32, tag))
    return false;
  if (memory_create(&p.umem, p.umd, g_engine, nullptr))
    return false;
  p.pmd = q ? primitive_desc_query_md(pd, q, 0) : p.umd;
  if (!memory_desc_equal(p.pmd, p.umd)) {
    void *rpd, *a = in ? p.umd : const_cast<void*>(p.pmd),
               *b = in ? const_cast<void*>(p.pmd) : p.umd;
    if (reorder_primitive_desc_create(&rpd, a, g_engine, b, g_engine, nullptr))
      return false;
    if (primitive_create(&p.reorder, rpd))
      return false;
    if (memory_create(&p.pmem, p.pmd, g_engine, nullptr))
      return false;
    p.size = memory_desc_get_size(p.pmd);
  }
  pl.ports.push_back(p);
  return true;
}
// kind 0: forward, 1: backward data, 2: backward weights
static bool make(Plan& pl, int kind, int nd, const int64_t* xs, const int64_t* ws,
                 const int64_t* ys, bool bias, const int64_t* st, const int64_t* pa,
                 const int64_t* pb) {
  threadpool_interop_set_max_concurrency(pool().threads());
  Dims dil = {0};
  void *s, *w, *y, *b = nullptr, *attr, *pd = nullptr, *fpd = nullptr;
  int tag = nd == 5 ? 6 : 5;  // plain ncdhw/oidhw, nchw/oihw
  primitive_attr_create(&attr);
  primitive_attr_set_scratchpad_mode(attr, 1);
  memory_desc_create_with_tag(&s, nd, xs, F32, ANY);
  memory_desc_create_with_tag(&w, nd, ws, F32, ANY);
  memory_desc_create_with_tag(&y, nd, ys, F32, ANY);
  int64_t bd[1] = {ws[0]};
  if (bias)
    memory_desc_create_with_tag(&b, 1, bd, F32, T_X);
  if (convolution_forward_primitive_desc_create(&fpd, g_engine, TRAIN, DIRECT, s, w,
                                                kind ? nullptr : b, y, st, dil, pa, pb, attr))
    return false;
  bool ok;
  if (kind == 0) {
    pd = fpd;
    ok = port(pl, pd, SRC, true, nd, xs, tag, Q_SRC) &&
         port(pl, pd, WEI, true, nd, ws, tag, Q_WEI) &&
         (!bias || port(pl, pd, BIAS, true, 1, bd, T_X, 0)) &&
         port(pl, pd, DST, false, nd, ys, tag, Q_DST);
  } else if (kind == 1) {
    if (convolution_backward_data_primitive_desc_create(&pd, g_engine, DIRECT, s, w, y, st, dil, pa,
                                                        pb, fpd, attr))
      return false;
    ok = port(pl, pd, DDST, true, nd, ys, tag, Q_DDST) &&
         port(pl, pd, WEI, true, nd, ws, tag, Q_WEI) &&
         port(pl, pd, DSRC, false, nd, xs, tag, Q_DSRC);
  } else {
    if (convolution_backward_weights_primitive_desc_create(&pd, g_engine, DIRECT, s, w, b, y, st,
                                                           dil, pa, pb, fpd, attr))
      return false;
    ok = port(pl, pd, SRC, true, nd, xs, tag, Q_SRC) &&
         port(pl, pd, DDST, true, nd, ys, tag, Q_DDST) &&
         port(pl, pd, DWEI, false, nd, ws, tag, Q_DWEI) &&
         (!bias || port(pl, pd, DBIAS, false, 1, bd, T_X, 0));
  }
  if (!ok || primitive_create(&pl.prim, pd))
    return false;
  const void* smd = primitive_desc_query_md(pd, Q_SCRATCH, 0);
  if (smd && (pl.scratch_size = memory_desc_get_size(smd)))
    memory_create(&pl.scratch, smd, g_engine, nullptr);
  const char* name = nullptr;
  if (!primitive_desc_query(pd, Q_IMPL, 0, &name) && name)
    pl.impl = name;
  return threadpool_interop_stream_create(&pl.stream, g_engine, &pool()) == 0;
}
static Plan* plan(int kind, int nd, const int64_t* xs, const int64_t* ws, const int64_t* ys,
                  bool bias, const int64_t* st, const int64_t* pa, const int64_t* pb) {
  static std::map<std::vector<int64_t>, std::unique_ptr<Plan>> cache;
  std::vector<int64_t> key{kind, nd, bias, pool().threads()};
  for (auto* v : {xs, ws, ys})
    key.insert(key.end(), v, v + nd);
  for (auto* v : {st, pa, pb})
    key.insert(key.end(), v, v + nd - 2);
  auto& e = cache[key];
  if (!e) {
    e = std::make_unique<Plan>();
    if (!make(*e, kind, nd, xs, ws, ys, bias, st, pa, pb)) {
      cache.erase(key);
      return nullptr;
    }
  }
  return e.get();
}
static int exec(Plan* pl, void* const* data) {  // data in port order; caller holds g_m
  std::vector<Arg> args;
  int nb = 0;
  for (size_t i = 0; i < pl->ports.size(); ++i) {
    Port& p = pl->ports[i];
    memory_set_data_handle(p.umem, data[i]);
    if (p.reorder)
      memory_set_data_handle(p.pmem, g_buf[nb++].get(p.size));
    if (p.reorder && p.in) {
      Arg a[2] = {{1, p.umem}, {17, p.pmem}};
      if (primitive_execute(p.reorder, pl->stream, 2, a))
        return LIB;
    }
    args.push_back({p.id, p.reorder ? p.pmem : p.umem});
  }
  if (pl->scratch) {
    memory_set_data_handle(pl->scratch, g_buf[4].get(pl->scratch_size));
    args.push_back({SCRATCH, pl->scratch});
  }
  if (primitive_execute(pl->prim, pl->stream, int(args.size()), args.data()))
    return LIB;
  for (auto& p : pl->ports)
    if (p.reorder && !p.in) {
      Arg a[2] = {{1, p.pmem}, {17, p.umem}};
      if (primitive_execute(p.reorder, pl->stream, 2, a))
        return LIB;
    }
  return OK;
}
}  // namespace dn
