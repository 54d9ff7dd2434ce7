// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What becomes of a segment when its process forks, is told not to publish, or gets no shared
// memory; and what another process is told when its target ends, forks or calls exec.
//
// Usage: life CASE
#include "shim/registry/reader.h"
#include "shim/registry/remote.h"
#include "shim/sys/log.h"

#include <writewatch/win32.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

using namespace writewatch;

constexpr std::size_t pages = 16;
constexpr std::size_t bytes = pages * 4096;

void require(bool holds, const char* what)
{
    if (holds)
        return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
}

[[noreturn]] void skip(const std::string& reason)
{
    std::fprintf(stderr, "skipped: %s\n", reason.c_str());
    std::exit(77);
}

char* watched()
{
    auto* const base = static_cast<char*>(
        VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    require(base != nullptr, "VirtualAlloc");
    return base;
}

ULONG_PTR get(char* base, DWORD flags)
{
    void* found[pages];
    ULONG_PTR count = pages;
    ULONG granularity = 0;
    require(GetWriteWatch(flags, base, bytes, found, &count, &granularity) == 0, "GetWriteWatch");
    return count;
}

std::vector<registry::ProcessInfo> published(pid_t pid)
{
    auto found = registry::read_process(pid);
    require(found.has_value(), "read_process");
    return std::move(*found);
}

PageRange range_of(char* base)
{
    const auto start = reinterpret_cast<std::uintptr_t>(base);
    return {start, start + bytes};
}

// A child that does `first`, says so, and goes on with `then` when told.
class Child {
  public:
    Child(const std::function<void()>& first, const std::function<void()>& then)
    {
        require(pipe(up_) == 0 && pipe(down_) == 0, "pipe");
        pid_ = fork();
        if (pid_ == 0) {
            close(down_[1]);
            first();
            (void)!write(up_[1], "x", 1);
            char byte = 0;
            (void)!read(down_[0], &byte, 1);
            then();
            (void)!write(up_[1], "y", 1);
            (void)!read(down_[0], &byte, 1);
            std::exit(0);
        }
        wait_for_step();
    }
    void go_on() const { require(write(down_[1], "x", 1) == 1, "go on"); }
    void wait_for_step() const
    {
        char byte = 0;
        require(read(up_[0], &byte, 1) == 1, "the child goes on");
    }
    void kill_and_wait() const
    {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    pid_t pid() const { return pid_; }

  private:
    int up_[2] = {};
    int down_[2] = {};
    pid_t pid_ = 0;
};

void child_has_its_own()
{
    char* const base = watched();
    base[0] = 1;
    require(get(base, 0) == 1, "one page");
    // Nothing of a child that does not use the library.
    const Child child([] {},
                      [&] {
                          (void)get(base, 0);
                          (void)get(base, 0);
                          (void)watched();
                      });
    require(published(child.pid()).empty(), "a child publishes nothing at first");
    child.go_on();
    child.wait_for_step();
    const auto parents = published(getpid());
    const auto childs = published(child.pid());
    require(parents.size() == 1 && childs.size() == 1, "each has one segment");
    require(parents[0].regions.size() == 1 && parents[0].total.gets == 1,
            "the parent's is as it was");
    require(childs[0].regions.size() == 2 && childs[0].total.gets == 2,
            "the child's has what it inherited and what it did");
    // The parent's lock is not held by its child, nor its name removed by the child's exit.
    child.kill_and_wait();
    require(published(getpid()).size() == 1, "the parent's segment outlives the child");
    require(published(child.pid()).empty(), "the child's does not");
}

void off()
{
    setenv("WRITEWATCH_REGISTRY", "0", 1);
    char* const base = watched();
    base[0] = 1;
    require(get(base, WRITE_WATCH_FLAG_RESET) == 1, "one page");
    require(registry::segments_of(getpid()).empty(), "nothing is published");
}

// In a mount namespace of its own, with a /dev/shm that is `options`.
void with_shm(const char* options)
{
    if (unshare(CLONE_NEWNS) != 0)
        skip("a mount namespace needs root");
    require(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
    if (mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        skip("cannot mount /dev/shm");
}

void works_without()
{
    char* const base = watched();
    base[0] = 1;
    require(get(base, WRITE_WATCH_FLAG_RESET) == 1, "one page");
    DWORD old = 0;
    base[4096] = 1;
    require(VirtualProtect(base, bytes, PAGE_READONLY, &old) != FALSE, "VirtualProtect");
    require(get(base, 0) == 1, "a latched page");
    for (int i = 0; i < 100; ++i)
        (void)watched();
}

void full()
{
    with_shm("size=4k"); // the header and the first records are 8 KiB
    works_without();
    require(registry::segments_of(getpid()).empty(), "nothing is left of the attempt");
}

void full_later()
{
    with_shm("size=12k");
    works_without();
    const auto info = published(getpid());
    require(info.size() == 1 && info[0].regions.size() >= 24 && info[0].regions_incomplete,
            "what there is room for is published");
}

void forbidden()
{
    with_shm("mode=0500");
    if (setgid(65534) != 0 || setuid(65534) != 0)
        skip("another user needs root");
    // The change of user made /proc/self root's, until the program says that it hides nothing.
    prctl(PR_SET_DUMPABLE, 1);
    works_without();
}

void target_ends()
{
    const auto base = watched(); // in the child, too, at the same place
    const auto range = range_of(base);
    const Child child(
        [&] {
            base[4096] = 1;
            (void)get(base, 0);
        },
        [] { execlp("sleep", "sleep", "20", nullptr); });
    auto remote = registry::RemoteProcess::attach(child.pid());
    require(remote.has_value(), "attach");
    std::uintptr_t found[pages];
    const auto some = (*remote)->get(range, true, found);
    require(some && *some == 1 && found[0] == range.start + 4096, "the child's page");
    child.go_on();
    for (int i = 0; (*remote)->alive() && i < 2000; ++i)
        usleep(1000);
    const auto none = (*remote)->get(range, true, found);
    require(!none && none.error().code == ESRCH, "after exec the program is gone");
    const auto again = registry::RemoteProcess::attach(child.pid());
    require(!again && again.error().code == ENOENT, "the new one publishes nothing");
    require(registry::list().has_value() && registry::segments_of(child.pid()).empty(),
            "its segment is swept by the next listing");
    child.kill_and_wait();
    const auto nobody = registry::RemoteProcess::attach(child.pid());
    require(!nobody && nobody.error().code == ESRCH, "nobody there");
}

void target_releases()
{
    char* base = nullptr;
    int channel[2];
    require(pipe(channel) == 0, "pipe");
    const Child child(
        [&] {
            base = watched();
            base[4096] = 1;
            (void)!write(channel[1], &base, sizeof base);
        },
        [&] { VirtualFree(base, 0, MEM_RELEASE); });
    require(read(channel[0], &base, sizeof base) == sizeof base, "the address");
    auto remote = registry::RemoteProcess::attach(child.pid());
    require(remote.has_value(), "attach");
    std::uintptr_t found[pages];
    require((*remote)->get(range_of(base), false, found) == 1, "the child's page");
    child.go_on();
    child.wait_for_step();
    const auto none = (*remote)->get(range_of(base), true, found);
    require(!none && none.error().code == ENOENT, "released memory");
    require((*remote)->alive(), "the process itself lives");
    child.kill_and_wait();
}

} // namespace

int main(int argc, char** argv)
{
    const std::map<std::string, void (*)()> cases{
        {"child-has-its-own", child_has_its_own},
        {"off", off},
        {"full", full},
        {"full-later", full_later},
        {"forbidden", forbidden},
        {"target-ends", target_ends},
        {"target-releases", target_releases},
    };
    const auto chosen = cases.find(argc > 1 ? argv[1] : "");
    if (chosen == cases.end()) {
        std::fprintf(stderr, "usage: life CASE\n");
        return 64;
    }
    if (const auto listing = registry::list(); !listing)
        skip("no shared memory: " + describe(listing.error()));
    chosen->second();
    return 0;
}
