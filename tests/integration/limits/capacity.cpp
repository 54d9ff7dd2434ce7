// SPDX-License-Identifier: LGPL-2.1-or-later
//
// As much as there is, and no more: large reservations, and what runs out while watches are in use.
// Whatever a call answers, memory that is watched stays watched, and no write is lost.
#include "tests/support/tracker.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <sys/resource.h>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return missing_backend();
}

namespace {

constexpr std::size_t gibibyte = std::size_t{1} << 30;

// A reservation as hosts make it: no charge against the commit limit.
class Reservation {
  public:
    explicit Reservation(std::size_t bytes) : bytes_(bytes)
    {
        void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        start_ = memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
    }
    ~Reservation()
    {
        if (start_ != nullptr)
            munmap(start_, bytes_);
    }
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    char* start() const { return start_; }
    std::size_t bytes() const { return bytes_; }

  private:
    std::size_t bytes_;
    char* start_ = nullptr;
};

// A number of KiB from a /proc file's line "NAME: 123 kB".
std::size_t kilobytes(const char* file, const std::string& name)
{
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + ":"))
            return std::stoul(line.substr(name.size() + 1));
    }
    return 0;
}

void lower(int resource, rlim_t limit)
{
    rlimit now{};
    REQUIRE(getrlimit(static_cast<__rlimit_resource>(resource), &now) == 0);
    now.rlim_cur = limit;
    REQUIRE(setrlimit(static_cast<__rlimit_resource>(resource), &now) == 0);
}

// Pages i for which i % 3 == 1 were written; more may be reported by mprotect when it lacks
// mappings.
bool reports_all(const Tracker& tracker, const Mapping& m, const Numbers& written)
{
    const Numbers found = tracker.get_and_reset(m);
    return is_mprotect() ? std::includes(found.begin(), found.end(), written.begin(), written.end())
                         : found == written;
}

} // namespace

TEST_CASE("256 GiB reserved: exact, and cheap in memory and time", "[limits]")
{
    const Tracker tracker;
    const Reservation memory(256 * gibibyte);
    if (memory.start() == nullptr)
        leave_without({"256 GiB of address space", std::strerror(errno)});
    const std::size_t before =
        kilobytes("/proc/self/status", "VmRSS") + kilobytes("/proc/self/status", "VmPTE");
    REQUIRE(ww_watch(tracker, memory.start(), memory.bytes(), WW_FRESH) == 0);
    const std::array<std::size_t, 5> offsets{0, gibibyte + 7 * page, 100 * gibibyte,
                                             200 * gibibyte + 4095 * page, 256 * gibibyte - page};
    for (const std::size_t offset : offsets)
        memory.start()[offset] = 1;
    std::array<void*, 16> found{};
    REQUIRE(ww_collect(tracker, memory.start(), memory.bytes(), WW_RESET, found.data(),
                       found.size()) == static_cast<long>(offsets.size()));
    for (std::size_t i = 0; i < offsets.size(); ++i)
        CHECK(found[i] == memory.start() + offsets[i]);
    CHECK(ww_collect(tracker, memory.start(), memory.bytes(), 0, found.data(), found.size()) == 0);
    memory.start()[100 * gibibyte] = 2;
    REQUIRE(ww_collect(tracker, memory.start(), memory.bytes(), WW_RESET, found.data(),
                       found.size()) == 1);
    CHECK(found[0] == memory.start() + 100 * gibibyte);
    const std::size_t after =
        kilobytes("/proc/self/status", "VmRSS") + kilobytes("/proc/self/status", "VmPTE");
    INFO("KiB before " << before << ", after " << after);
    // Eager arming would take 512 MiB of page tables; mprotect has a state for each page.
    CHECK(after - before < (is_mprotect() ? 160U << 10 : 4U << 10));
    REQUIRE(ww_unwatch(tracker, memory.start(), memory.bytes()) == 0);
}

