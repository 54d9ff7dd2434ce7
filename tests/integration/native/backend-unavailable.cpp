// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Where pagemap-scan cannot be had: a seccomp filter as containers have it, no /proc. Forced by
// name it is an error with the reason, "auto" takes mprotect and says why.
#include "tests/support/tracker.h"

#include <cstddef>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    return std::nullopt;
}

namespace {

// userfaultfd answers the error from here on, in this process.
bool forbid_userfaultfd(int error)
{
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (static_cast<unsigned>(error) & 0xffff)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

bool contains(const char* text, const char* part)
{
    return std::strstr(text, part) != nullptr;
}

int check_forced(int error)
{
    ww_tracker* tracker = nullptr;
    const ww_options forced{sizeof(ww_options), "pagemap-scan"};
    if (ww_open(&forced, &tracker) != -error || tracker != nullptr)
        return 10;
    setenv("WRITEWATCH_BACKEND", "pagemap-scan", 1);
    if (ww_open(nullptr, &tracker) != -error || tracker != nullptr)
        return 11;
    unsetenv("WRITEWATCH_BACKEND");
    return 0;
}

// auto: mprotect, with a reason that contains all of the words; and it works.
int check_fallback(std::initializer_list<const char*> words)
{
    ww_tracker* tracker = nullptr;
    const ww_options automatic{sizeof(ww_options), "auto"};
    if (ww_open(&automatic, &tracker) != 0)
        return 20;
    if (std::strcmp(ww_backend(tracker), "mprotect") != 0)
        return 21;
    for (const char* const word : words) {
        if (!contains(ww_backend_reason(tracker), word)) {
            std::fprintf(stderr, "no \"%s\" in: %s\n", word, ww_backend_reason(tracker));
            return 22;
        }
    }
    const Mapping m(4);
    if (ww_watch(tracker, m.start(), m.bytes(), 0) != 0)
        return 23;
    m.write(2);
    void* found[4];
    if (ww_collect(tracker, m.start(), m.bytes(), WW_RESET, found, 4) != 1 || found[0] != m.at(2))
        return 24;
    ww_close(tracker);
    return 0;
}

// The capability's error and reason; those after it were not tried.
int check_capability(const char* name, int error)
{
    ww_capability list[16];
    const long count = ww_capabilities(list, sizeof(list[0]), 16);
    bool seen = false;
    for (long i = 0; i < count; ++i) {
        if (std::strcmp(list[i].name, name) == 0) {
            seen = true;
            if (list[i].supported != 0 || list[i].error != error || list[i].reason[0] == '\0')
                return 30;
        } else if (seen && (list[i].supported != 0 || list[i].error != 0 ||
                            !contains(list[i].reason, "not tried"))) {
            return 31;
        }
    }
    return seen ? 0 : 32;
}

} // namespace

TEST_CASE("a filter that forbids userfaultfd", "[native][unavailable]")
{
    const int error = GENERATE(EPERM, ENOSYS);
    CAPTURE(error);
    CHECK(in_child([&] {
              if (!forbid_userfaultfd(error))
                  return 1;
              if (const int bad = check_forced(error); bad != 0)
                  return bad;
              if (const int bad = check_capability("userfaultfd", error); bad != 0)
                  return bad;
              return check_fallback({"not pagemap-scan", "userfaultfd",
                                     error == EPERM ? "EPERM" : "ENOSYS", "seccomp"});
          }) == 0);
}

TEST_CASE("a name that is none, from the environment", "[native][unavailable]")
{
    CHECK(in_child([] {
              setenv("WRITEWATCH_BACKEND", "softdirty", 1);
              ww_tracker* tracker = nullptr;
              return ww_open(nullptr, &tracker) == -EINVAL && tracker == nullptr ? 0 : 1;
          }) == 0);
}

// A child that met the filter between fork and its first call cannot track; it says so every time.
TEST_CASE("a child that may not open userfaultfd any more answers an error, not fewer pages",
          "[native][unavailable]")
{
    ww_tracker* tracker = nullptr;
    const ww_options forced{sizeof(ww_options), "pagemap-scan"};
    if (ww_open(&forced, &tracker) != 0)
        leave_without({"pagemap-scan", "the kernel does not have it"});
    const Mapping m(4);
    REQUIRE(ww_watch(tracker, m.start(), m.bytes(), 0) == 0);
    m.write(2);
    CHECK(in_child([&] {
              if (!forbid_userfaultfd(EPERM))
                  return 1;
              void* found[4];
              for (int i = 0; i < 3; ++i) {
                  if (ww_collect(tracker, m.start(), m.bytes(), WW_RESET, found, 4) != -EPERM)
                      return 2;
              }
              return 0;
          }) == 0);
    ww_close(tracker);
}

TEST_CASE("no /proc", "[native][unavailable][root]")
{
    const int result = in_child([] {
        if (unshare(CLONE_NEWNS) != 0)
            return 77;
        if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("none", "/proc", "tmpfs", 0, nullptr) != 0)
            return 77;
        if (const int bad = check_forced(ENOENT); bad != 0)
            return bad;
        if (const int bad = check_capability("pagemap", ENOENT); bad != 0)
            return bad;
        // mprotect asks /proc what protection memory has: nothing can be watched, and it says so.
        ww_tracker* tracker = nullptr;
        if (ww_open(nullptr, &tracker) != 0)
            return 40;
        if (!contains(ww_backend_reason(tracker), "/proc"))
            return 41;
        const Mapping m(4);
        if (ww_watch(tracker, m.start(), m.bytes(), 0) != -ENOENT)
            return 42;
        return 0;
    });
    if (result == 77)
        leave_without({"root", "a mount namespace without /proc needs root"});
    CHECK(result == 0);
}
