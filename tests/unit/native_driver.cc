// Runs every kernel of mindlong/ops/native on odd shapes, from two callers and with several threads, for the sanitizers.
#include "kernels.cc"

#include <cstdlib>
#include <list>

struct Array {
  std::vector<char> data; std::vector<int64_t> shape; const char *type;
};
struct Call {
  std::list<Array> arrays;
  int64_t count(const std::vector<int64_t> &s) { int64_t n = 1; for (auto d : s) n *= d; return n; }
  Call &f(std::vector<int64_t> s) {  // exactly as many bytes as the shape says, so that a step beyond is seen
    Array a{std::vector<char>(size_t(count(s)) * 4), s, "float32"};
    auto *p = reinterpret_cast<float *>(a.data.data());
    for (int64_t i = 0; i < count(s); ++i) p[i] = float((i * 7919 + 13) % 201) / 100.f - 1.f;
    arrays.push_back(std::move(a));
    return *this;
  }
  template <class T>
  Call &values(std::vector<int64_t> s, std::vector<T> v, const char *type) {
    Array a{std::vector<char>(v.size() * sizeof(T)), s, type};
    std::memcpy(a.data.data(), v.data(), a.data.size());
    arrays.push_back(std::move(a));
    return *this;
  }
  Call &i64(std::vector<int64_t> v) { return values<int64_t>({int64_t(v.size())}, v, "int64"); }
  Call &i32(std::vector<int64_t> s, std::vector<int32_t> v) { return values<int32_t>(s, v, "int32"); }
  Call &scalar(std::vector<float> v) { return values<float>({int64_t(v.size())}, v, "float32"); }
  void run(int (*fn)(SIG), const char *name) {
    std::vector<void *> p; std::vector<int> nd; std::vector<int64_t *> sh; std::vector<const char *> dt;
    for (auto &a : arrays) p.push_back(a.data.data()), nd.push_back(int(a.shape.size())), sh.push_back(a.shape.data()), dt.push_back(a.type);
    if (int code = fn(int(p.size()), p.data(), nd.data(), sh.data(), dt.data(), nullptr, nullptr)) {
      std::printf("%s: code %d\n", name, code);
      std::exit(1);
    }
    std::printf("ran %s\n", name);
  }
};
#define RUN(name, ...) Call() __VA_ARGS__.run(name, #name)

