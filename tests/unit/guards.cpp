// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a call must leave as it found it: the thread's signal mask, its cancellation state, errno;
// around locks, and around fork().
#include "shim/sys/fork.h"
#include "shim/sys/pagemap.h"
#include "shim/sys/signals.h"
#include "tests/support/catch.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace writewatch;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

constexpr std::array synchronous = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
// What Wine suspends and ends threads by, and some others.
constexpr std::array asynchronous = {SIGUSR1, SIGUSR2, SIGQUIT, SIGINT, SIGALRM, SIGCHLD, SIGTERM};

bool is_blocked(int signal)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, signal) == 1;
}

std::vector<int> blocked_signals()
{
    std::vector<int> blocked;
    for (int signal = 1; signal < NSIG; ++signal) {
        if (is_blocked(signal))
            blocked.push_back(signal);
    }
    return blocked;
}

int cancel_state()
{
    int state = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_setcancelstate(state, nullptr);
    return state;
}

// A thread's mask that is neither empty nor full, so that putting back something else shows.
class UsualMask {
  public:
    UsualMask()
    {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR2);
        pthread_sigmask(SIG_SETMASK, &mask, &saved_);
    }
    ~UsualMask() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }
    UsualMask(const UsualMask&) = delete;
    UsualMask& operator=(const UsualMask&) = delete;

  private:
    sigset_t saved_{};
};

struct OpenForkPage {
    sys::ForkPage page;
    OpenForkPage() { REQUIRE(page.open()); }
    ~OpenForkPage() { page.close(); }
    OpenForkPage(const OpenForkPage&) = delete;
    OpenForkPage& operator=(const OpenForkPage&) = delete;
};

} // namespace

TEST_CASE("while a lock is held, only what an instruction can raise gets through", "[guards]")
{
    const UsualMask mask;
    OpenForkPage lock;
    {
        const sys::ForkPageLock held(lock.page);
        for (const int signal : asynchronous)
            CHECK(is_blocked(signal));
        for (const int signal : synchronous)
            CHECK_FALSE(is_blocked(signal));
        CHECK(cancel_state() == PTHREAD_CANCEL_DISABLE);
    }
    CHECK(blocked_signals() == std::vector{SIGUSR2});
    CHECK(cancel_state() == PTHREAD_CANCEL_ENABLE);
}

TEST_CASE("guards inside guards put back what the outer one set", "[guards]")
{
    const UsualMask mask;
    const sys::SignalBlock outer;
    const auto before = blocked_signals();
    {
        const sys::SignalBlock inner;
    }
    CHECK(blocked_signals() == before);
    CHECK(cancel_state() == PTHREAD_CANCEL_DISABLE);
}

TEST_CASE("after a fork parent and child have the mask of before, and no lock is held",
          "[guards][fork]")
{
    const UsualMask mask;
    OpenForkPage first;
    OpenForkPage second;
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(10); // a lock that is still held would keep the child for ever
        if (blocked_signals() != std::vector{SIGUSR2})
            _exit(1);
        if (!first.page.inherited() || !second.page.inherited())
            _exit(2);
        const sys::ForkPageLock one(first.page);
        const sys::ForkPageLock other(second.page);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(blocked_signals() == std::vector{SIGUSR2});
    CHECK_FALSE(first.page.inherited());
    const sys::ForkPageLock one(first.page);
    const sys::ForkPageLock other(second.page);
}

// What the lock guards is whole in the child.
TEST_CASE("fork waits for a thread that holds a lock", "[guards][fork]")
{
    OpenForkPage lock;
    std::atomic<bool> held{false};
    std::atomic<bool> whole{true};
    std::thread changer([&] {
        const sys::ForkPageLock guard(lock.page);
        whole = false;
        held = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        whole = true;
    });
    while (!held)
        std::this_thread::yield();
    const pid_t child = fork();
    if (child == 0)
        _exit(whole ? 0 : 1);
    changer.join();
    REQUIRE(child > 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a scan that fails leaves errno alone", "[guards]")
{
    const auto pagemap = sys::Pagemap::open();
    REQUIRE(pagemap);
    abi::PmScanArg argument{}; // its size is wrong, and an older kernel has no such call at all
    errno = 1234;
    CHECK(pagemap->scan(argument) < 0);
    CHECK(errno == 1234);
}
