// Runs every kernel of mindlong/ops/native on odd shapes: from two callers and with several threads
// for the sanitizers, or once, with everything that it computed written to a file, to compare the
// numbers of two builds.
//
//   driver THREADS [FILE [LIBDNNL]]
//
// Convolutions that need oneDNN run where its library is named.
#include <cstdlib>
#include <list>

#include "kernels.cc"

static std::FILE* g_record = nullptr;

struct Array {
  std::vector<char> data;
  std::vector<int64_t> shape;
  const char* type;
};
struct Call {
  std::list<Array> arrays;
  static int64_t count(const std::vector<int64_t>& shape) {
    int64_t n = 1;
    for (auto d : shape)
      n *= d;
    return n;
  }
  // Floats; exactly as many bytes as the shape says, so that a step beyond is seen.
  Call& f(std::vector<int64_t> shape) {
    const int64_t n = count(shape);
    Array a{std::vector<char>(size_t(n) * 4), shape, "float32"};
    auto* p = reinterpret_cast<float*>(a.data.data());
    for (int64_t i = 0; i < n; ++i)
      p[i] = float((i * 7919 + 13) % 201) / 100.f - 1.f;
    arrays.push_back(std::move(a));
    return *this;
  }
  Call& all(const std::vector<std::vector<int64_t>>& shapes) {
    for (auto& shape : shapes)
      f(shape);
    return *this;
  }
  template <class T>
  Call& values(std::vector<int64_t> shape, const std::vector<T>& v, const char* type) {
    Array a{std::vector<char>(v.size() * sizeof(T)), shape, type};
    std::memcpy(a.data.data(), v.data(), a.data.size());
    arrays.push_back(std::move(a));
    return *this;
  }
  Call& i64(std::vector<int64_t> v) { return values<int64_t>({int64_t(v.size())}, v, "int64"); }
  Call& i32(std::vector<int64_t> shape, std::vector<int32_t> v) {
    return values<int32_t>(shape, v, "int32");
  }
  Call& scalar(std::vector<float> v) { return values<float>({int64_t(v.size())}, v, "float32"); }
  // Write every float array: the name of the kernel, how many numbers, the numbers.
  void record(const char* name) const {
    for (auto& a : arrays) {
      if (std::strcmp(a.type, "float32"))
        continue;
      char title[32] = {};
      std::strncpy(title, name, sizeof(title) - 1);
      const int64_t n = int64_t(a.data.size()) / 4;
      std::fwrite(title, 1, sizeof(title), g_record);
      std::fwrite(&n, sizeof(n), 1, g_record);
      std::fwrite(a.data.data(), 4, size_t(n), g_record);
    }
  }
  void run(int (*fn)(SIG), const char* name) {
    std::vector<void*> p;
    std::vector<int> nd;
    std::vector<int64_t*> sh;
    std::vector<const char*> dt;
    for (auto& a : arrays) {
      p.push_back(a.data.data());
      nd.push_back(int(a.shape.size()));
      sh.push_back(a.shape.data());
      dt.push_back(a.type);
    }
    const int n = int(p.size());
    if (int code = fn(n, p.data(), nd.data(), sh.data(), dt.data(), nullptr, nullptr)) {
      std::printf("%s: code %d\n", name, code);
      std::exit(1);
    }
    if (g_record)
      record(name);
    else
      std::printf("ran %s\n", name);
  }
};
#define RUN(name, ...) (Call() __VA_ARGS__).run(name, #name)