static void pointwise() {
  RUN(nk_silu, .f({37}).f({37}));
  RUN(nk_silu_bwd, .f({37}).f({37}).f({37}));
  RUN(nk_gelu, .f({70001}).f({70001}));
  RUN(nk_gelu_bwd, .f({70001}).f({70001}).f({70001}));
  RUN(nk_geglu, .f({515, 62}).f({515, 31}));
  RUN(nk_geglu_bwd, .f({515, 62}).f({515, 31}).f({515, 62}));
}
static void norms() {
  RUN(nk_gn_silu, .f({3, 6, 35}).f({6}).f({6}).scalar({1e-5f}).f({3, 6, 35}).f({3, 2}).f({3, 2}));
  RUN(nk_gn_silu_bwd, .f({3, 6, 35}).f({6}).f({6}).scalar({1e-5f}).f({3, 2}).f({3, 2}).f({3, 6, 35}).f({3, 6, 35}).f({6}).f({6}));
  RUN(nk_gn, .f({6, 6, 35}).f({6}).f({6}).scalar({1e-5f, 3}).f({6, 6, 35}).f({6, 2}).f({6, 2}));
  RUN(nk_gn_bwd, .f({6, 6, 35}).f({6}).f({6}).scalar({1e-5f, 3}).f({6, 2}).f({6, 2}).f({6, 6, 35}).f({6, 6, 35}).f({6}).f({6}));
  RUN(nk_gn_film_silu, .f({2, 4, 9}).f({4}).f({4}).f({2, 4}).f({2, 4}).scalar({1e-5f}).f({2, 4, 9}).f({2, 2}).f({2, 2}));
  RUN(nk_gn_film_silu_bwd, .f({2, 4, 9}).f({4}).f({4}).f({2, 4}).f({2, 4}).scalar({1e-5f}).f({2, 2}).f({2, 2}).f({2, 4, 9}).f({2, 4, 9})
      .f({4}).f({4}).f({2, 4}).f({2, 4}));
  RUN(nk_ln, .f({5000, 7}).f({7}).f({7}).scalar({1e-5f}).f({5000, 7}).f({5000}).f({5000}));
  RUN(nk_ln_bwd, .f({5000, 7}).f({7}).f({5000}).f({5000}).f({5000, 7}).f({5000, 7}).f({7}).f({7}));
  RUN(nk_cn, .f({2, 33, 279}).f({33}).scalar({1e-5f}).f({2, 33, 279}).f({2, 279}).f({2, 279}));
  RUN(nk_cn_bwd, .f({2, 33, 279}).f({33}).f({2, 279}).f({2, 279}).f({2, 33, 279}).f({2, 33, 279}).f({33}));
  RUN(nk_rms_silu, .f({2, 9, 279}).f({9}).f({2, 9, 279}).f({2, 279}));
  RUN(nk_rms_silu_bwd, .f({2, 9, 279}).f({9}).f({2, 279}).f({2, 9, 279}).f({2, 9, 279}).f({9}));
}
static void convolutions() {
  for (int64_t W : {3, 13, 131}) {
    RUN(nk_conv, .f({2, 16, 5, W}).f({32, 16, 3, 3}).f({32}).i64({1, 1, 1, 1, 1, 1}).f({2, 32, 5, W}));
    RUN(nk_conv_bwd, .f({2, 16, 5, W}).f({32, 16, 3, 3}).f({2, 32, 5, W}).i64({1, 1, 1, 1, 1, 1}).f({2, 16, 5, W}).f({32, 16, 3, 3}).f({32}));
    RUN(nk_frames_conv, .f({10, 16, 1, W}).f({16, 16, 3}).f({16}).i64({5}).f({10, 16, 1, W}));
    RUN(nk_frames_conv_bwd, .f({10, 16, 1, W}).f({16, 16, 3}).f({10, 16, 1, W}).i64({5}).f({10, 16, 1, W}).f({16, 16, 3}).f({16}));
  }
}
static void products() {
  for (int64_t M : {1, 57, 900}) {
    RUN(nk_linear, .f({M, 48}).f({208, 48}).f({208}).f({M, 208}));
    RUN(nk_linear_bwd, .f({M, 48}).f({208, 48}).f({M, 208}).f({M, 48}).f({208, 48}).f({208}));
    RUN(nk_linear_free, .f({M, 16}).f({16, 16}).f({M, 16}));
    RUN(nk_linear_free_bwd, .f({M, 16}).f({16, 16}).f({M, 16}).f({M, 16}).f({16, 16}));
  }
}
static void attention() {
  for (int64_t D : {8, 17, 40}) {
    std::vector<int64_t> q{2, 3, 101, D}, k{2, 3, 263, D}, s{2, 3, 101};
    RUN(nk_flash, .f(q).f(k).f(k).i32({1, 1}, {0}).scalar({0.3f}).i64({0, 3, 0, 0, 0, 0}).f(q).f(s));
    RUN(nk_flash_bwd, .f(q).f(k).f(k).i32({1, 1}, {0}).scalar({0.3f}).i64({0, 3, 0, 0, 0, 0}).f(q).f(s).f(q).f(q).f(k).f(k));
    RUN(nk_flash_bias, .f(q).f(k).f(k).i32({1, 1}, {0}).scalar({0.3f}).i64({0, 3, 0, 2, 1, 20}).f({1, 3, 101, 263}).f(q).f(s));
    RUN(nk_flash_bias_bwd, .f(q).f(k).f(k).i32({1, 1}, {0}).scalar({0.3f}).i64({0, 3, 0, 2, 1, 20}).f({1, 3, 101, 263}).f(q).f(s).f(q).f(q)
        .f(k).f(k));
  }
  for (int64_t kind : {2, 3}) {
    std::vector<int64_t> x{2, 6, 7, 24}, s{2, 6, 7, 3};
    std::vector<int32_t> read{0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 5, 5};
    RUN(nk_flash, .f(x).f(x).f(x).i32({6, 2}, read).scalar({0.3f}).i64({kind, 3, 1, 0, 0, 0}).f(x).f(s));
    RUN(nk_flash_bwd, .f(x).f(x).f(x).i32({6, 2}, read).scalar({0.3f}).i64({kind, 3, 1, 0, 0, 0}).f(x).f(s).f(x).f(x).f(x).f(x));
  }
  RUN(nk_temporal, .f({10, 36, 19}).f({5, 2}).f({5, 2}).f({1, 2, 5, 5}).scalar({0.4f}).f({10, 12, 19}));
  RUN(nk_temporal_bwd, .f({10, 36, 19}).f({5, 2}).f({5, 2}).f({1, 2, 5, 5}).scalar({0.4f}).f({10, 12, 19}).f({10, 36, 19}).f({1, 2, 5, 5}));
  RUN(nk_linear_attention, .f({3, 72, 35}).scalar({0.35f, 8}).f({3, 24, 35}));
  RUN(nk_linear_attention_bwd, .f({3, 72, 35}).scalar({0.35f, 8}).f({3, 24, 35}).f({3, 72, 35}));
}
static void everything() { pointwise(), norms(), convolutions(), products(), attention(); }
int main(int argc, char **argv) {
  nk_setup("", argc > 1 ? std::atoi(argv[1]) : 3, -1);
  std::thread other(everything);  // MindSpore enters kernels from several threads
  everything();
  other.join();
  std::printf("done\n");
  std::fflush(stdout);
  _exit(0);  // the pool's threads never end
}
