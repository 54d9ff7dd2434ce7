// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The property that collectors, save states and debuggers depend on: whoever copies exactly the
// pages that GetWriteWatch(RESET) returns ends up with the same bytes as the memory. Writers store
// all the time; collectors get, reset and copy; protections flip, pages are decommitted, heaps are
// released and allocated again at the same address, and the process forks. In the end everybody
// stops, one last round is collected, and shadow and memory must be equal.
//
// Usage: stress-shadow-copy [--seconds N] [--writes N] [--threads N] [--collectors N] [--seed N]
//
// Ends after N seconds, or after N writes, whichever is asked for and comes later. Exit status 0:
// equal; 1: a byte differs (the seed is printed, though threads do not repeat themselves); 77: no
// backend. WRITEWATCH_BACKEND chooses it.
#include <writewatch/win32.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <emmintrin.h>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string_view>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::size_t page = 4096;
constexpr DWORD watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

struct Options {
    std::uint64_t seconds = 20;
    std::uint64_t writes = 0;
    std::uint64_t threads = 4;
    std::uint64_t collectors = 2;
    std::uint64_t seed =
        static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
};

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
    std::uint64_t next()
    {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }
    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() >> 11) % limit; }

  private:
    std::uint64_t state_;
};

[[noreturn]] void fail(const char* what)
{
    std::fprintf(stderr, "FAILED: %s (last error %u, errno %d)\n", what, GetLastError(), errno);
    std::fflush(nullptr);
    _exit(1);
}

// One watched allocation and its shadow. Several collectors share the shadow: whoever got a page
// copies it. Two may copy the same page, and the older copy may come last; the page was written in
// between then, and is returned again. Unless the copies themselves overlap: so a copy holds the
// page's lock, and reads the page while it does.
class Heap {
  public:
    explicit Heap(std::size_t pages) : pages_(pages), shadow_(pages * page), locks_(pages)
    {
        base_ = static_cast<char*>(VirtualAlloc(nullptr, pages_ * page, watched, PAGE_READWRITE));
        if (base_ == nullptr)
            fail("VirtualAlloc");
    }
    ~Heap()
    {
        if (!VirtualFree(base_, 0, MEM_RELEASE))
            fail("VirtualFree");
    }
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    char* base() const { return base_; }
    std::size_t pages() const { return pages_; }