static void pointwise() {
  RUN(nk_silu, .all({{37}, {37}}));
  RUN(nk_silu_bwd, .all({{37}, {37}, {37}}));
  RUN(nk_gelu, .all({{70001}, {70001}}));
  RUN(nk_gelu_bwd, .all({{70001}, {70001}, {70001}}));
  RUN(nk_geglu, .all({{515, 62}, {515, 31}}));
  RUN(nk_geglu_bwd, .all({{515, 62}, {515, 31}, {515, 62}}));
}
static void layouts() {
  const std::vector<int64_t> x{2, 37, 19, 1}, t{2, 19, 37, 1}, r{3, 5, 18, 7}, b{2, 9, 70},
      d{2, 70};
  RUN(nk_exchange, .all({x, t}));
  RUN(nk_exchange, .all({r, {3, 18, 5, 7}}));
  RUN(nk_add_channels, .all({r, {3, 5}, r}));
  RUN(nk_add_channels_bwd, .all({r, {3, 5}}));
  RUN(nk_modulate, .all({b, d, d, b}));
  RUN(nk_modulate_bwd, .all({b, d, b, b, d, d}));
  RUN(nk_gated, .all({b, b, d, b}));
  RUN(nk_gated_bwd, .all({b, d, b, b, d}));
  RUN(nk_rms_last, .all({b, {70}}).scalar({1e-6f}).all({b, {2, 9}}));
  RUN(nk_rms_last_bwd, .all({b, {70}, {2, 9}, b, b, {70}}));
}
static void group_norms() {
  const std::vector<int64_t> x{3, 6, 35}, folded{6, 6, 35}, film{2, 4, 9};
  RUN(nk_gn_silu, .all({x, {6}, {6}}).scalar({1e-5f}).all({x, {3, 2}, {3, 2}}));
  RUN(nk_gn_silu_bwd, .all({x, {6}, {6}}).scalar({1e-5f}).all({{3, 2}, {3, 2}, x, x, {6}, {6}}));
  RUN(nk_gn, .all({folded, {6}, {6}}).scalar({1e-5f, 3}).all({folded, {6, 2}, {6, 2}}));
  RUN(nk_gn_bwd,
      .all({folded, {6}, {6}}).scalar({1e-5f, 3}).all({{6, 2}, {6, 2}, folded, folded, {6}, {6}}));
  RUN(nk_gn_film_silu,
      .all({film, {4}, {4}, {2, 4}, {2, 4}}).scalar({1e-5f}).all({film, {2, 2}, {2, 2}}));
  RUN(nk_gn_film_silu_bwd, .all({film, {4}, {4}, {2, 4}, {2, 4}})
                               .scalar({1e-5f})
                               .all({{2, 2}, {2, 2}, film, film, {4}, {4}, {2, 4}, {2, 4}}));
  RUN(nk_gn_film,
      .all({folded, {6}, {6}, {2, 6}, {2, 6}}).scalar({1e-5f, 3}).all({folded, {6, 2}, {6, 2}}));
  RUN(nk_gn_film_bwd, .all({folded, {6}, {6}, {2, 6}, {2, 6}})
                          .scalar({1e-5f, 3})
                          .all({{6, 2}, {6, 2}, folded, folded, {6}, {6}, {2, 6}, {2, 6}}));
}
static void norms() {
  const std::vector<int64_t> rows{5000, 7}, x{2, 33, 279}, y{2, 9, 279}, s{2, 279};
  RUN(nk_ln, .all({rows, {7}, {7}}).scalar({1e-5f}).all({rows, {5000}, {5000}}));
  RUN(nk_ln_bwd, .all({rows, {7}, {5000}, {5000}, rows, rows, {7}, {7}}));
  RUN(nk_cn, .all({x, {33}}).scalar({1e-5f}).all({x, s, s}));
  RUN(nk_cn_bwd, .all({x, {33}, s, s, x, x, {33}}));
  RUN(nk_rms_silu, .all({y, {9}, y, s}));
  RUN(nk_rms_silu_bwd, .all({y, {9}, s, y, y, {9}}));
}
static void convolutions() {
  for (int64_t W : {3, 13, 131}) {
    const std::vector<int64_t> x{2, 16, 5, W}, y{2, 32, 5, W}, w{32, 16, 3, 3}, r{10, 16, 1, W};
    RUN(nk_conv, .all({x, w, {32}}).i64({1, 1, 1, 1, 1, 1}).f(y));
    RUN(nk_conv_bwd, .all({x, w, y}).i64({1, 1, 1, 1, 1, 1}).all({x, w, {32}}));
    RUN(nk_conv, .all({{2, 16, 4, 4 * W}, {21, 16, 1, 1}, {21}})
                     .i64({1, 1, 0, 0, 0, 0})
                     .f({2, 21, 4, 4 * W}));
    RUN(nk_frames_conv, .all({r, {16, 16, 3}, {16}}).i64({5}).f(r));
    RUN(nk_frames_conv_bwd, .all({r, {16, 16, 3}, r}).i64({5}).all({r, {16, 16, 3}, {16}}));
  }
}
static void convolutions_by_onednn() {
  const std::vector<int64_t> x{2, 6, 8, 10}, w{5, 6, 4, 4}, y{2, 5, 4, 5}, v{5, 6, 1, 1};
  RUN(nk_conv, .all({x, w, {5}}).i64({2, 2, 1, 1, 1, 1}).f(y));
  RUN(nk_conv_bwd, .all({x, w, y}).i64({2, 2, 1, 1, 1, 1}).all({x, w, {5}}));
  RUN(nk_conv_free, .all({x, v}).i64({1, 1, 0, 0, 0, 0}).f({2, 5, 8, 10}));
  RUN(nk_deconv, .all({y, w, {6}}).i64({2, 2, 1, 1, 1, 1}).f(x));
  RUN(nk_deconv_bwd, .all({y, w, x}).i64({2, 2, 1, 1, 1, 1}).all({y, w, {6}}));
}
static void products() {
  for (int64_t M : {1, 57, 900}) {
    RUN(nk_linear, .all({{M, 48}, {208, 48}, {208}, {M, 208}}));
    RUN(nk_linear_bwd, .all({{M, 48}, {208, 48}, {M, 208}, {M, 48}, {208, 48}, {208}}));
    RUN(nk_linear_free, .all({{M, 16}, {16, 16}, {M, 16}}));
    RUN(nk_linear_free_bwd, .all({{M, 16}, {16, 16}, {M, 16}, {M, 16}, {16, 16}}));
  }
}
static void attention() {
  for (int64_t D : {8, 17, 40}) {
    const std::vector<int64_t> q{2, 3, 101, D}, k{2, 3, 263, D}, s{2, 3, 101}, b{1, 3, 101, 263};
    const std::vector<int64_t> plain{0, 3, 0, 0, 0, 0}, band{0, 3, 0, 2, 1, 20};
    RUN(nk_flash, .all({q, k, k}).i32({1, 1}, {0}).scalar({0.3f}).i64(plain).all({q, s}));
    RUN(nk_flash_bwd,
        .all({q, k, k}).i32({1, 1}, {0}).scalar({0.3f}).i64(plain).all({q, s, q, q, k, k}));
    RUN(nk_flash_bias, .all({q, k, k}).i32({1, 1}, {0}).scalar({0.3f}).i64(band).all({b, q, s}));
    RUN(nk_flash_bias_bwd,
        .all({q, k, k}).i32({1, 1}, {0}).scalar({0.3f}).i64(band).all({b, q, s, q, q, k, k}));
  }
}
static void attention_of_frames() {
  const std::vector<int64_t> x{2, 6, 7, 24}, s{2, 6, 7, 3};
  const std::vector<int32_t> read{0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 5, 5};
  for (int64_t kind : {2, 3}) {
    const std::vector<int64_t> cfg{kind, 3, 1, 0, 0, 0};
    RUN(nk_flash, .all({x, x, x}).i32({6, 2}, read).scalar({0.3f}).i64(cfg).all({x, s}));
    RUN(nk_flash_bwd,
        .all({x, x, x}).i32({6, 2}, read).scalar({0.3f}).i64(cfg).all({x, s, x, x, x, x}));
  }
  const std::vector<int64_t> qkv{10, 36, 19}, out{10, 12, 19}, bias{1, 2, 5, 5};
  RUN(nk_temporal, .all({qkv, {5, 2}, {5, 2}, bias}).scalar({0.4f}).f(out));
  RUN(nk_temporal_bwd, .all({qkv, {5, 2}, {5, 2}, bias}).scalar({0.4f}).all({out, qkv, bias}));
  for (int64_t P : {7, 35}) {
    RUN(nk_linear_attention, .f({3, 72, P}).scalar({0.35f, 8}).f({3, 24, P}));
    RUN(nk_linear_attention_bwd, .f({3, 72, P}).scalar({0.35f, 8}).all({{3, 24, P}, {3, 72, P}}));
  }
}
static void everything() {
  pointwise();
  layouts();
  group_norms();
  norms();
  convolutions();
  products();
  attention();
  attention_of_frames();
}
int main(int argc, char** argv) {
  nk_setup(argc > 3 ? argv[3] : "", argc > 1 ? std::atoi(argv[1]) : 3, -1);
  if (argc > 2) {
    g_record = std::fopen(argv[2], "wb");
    everything();
    if (argc > 3)
      convolutions_by_onednn();
    std::fclose(g_record);
  } else {
    for (int rounded : {0, 1}) {
      nk_bf16(rounded);
      std::thread other(everything);  // MindSpore enters kernels from several threads
      everything();
      other.join();
    }
  }
  std::printf("done\n");
  std::fflush(stdout);
  _exit(0);  // the pool's threads never end
}