TEST_CASE("4 GiB populated: each page is found, and only once", "[limits]")
{
    if (is_mprotect())
        return; // a million mappings: its documented limit
    constexpr std::size_t bytes = 4 * gibibyte;
    if (kilobytes("/proc/meminfo", "MemAvailable") < (bytes >> 10) * 3 / 2) {
        std::fprintf(stderr, "not tried: 4 GiB populated needs 6 GiB of free memory\n");
        leave_without({"memory", "4 GiB populated needs 6 GiB of free memory"});
    }
    const Tracker tracker;
    const Reservation memory(bytes);
    REQUIRE(memory.start() != nullptr);
    REQUIRE(ww_watch(tracker, memory.start(), bytes, WW_FRESH) == 0);
    for (std::size_t offset = 0; offset < bytes; offset += page)
        memory.start()[offset] = 1;
    std::vector<void*> found(100'000);
    std::size_t seen = 0;
    std::size_t wrong = 0;
    for (;;) {
        const long got =
            ww_collect(tracker, memory.start(), bytes, WW_RESET, found.data(), found.size());
        REQUIRE(got >= 0);
        if (got == 0)
            break;
        for (long i = 0; i < got; ++i)
            wrong += found[static_cast<std::size_t>(i)] != memory.start() + seen++ * page;
    }
    CHECK(seen == bytes / page);
    CHECK(wrong == 0);
    memory.start()[bytes - page] = 2;
    REQUIRE(ww_collect(tracker, memory.start(), bytes, WW_RESET, found.data(), found.size()) == 1);
    CHECK(found[0] == memory.start() + bytes - page);
}

TEST_CASE("no more descriptors, later: what is open goes on", "[limits]")
{
    CHECK(in_child([] {
              const Tracker tracker;
              const Mapping m(64);
              if (tracker.watch(m) != 0)
                  return 1;
              lower(RLIMIT_NOFILE, 0);
              m.write({1, 5});
              if (tracker.get_and_reset(m) != Numbers{1, 5})
                  return 2;
              // A second region needs none with pagemap-scan; mprotect reads /proc/self/maps.
              const Mapping other(4);
              const int answer = tracker.watch(other);
              if (answer != (is_mprotect() ? -EMFILE : answer) ||
                  (answer != 0 && answer != -EMFILE))
                  return 3;
              other.write(2);
              if (answer == 0 && tracker.get_and_reset(other) != Numbers{2})
                  return 4;
              ww_tracker* second = nullptr;
              if (!is_mprotect() && ww_open(nullptr, &second) != -EMFILE)
                  return 5;
              m.write(7);
              return tracker.get_and_reset(m) == Numbers{7} ? 0 : 6;
          }) == 0);
}

TEST_CASE("no more address space: a watch fails, what is watched goes on", "[limits]")
{
    CHECK(in_child([] {
              const Tracker tracker;
              const Mapping m(64);
              const Reservation far(8 * gibibyte);
              if (tracker.watch(m) != 0 || far.start() == nullptr)
                  return 1;
              lower(RLIMIT_AS, 1 << 20);
              m.write({1, 5});
              if (tracker.get_and_reset(m) != Numbers{1, 5})
                  return 2;
              // Needs tables for addresses that none was watched at before.
              if (ww_watch(tracker, far.start(), far.bytes(), WW_FRESH) != -ENOMEM)
                  return 3;
              if (ww_reset(tracker, far.start(), far.bytes()) != -ENOENT)
                  return 4;
              m.write(7);
              if (tracker.get_and_reset(m) != Numbers{7})
                  return 5;
              lower(RLIMIT_AS, RLIM_INFINITY);
              if (ww_watch(tracker, far.start(), far.bytes(), WW_FRESH) != 0)
                  return 6;
              far.start()[5 * gibibyte] = 1;
              void* found[1];
              return ww_collect(tracker, far.start(), far.bytes(), 0, found, 1) == 1 &&
                             found[0] == far.start() + 5 * gibibyte
                         ? 0
                         : 7;
          }) == 0);
}

TEST_CASE("no more mappings: a watch fails cleanly, what is watched goes on", "[limits]")
{
    CHECK(in_child([] {
              const Tracker tracker;
              const Mapping m(256);
              const Mapping whole(64);
              if (tracker.watch(m) != 0)
                  return 1;
              // Alternating protections, until the kernel has no more (vm.max_map_count).
              std::size_t most = 0;
              std::ifstream("/proc/sys/vm/max_map_count") >> most;
              const Reservation filler(2 * most * page);
              std::size_t used = 1;
              while (used < 2 * most &&
                     mprotect(filler.start() + used * page, page, PROT_READ) == 0)
                  used += 2;
              if (most == 0 || used >= 2 * most)
                  return 2;
              m.write({1, 5, 100});
              if (!reports_all(tracker, m, {1, 5, 100}))
                  return 3;
              // Would split a mapping.
              if (ww_watch(tracker, whole.at(10), 10 * page, 0) != -ENOMEM)
                  return 4;
              if (ww_reset(tracker, whole.at(10), 10 * page) != -ENOENT)
                  return 5;
              m.write({3, 5, 200});
              if (!reports_all(tracker, m, {3, 5, 200}))
                  return 6;
              munmap(filler.start(), filler.bytes());
              if (ww_watch(tracker, whole.at(10), 10 * page, 0) != 0)
                  return 7;
              whole.write(12);
              return tracker.collect(whole, WW_RESET, 10, 10, 10) == Numbers{12} ? 0 : 8;
          }) == 0);
}
