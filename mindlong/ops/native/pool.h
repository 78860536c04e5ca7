// One thread pool for the process, shared by every kernel and by oneDNN.
// An OpenMP team belongs to the thread that enters the region, and MindSpore enters kernels from
// several threads, so OpenMP would keep several spinning teams.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

// oneDNN's thread pool interface; the slot order of the virtual functions is the ABI and must not
// change.
struct OneDnnPool {
  virtual int get_num_threads() const = 0;
  virtual bool get_in_parallel() const = 0;
  virtual void parallel_for(int n, const std::function<void(int, int)>& fn) = 0;
  virtual uint64_t get_flags() const = 0;
  virtual void wait() = 0;
  virtual ~OneDnnPool() = default;
};

// Says to the core that this thread waits in a loop.
static inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

static thread_local bool tl_inside = false;
static int g_spin = 4000;

class Pool final : public OneDnnPool {
  struct Job {
    void (*call)(const void*, int);
    const void* ctx;
    int n;
    std::atomic<int> next{0}, done{0};
    void work() {
      bool was = tl_inside;
      tl_inside = true;
      for (int i; (i = next.fetch_add(1)) < n;) {
        call(ctx, i);
        done.fetch_add(1, std::memory_order_release);
      }
      tl_inside = was;
    }
  };
  int nt_ = 1;
  std::mutex m_;
  std::condition_variable cv_;
  std::shared_ptr<Job> cur_;
  std::atomic<uint64_t> gen_{0};
  int sleepers_ = 0;

  void loop() {
    uint64_t seen = 0;
    for (;;) {
      for (int k = 0; k < g_spin && gen_.load(std::memory_order_acquire) == seen; ++k)
        relax();
      std::shared_ptr<Job> j;
      {
        std::unique_lock<std::mutex> l(m_);
        ++sleepers_;
        cv_.wait(l, [&] { return gen_.load() != seen; });
        --sleepers_;
        seen = gen_.load();
        j = cur_;
      }
      if (j)
        j->work();
    }
  }

 public:
  explicit Pool(int nt) : nt_(std::max(1, nt)) {
    for (int i = 1; i < nt_; ++i)
      std::thread([this] { loop(); }).detach();
  }
  int threads() const { return nt_; }
  void run(int n, void (*call)(const void*, int), const void* ctx) {
    bool serial = n <= 1 || nt_ <= 1 || tl_inside;
    std::shared_ptr<Job> j;
    if (!serial) {
      j = std::make_shared<Job>();
      j->call = call;
      j->ctx = ctx;
      j->n = n;
      std::lock_guard<std::mutex> l(m_);
      if (cur_)
        serial = true;  // another caller is using the workers
      else {
        cur_ = j;
        gen_.fetch_add(1);
        if (sleepers_)
          cv_.notify_all();
      }
    }
    if (serial) {
      bool was = tl_inside;
      tl_inside = true;
      for (int i = 0; i < n; ++i)
        call(ctx, i);
      tl_inside = was;
      return;
    }
    j->work();
    for (int k = 0; j->done.load(std::memory_order_acquire) < n; ++k)
      if (k < 20000)
        relax();
      else
        std::this_thread::yield();
    std::lock_guard<std::mutex> l(m_);
    cur_.reset();
  }
  int get_num_threads() const override { return nt_; }
  bool get_in_parallel() const override { return tl_inside; }
  void parallel_for(int n, const std::function<void(int, int)>& fn) override {
    struct C {
      const std::function<void(int, int)>* f;
      int n;
    } c{&fn, n};
    run(
        n,
        [](const void* p, int i) {
          auto* c = static_cast<const C*>(p);
          (*c->f)(i, c->n);
        },
        &c);
  }
  uint64_t get_flags() const override { return 0; }
  void wait() override {}
};

static int g_threads = 0;
static Pool& pool() {
  static std::mutex m;
  static Pool* p = nullptr;
  static pid_t owner = 0;
  static std::atomic<Pool*> fast{nullptr};
  Pool* q = fast.load(std::memory_order_acquire);
  if (q && owner == getpid())
    return *q;
  std::lock_guard<std::mutex> l(m);
  if (!p || owner != getpid()) {  // a forked child has no workers: start afresh
    int n = g_threads > 0 ? g_threads : static_cast<int>(std::thread::hardware_concurrency());
    p = new Pool(n);
    owner = getpid();
    fast.store(p, std::memory_order_release);
  }
  return *p;
}

template <class F> static void tasks(int n, const F& f) {  // f(i) for i in [0, n)
  pool().run(
      n, [](const void* p, int i) { (*static_cast<const F*>(p))(i); }, &f);
}
// f(begin, end) over chunks of [0, n); `cost` is bytes touched per item.
template <class F> static int ranges(int64_t n, int64_t cost, const F& f) {
  int64_t by_size = std::max<int64_t>(1, n * cost / 65536);
  int k = static_cast<int>(std::min<int64_t>({n, by_size, int64_t(pool().threads()) * 4}));
  if (k <= 1) {
    f(0, 0, n);
    return 1;
  }
  tasks(k, [&](int i) { f(i, n * i / k, n * (i + 1) / k); });
  return k;
}
