// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Each way in which the system writes (platform.h), one write after the other, while a thread gets,
// resets and copies the same page without a pause. After each write the copy must be equal to the
// page once a round has passed that began after the write. A way that copies as a store does never
// fails in this; one that pins may, and how often is printed (docs/deviations.md).
//
// Usage: stress-system-writes [MILLISECONDS], for each way (1000). Exit status 0; 1: a copy was
// lost; 77: no backend.
#include "tests/stress/platform.h"
#include "tests/stress/require.h"

#include <writewatch/win32.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace writewatch::test {

namespace {

constexpr std::size_t page = 4096;
constexpr DWORD watched = MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH;

class Collector {
  public:
    explicit Collector(char* memory) : memory_(memory), thread_([this] { collect(); }) {}
    ~Collector()
    {
        stop_ = true;
        thread_.join();
    }
    Collector(const Collector&) = delete;
    Collector& operator=(const Collector&) = delete;

    // Whether the copy is the page's, after a round that began after this call.
    bool is_current() const
    {
        const std::uint64_t under_way = rounds_;
        while (rounds_ < under_way + 2)
            std::this_thread::yield();
        return copy_ == contents();
    }

  private:
    std::uint64_t contents() const
    {
        return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(memory_), __ATOMIC_ACQUIRE);
    }

    void collect()
    {
        while (!stop_) {
            void* found = nullptr;
            ULONG_PTR entries = 1;
            ULONG granularity = 0;
            if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, memory_, page, &found, &entries,
                              &granularity) != 0)
                fail("GetWriteWatch");
            if (entries != 0)
                copy_ = contents();
            ++rounds_;
        }
    }

    char* memory_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> rounds_{0}, copy_{0};
    std::thread thread_;
};

struct Count {
    std::uint64_t writes = 0;
    std::uint64_t lost = 0;
};

Count race(const Way& way, char* memory, std::chrono::milliseconds time)
{
    Count count;
    const Collector collector(memory);
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
        way.write(memory, ++count.writes);
        count.lost += collector.is_current() ? 0U : 1U;
    }
    return count;
}

int run(std::chrono::milliseconds time)
{
    std::vector<std::string> missing;
    const std::vector<Way> ways = open_ways(missing);
    for (const std::string& line : missing)
        std::printf("without %s\n", line.c_str());
    int status = 0;
    for (const Way& way : ways) {
        auto* const memory =
            static_cast<char*>(VirtualAlloc(nullptr, page, watched, PAGE_READWRITE));
        if (memory == nullptr)
            return stress::no_backend();
        const Count count = race(way, memory, time);
        VirtualFree(memory, 0, MEM_RELEASE);
        const bool bad = count.lost != 0 && !way.pins;
        std::printf("%-18s %8llu writes, %llu lost%s%s\n", way.name.c_str(),
                    static_cast<unsigned long long>(count.writes),
                    static_cast<unsigned long long>(count.lost),
                    way.pins ? " (pins the page: may lose while a reset runs)" : "",
                    bad ? ": FAILED" : "");
        if (bad)
            status = 1;
    }
    return status;
}

} // namespace

} // namespace writewatch::test

int main(int argc, char** argv)
{
    char* end = nullptr;
    const unsigned long time = argc > 1 ? std::strtoul(argv[1], &end, 10) : 1000;
    if (argc > 2 || time == 0 || (end != nullptr && *end != '\0')) {
        std::fprintf(stderr, "usage: %s [MILLISECONDS]\n", argv[0]);
        return 64;
    }
    return writewatch::test::run(std::chrono::milliseconds(time));
}
