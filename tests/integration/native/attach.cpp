// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ww_attach: another process's watched regions and written pages through the C API.
#include "tests/support/tracker.h"

#include <array>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return missing_backend();
}

namespace {

// A child that watches 16 pages and does what it is told, one letter at a time: w (writes pages 2
// and 5), l (latches), d (drops page 5), u (ends the watch). Each is answered with a byte.
class Target {
  public:
    Target()
    {
        std::array<int, 2> to{};
        std::array<int, 2> from{};
        REQUIRE(pipe2(to.data(), O_CLOEXEC) == 0);
        REQUIRE(pipe2(from.data(), O_CLOEXEC) == 0);
        child_ = fork();
        REQUIRE(child_ >= 0);
        if (child_ == 0) {
            close(to[1]);
            close(from[0]);
            live(to[0], from[1]);
        }
        close(to[0]);
        close(from[1]);
        to_ = to[1];
        from_ = from[0];
        REQUIRE(read(from_, &start_, sizeof start_) == sizeof start_);
        REQUIRE(start_ != 0);
    }
    ~Target()
    {
        end();
        close(to_);
        close(from_);
    }
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;

    void operator()(char what) const
    {
        REQUIRE(write(to_, &what, 1) == 1);
        char done = 0;
        REQUIRE(read(from_, &done, 1) == 1);
        REQUIRE(done == what);
    }
    void end()
    {
        if (child_ <= 0)
            return;
        kill(child_, SIGKILL);
        waitpid(child_, nullptr, 0);
        child_ = 0;
    }

    pid_t pid() const { return child_; }
    std::uintptr_t start() const { return start_; }
    std::uintptr_t at(std::size_t number) const { return start_ + number * page; }
    static constexpr std::size_t bytes = 16 * page;

  private:
    [[noreturn]] static void live(int orders, int answers)
    {
        alarm(60);
        char* const memory = static_cast<char*>(
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        ww_tracker* tracker = nullptr;
        const bool ready = memory != MAP_FAILED && ww_open(nullptr, &tracker) == 0 &&
                           ww_watch(tracker, memory, bytes, 0) == 0;
        const std::uintptr_t start = ready ? reinterpret_cast<std::uintptr_t>(memory) : 0;
        if (write(answers, &start, sizeof start) != sizeof start)
            _exit(1);
        for (char order = 0; read(orders, &order, 1) == 1;) {
            int failed = 0;
            if (order == 'w')
                memory[2 * page] = memory[5 * page] = 1;
            else if (order == 'l')
                failed = ww_latch(tracker, memory, bytes);
            else if (order == 'd')
                failed = madvise(memory + 5 * page, page, MADV_DONTNEED);
            else if (order == 'u')
                failed = ww_unwatch(tracker, memory, bytes);
            if (failed != 0 || write(answers, &order, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }

    pid_t child_ = 0;
    int to_ = -1;
    int from_ = -1;
    std::uintptr_t start_ = 0;
};

class Attachment {
  public:
    explicit Attachment(const Target& target) { REQUIRE(ww_attach(target.pid(), &process_) == 0); }
    ~Attachment() { ww_detach(process_); }
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;
    operator ww_process*() const { return process_; }

    // The addresses, or {-errno}.
    std::vector<std::uintptr_t> collect(const Target& target, unsigned flags,
                                        std::size_t capacity = 16) const
    {
        std::vector<std::uintptr_t> pages(capacity);
        const long count = ww_process_collect(process_, target.start(), Target::bytes, flags,
                                              pages.data(), capacity);
        if (count < 0)
            return {static_cast<std::uintptr_t>(count)};
        pages.resize(static_cast<std::size_t>(count));
        return pages;
    }

  private:
    ww_process* process_ = nullptr;
};

using Addresses = std::vector<std::uintptr_t>;

} // namespace

TEST_CASE("another process's regions and written pages", "[native]")
{
    const Target target;
    const Attachment other(target);
    CHECK(ww_process_alive(other) == 1);
    ww_region region{};
    REQUIRE(ww_process_regions(other, &region, sizeof region, 1) == 1);
    CHECK(region.start == target.start());
    CHECK(region.bytes == Target::bytes);

    CHECK(other.collect(target, 0).empty());
    target('w');
    CHECK(other.collect(target, 0) == Addresses{target.at(2), target.at(5)});
    CHECK(other.collect(target, WW_RESET, 1) == Addresses{target.at(2)});
    CHECK(other.collect(target, WW_RESET) == Addresses{target.at(5)});
    CHECK(other.collect(target, WW_RESET).empty());
    target('w');
    CHECK(ww_process_reset(other, target.start(), Target::bytes) == 0);
    CHECK(other.collect(target, 0).empty());
}

TEST_CASE("a page that the target latched and dropped is reported until it is reset", "[native]")
{
    const Target target;
    const Attachment other(target);
    target('w');
    target('l');
    target('d');
    CHECK(other.collect(target, 0) == Addresses{target.at(2), target.at(5)});
    CHECK(other.collect(target, WW_RESET) == Addresses{target.at(2), target.at(5)});
    CHECK(other.collect(target, 0).empty());
}

TEST_CASE("mistakes, the end of a watch and the end of the target have errors of their own",
          "[native]")
{
    Target target;
    const Attachment other(target);
    std::uintptr_t pages[1];
    CHECK(ww_attach(target.pid(), nullptr) == -EINVAL);
    ww_process* none = nullptr;
    CHECK(ww_attach(getpid(), &none) == -ENOENT); // watches nothing
    CHECK(ww_attach(0x3fff'ffff, &none) == -ESRCH);
    CHECK(ww_process_collect(other, target.start() + 1, page, 0, pages, 1) == -EINVAL);
    CHECK(ww_process_collect(other, target.start(), page, 2, pages, 1) == -EINVAL);
    CHECK(ww_process_collect(other, target.start(), page, 0, pages, 0) == -EINVAL);
    CHECK(ww_process_collect(other, target.at(16), page, 0, pages, 1) == -ENOENT);
    target('u');
    CHECK(ww_process_collect(other, target.start(), page, 0, pages, 1) == -ENOENT);
    target.end();
    CHECK(ww_process_alive(other) == 0);
    CHECK(ww_process_collect(other, target.start(), page, 0, pages, 1) == -ESRCH);
    CHECK(ww_process_reset(other, target.start(), page) == -ESRCH);
    ww_detach(nullptr);
}
