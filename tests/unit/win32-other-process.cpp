// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The Win32 translation of a question about another process: results of several pieces, and what
// the asking thread is left with. The process asked about is this one, seen through its registry,
// as any other.
#include "shim/backend/pagemap_scan.h"
#include "shim/core/watch_set.h"
#include "shim/registry/publisher.h"
#include "shim/registry/remote.h"
#include "shim/win32/status.h"
#include "shim/win32/write_watch.h"
#include "tests/support/pages.h"
#include "tests/support/registry.h"

#include <csignal>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using namespace writewatch;
using namespace writewatch::win32;
using test::pages;

std::optional<test::Missing> test::missing()
{
    if (const auto backend = backend::PagemapScan::open({}); !backend)
        return Missing{"pagemap-scan", describe(backend.error())};
    return missing_shared_memory();
}

namespace {

// More than two pieces of what is asked for at a time (win32/write_watch.cpp).
constexpr std::size_t page_count = 1300;

class Asked {
  public:
    Asked()
    {
        auto opened = backend::PagemapScan::open({});
        REQUIRE(opened);
        backend_ = std::move(*opened);
        publisher_.set_backend(backend_->name(), "");
        REQUIRE(publisher_.open());
        set_ = std::make_unique<core::WatchSet>(*backend_, &publisher_);
        REQUIRE(set_->open());
        memory_ = mmap(nullptr, page_count * page_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory_ != MAP_FAILED);
        REQUIRE(set_->watch({.range = range()}, core::OnOverlap::fail));
        auto attached = registry::RemoteProcess::attach(getpid());
        REQUIRE(attached);
        process_ = std::move(*attached);
    }
    ~Asked()
    {
        process_.reset();
        set_->close();
        publisher_.end();
        munmap(memory_, page_count * page_size);
    }
    Asked(const Asked&) = delete;
    Asked& operator=(const Asked&) = delete;

    PageRange range() const
    {
        return pages(reinterpret_cast<std::uintptr_t>(memory_), 0, page_count);
    }
    void write(std::size_t every)
    {
        for (std::size_t page = 0; page < page_count; page += every)
            static_cast<volatile char*>(memory_)[page * page_size] = 1;
    }

    // The numbers of the pages.
    std::vector<std::size_t> get(ULONG flags, std::size_t capacity)
    {
        std::vector<void*> addresses(capacity);
        ULONG_PTR count = capacity;
        ULONG granularity = 0;
        REQUIRE(get_write_watch(*process_, flags, memory_, page_count * page_size, addresses.data(),
                                &count, &granularity) == status_success);
        REQUIRE(count <= capacity);
        REQUIRE(granularity == page_size);
        std::vector<std::size_t> numbers;
        for (std::size_t i = 0; i < count; ++i)
            numbers.push_back((reinterpret_cast<std::uintptr_t>(addresses[i]) - range().start) /
                              page_size);
        return numbers;
    }
    registry::RemoteProcess& process() { return *process_; }
    void* memory() const { return memory_; }

  private:
    registry::Publisher publisher_{registry::Host::c_api};
    std::unique_ptr<backend::PagemapScan> backend_;
    std::unique_ptr<core::WatchSet> set_;
    std::unique_ptr<registry::RemoteProcess> process_;
    void* memory_ = nullptr;
};

std::vector<std::size_t> every(std::size_t step, std::size_t from, std::size_t to)
{
    std::vector<std::size_t> numbers;
    for (std::size_t number = from; number < to; number += step)
        numbers.push_back(number);
    return numbers;
}

} // namespace

TEST_CASE("a result of several pieces is whole, and what it resets is what it returns",
          "[win32][other-process]")
{
    Asked asked;
    const std::size_t step = GENERATE(std::size_t{1}, std::size_t{2});
    asked.write(step);
    const auto all = every(step, 0, page_count);
    CHECK(asked.get(0, page_count) == all);
    CHECK(asked.get(WRITE_WATCH_FLAG_RESET, 600) ==
          std::vector<std::size_t>(all.begin(), all.begin() + 600));
    CHECK(asked.get(WRITE_WATCH_FLAG_RESET, page_count) ==
          std::vector<std::size_t>(all.begin() + 600, all.end()));
    CHECK(asked.get(0, page_count).empty());
    asked.write(step);
    CHECK(reset_write_watch(asked.process(), asked.memory(), page_count * page_size) ==
          status_success);
    CHECK(asked.get(0, page_count).empty());
}

TEST_CASE("the asking thread keeps its signal mask", "[win32][other-process]")
{
    Asked asked;
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    asked.write(3);
    (void)asked.get(WRITE_WATCH_FLAG_RESET, page_count);
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (int signal = 1; signal < NSIG; ++signal)
        CHECK(sigismember(&before, signal) == sigismember(&after, signal));
}