    // Returns how many pages it copied.
    std::size_t collect(std::size_t first, std::size_t count, std::size_t capacity)
    {
        std::vector<void*> found(capacity);
        ULONG_PTR entries = capacity;
        ULONG granularity = 0;
        if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base_ + first * page, count * page, found.data(),
                          &entries, &granularity) != 0)
            fail("GetWriteWatch");
        for (std::size_t i = 0; i < entries; ++i) {
            auto* const from = static_cast<char*>(found[i]);
            if (from < base_ + first * page || from >= base_ + (first + count) * page ||
                (i > 0 && found[i] <= found[i - 1]))
                fail("a page out of order or range");
            copy(static_cast<std::size_t>(from - base_) / page);
        }
        return entries;
    }

    // Everything, once nobody writes any more.
    void collect_rest()
    {
        while (collect(0, pages_, 100) == 100) {
        }
    }

    // The first page that differs.
    std::optional<std::size_t> difference() const
    {
        for (std::size_t i = 0; i < pages_; ++i) {
            if (std::memcmp(base_ + i * page, shadow_.data() + i * page, page) != 0)
                return i;
        }
        return std::nullopt;
    }

    // ---- with everybody else out of these pages ----

    void decommit_and_commit(std::size_t first, std::size_t count)
    {
        char* const start = base_ + first * page;
        if (!VirtualFree(start, count * page, MEM_DECOMMIT))
            fail("MEM_DECOMMIT");
        if (VirtualAlloc(start, count * page, MEM_COMMIT, PAGE_READWRITE) != start)
            fail("MEM_COMMIT");
        // Pages without contents are not reported: whoever decommits knows that they are zero.
        std::memset(shadow_.data() + first * page, 0, count * page);
    }
    void release_and_allocate_again()
    {
        char* const before = base_;
        if (!VirtualFree(base_, 0, MEM_RELEASE))
            fail("MEM_RELEASE");
        base_ = static_cast<char*>(VirtualAlloc(before, pages_ * page, watched, PAGE_READWRITE));
        if (base_ == nullptr) // somebody else's mapping came in between
            base_ =
                static_cast<char*>(VirtualAlloc(nullptr, pages_ * page, watched, PAGE_READWRITE));
        if (base_ == nullptr)
            fail("VirtualAlloc again");
        std::fill(shadow_.begin(), shadow_.end(), '\0');
    }
    // Writers of these pages are out; readers and collectors need not be.
    void flip_protection(std::size_t first, std::size_t count)
    {
        DWORD old = 0;
        if (!VirtualProtect(base_ + first * page, count * page, PAGE_READONLY, &old) ||
            !VirtualProtect(base_ + first * page, count * page, PAGE_READWRITE, &old))
            fail("VirtualProtect");
    }

  private:
    // Word by word, atomically: the page is being written.
    void copy(std::size_t number)
    {
        const auto* const from = reinterpret_cast<const std::uint64_t*>(base_ + number * page);
        auto* const to = reinterpret_cast<std::uint64_t*>(shadow_.data() + number * page);
        while (locks_[number].test_and_set(std::memory_order_acquire))
            std::this_thread::yield();
        for (std::size_t i = 0; i < page / sizeof(*to); ++i)
            to[i] = __atomic_load_n(from + i, __ATOMIC_ACQUIRE);
        locks_[number].clear(std::memory_order_release);
    }

    std::size_t pages_;
    char* base_ = nullptr;
    std::vector<char> shadow_;
    std::vector<std::atomic_flag> locks_;
};

class Stress {
  public:
    explicit Stress(const Options& options)
        : options_(options), syscalls_(!is_mprotect()), heap_(1024)
    {}

    int run()
    {
        std::vector<std::thread> threads;
        for (std::uint64_t i = 0; i < options_.threads; ++i)
            threads.emplace_back([this, i] { write(Random(options_.seed + i), i); });
        for (std::uint64_t i = 0; i < options_.collectors; ++i)
            threads.emplace_back([this, i] { collect(Random(options_.seed + 100 + i)); });
        threads.emplace_back([this] { disturb(Random(options_.seed + 200)); });
        threads.emplace_back([this] { fork_often(Random(options_.seed + 300)); });

        const auto start = std::chrono::steady_clock::now();
        const auto end = start + std::chrono::seconds(options_.seconds);
        while (std::chrono::steady_clock::now() < end || writes_ < options_.writes)
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        stop_ = true;
        for (std::thread& thread : threads)
            thread.join();

        heap_.collect_rest();
        const auto difference = heap_.difference();
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        std::printf("%s: %.0f s, %lu writes by %lu threads (%lu by system calls), %lu rounds of "
                    "%lu collectors, %lu pages copied, %lu decommits, %lu releases, %lu protection "
                    "flips, %lu forks, seed %lu: %s\n",
                    backend_name(), seconds, writes_.load(), options_.threads,
                    system_call_writes_.load(), rounds_.load(), options_.collectors, copied_.load(),
                    decommits_.load(), releases_.load(), flips_.load(), forks_.load(),
                    options_.seed, difference ? "DIFFERENT" : "equal");
        if (difference) {
            std::fprintf(stderr, "FAILED: page %zu of the memory is not in the shadow\n",
                         *difference);
            return 1;
        }
        // A run in which nothing happened proves nothing.
        if (writes_ == 0 || rounds_ == 0 || copied_ == 0 || decommits_ == 0 || releases_ == 0 ||
            flips_ == 0 || forks_ == 0)
            fail("some part of the test never ran");
        return 0;
    }

  private:
    static bool is_mprotect()
    {
        const char* const name = std::getenv("WRITEWATCH_BACKEND");
        return name != nullptr && std::strcmp(name, "mprotect") == 0;
    }
    static const char* backend_name()
    {
        const char* const name = std::getenv("WRITEWATCH_BACKEND");
        return name == nullptr ? "auto" : name;
    }

    // Writers hold the heap shared for some stores; who takes memory away holds it alone, as a
    // program must arrange, too.
    void write(Random random, std::uint64_t number)
    {
        int sockets[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
            fail("socketpair");
        std::uint64_t done = 0;
        std::uint64_t by_system_calls = 0;
        while (!stop_) {
            wait_for_turn();
            const std::shared_lock in(heap_lock_);
            for (int burst = 0; burst < 200; ++burst) {
                const std::size_t bytes = heap_.pages() * page;
                const std::uint64_t value = random.next() | number;
                char* const at = heap_.base() + random.below(bytes / 64) * 64;
                ++done;
                switch (random.below(syscalls_ ? 42 : 40) / 8) {
                case 0: // plain; relaxed atomics are plain moves, and no data race to sanitizers
                    __atomic_store_n(reinterpret_cast<std::uint64_t*>(at), value, __ATOMIC_RELAXED);
                    break;
                case 1:
                    __atomic_fetch_add(reinterpret_cast<std::uint64_t*>(at + 8), value,
                                       __ATOMIC_SEQ_CST);
                    break;
                case 2:
                    vector_store(at + 16, value);
                    break;
                case 3:
                    block_store(
                        at, value,
                        std::min<std::size_t>(random.below(2 * page),
                                              static_cast<std::size_t>(heap_.base() + bytes - at)));
                    break;
                case 4: { // across the edge of two pages
                    const std::size_t edge = 1 + random.below(heap_.pages() - 1);
                    straddling_store(heap_.base() + edge * page - 4, value);
                    break;
                }
                default: {
                    if (send(sockets[0], &value, sizeof(value), 0) != sizeof(value))
                        fail("send");
                    // Bare calls: sanitizers take recv's and read's own stores for races with the
                    // copies.
                    const long got = random.below(2) == 0
                                         ? syscall(SYS_recvfrom, sockets[1], at, sizeof(value), 0,
                                                   nullptr, nullptr)
                                         : syscall(SYS_read, sockets[1], at, sizeof(value));
                    if (got != sizeof(value))
                        fail("recv or read into watched memory");
                    ++by_system_calls;
                    break;
                }
                }
            }
            writes_ += done;
            system_call_writes_ += by_system_calls;
            done = by_system_calls = 0;
        }
        close(sockets[0]);
        close(sockets[1]);
    }

    // These race with the copies on purpose; the copy takes what it finds, and comes again. Bare
    // instructions, which sanitizers do not look at.
    static void vector_store(char* at, std::uint64_t value)
    {
        const __m128i vector = _mm_set1_epi64x(static_cast<long>(value));
        asm volatile("movdqa %1, %0" : "=m"(*reinterpret_cast<__m128i*>(at)) : "x"(vector));
    }
    static void block_store(char* at, std::uint64_t value, std::size_t bytes)
    {
        for (std::size_t i = 0; i + 8 <= bytes; i += 8)
            __atomic_store_n(reinterpret_cast<std::uint64_t*>(at + i), value + i, __ATOMIC_RELAXED);
    }
    static void straddling_store(char* at, std::uint64_t value)
    {
        asm volatile("movq %1, %0" : "=m"(*reinterpret_cast<std::uint64_t*>(at)) : "r"(value));
    }

    void collect(Random random)
    {
        while (!stop_) {
            wait_for_turn();
            const std::shared_lock in(heap_lock_);
            const std::size_t first = random.below(2) == 0 ? 0 : random.below(heap_.pages());
            const std::size_t count = 1 + random.below(heap_.pages() - first);
            constexpr std::size_t capacities[] = {1, 7, 100, 512, 4096};
            const std::size_t capacity = capacities[random.below(std::size(capacities))];
            copied_ += heap_.collect(first, count, capacity);
            ++rounds_;
        }
    }

    void disturb(Random random)
    {
        while (!stop_) {
            std::this_thread::sleep_for(std::chrono::microseconds(200 + random.below(2000)));
            const Turn turn(*this);
            const std::unique_lock alone(heap_lock_);
            const std::size_t first = random.below(heap_.pages());
            const std::size_t count = 1 + random.below(heap_.pages() - first);
            const std::size_t what = random.below(20);
            if (what == 0) {
                heap_.release_and_allocate_again();
                ++releases_;
            } else if (what < 10) {
                // What was latched stays reported; to copy it once more does no harm.
                heap_.decommit_and_commit(first, count);
                ++decommits_;
            } else {
                heap_.flip_protection(first, count);
                ++flips_;
            }
        }
    }

    // A child has its own state; here it must only not disturb the parent's.
    void fork_often(Random random)
    {
        while (!stop_) {
            std::this_thread::sleep_for(std::chrono::milliseconds(20 + random.below(80)));
            wait_for_turn();
            std::shared_lock in(heap_lock_);
            const pid_t child = fork();
            if (child < 0)
                fail("fork");
            if (child == 0) {
                alarm(20);
                void* found[64];
                ULONG_PTR entries = 64;
                ULONG granularity = 0;
                _exit(GetWriteWatch(WRITE_WATCH_FLAG_RESET, heap_.base(), heap_.pages() * page,
                                    found, &entries, &granularity) == 0
                          ? 0
                          : 1);
            }
            in.unlock();
            int status = 0;
            if (waitpid(child, &status, 0) != child || status != 0)
                fail("a child did not come back");
            ++forks_;
        }
    }

    // std::shared_mutex lets writers starve.
    class Turn {
      public:
        explicit Turn(Stress& stress) : stress_(stress) { ++stress_.waiting_; }
        ~Turn() { --stress_.waiting_; }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

      private:
        Stress& stress_;
    };
    void wait_for_turn() const
    {
        while (waiting_ != 0)
            std::this_thread::yield();
    }

    const Options options_;
    const bool syscalls_;
    Heap heap_;
    std::shared_mutex heap_lock_;
    std::atomic<int> waiting_{0};
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> writes_{0}, system_call_writes_{0}, rounds_{0}, copied_{0};
    std::atomic<std::uint64_t> decommits_{0}, releases_{0}, flips_{0}, forks_{0};
};

std::optional<Options> parse(int argc, char** argv)
{
    Options options;
    const std::pair<std::string_view, std::uint64_t*> known[] = {
        {"--seconds", &options.seconds}, {"--writes", &options.writes},
        {"--threads", &options.threads}, {"--collectors", &options.collectors},
        {"--seed", &options.seed},
    };
    for (int i = 1; i < argc; i += 2) {
        const auto* const entry =
            std::find_if(std::begin(known), std::end(known),
                         [&](const auto& candidate) { return candidate.first == argv[i]; });
        if (entry == std::end(known) || i + 1 == argc)
            return std::nullopt;
        const std::string_view text = argv[i + 1];
        const auto [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), *entry->second);
        if (error != std::errc() || end != text.data() + text.size())
            return std::nullopt;
    }
    if (options.threads == 0 || options.collectors == 0)
        return std::nullopt;
    return options;
}

} // namespace

int main(int argc, char** argv)
{
    const auto options = parse(argc, argv);
    if (!options) {
        std::fprintf(stderr,
                     "usage: %s [--seconds N] [--writes N] [--threads N] [--collectors N] "
                     "[--seed N]\n",
                     argv[0]);
        return 64;
    }
    void* const probe = VirtualAlloc(nullptr, 1, watched, PAGE_READWRITE);
    if (probe == nullptr) {
        const char* const required = std::getenv("WRITEWATCH_TEST_REQUIRE");
        const char* const name = std::getenv("WRITEWATCH_BACKEND");
        const bool fails = required != nullptr && name != nullptr && std::strstr(required, name);
        std::fprintf(stderr, "%s: no backend (see the message above)\n",
                     fails ? "FAILED" : "skipped");
        return fails ? 1 : 77;
    }
    VirtualFree(probe, 0, MEM_RELEASE);
    return Stress(*options).run();
}
