// SPDX-License-Identifier: LGPL-2.1-or-later
//
// In a memory cgroup with no room left. Watching private memory takes none, however much it is.
// Arming shared memory takes page tables: for those the kernel lets the group's out-of-memory
// killer end the process (seen, cgroup v1, Linux 6.18) or fails the call; neither hangs or answers
// wrongly.
#include "tests/support/tracker.h"

#include <fstream>
#include <string>

using namespace writewatch::test;

namespace {

// A group of our own, v1 or v2, wherever the machine lets us make one.
class Group {
  public:
    Group()
    {
        for (const auto& [root, v1] :
             {std::pair{"/sys/fs/cgroup/memory/", true},
              std::pair{"/sys/fs/cgroup/unified/", false}, std::pair{"/sys/fs/cgroup/", false}}) {
            path_ = root + std::string("writewatch-test-") + std::to_string(getpid());
            if (mkdir(path_.c_str(), 0755) != 0)
                continue;
            limit_ = path_ + (v1 ? "/memory.limit_in_bytes" : "/memory.max");
            if (access(limit_.c_str(), W_OK) == 0)
                return;
            rmdir(path_.c_str());
        }
        path_.clear();
    }
    ~Group()
    {
        if (!path_.empty())
            rmdir(path_.c_str());
    }
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    explicit operator bool() const { return !path_.empty(); }
    bool enter() const { return put("/cgroup.procs", std::to_string(getpid())); }
    bool limit(std::size_t bytes) const
    {
        std::ofstream file(limit_);
        file << bytes << std::flush;
        return file.good();
    }

  private:
    bool put(const char* name, const std::string& text) const
    {
        std::ofstream file(path_ + name);
        file << text << std::flush;
        return file.good();
    }

    std::string path_;
    std::string limit_;
};

constexpr std::size_t mebibyte = std::size_t{1} << 20;

} // namespace

std::optional<Missing> writewatch::test::missing()
{
    if (geteuid() != 0)
        return Missing{"root", "a memory cgroup needs root"};
    if (!Group())
        return Missing{"cgroup", "no memory cgroup can be made here (v1 or v2)"};
    return missing_backend();
}

TEST_CASE(
    "a memory cgroup with no room: private memory is watched all the same, eager arming is not",
    "[limits][cgroup]")
{
    const bool eager = GENERATE(false, true);
    CAPTURE(eager);
    const Group group;
    REQUIRE(group);
    const int result = in_child([&] {
        if (!group.enter())
            return 1;
        const Tracker tracker;
        const Mapping m(64);
        if (tracker.watch(m) != 0)
            return 2;
        m.write({1, 5});
        const int memory = eager ? memfd_create("limits", MFD_CLOEXEC) : -1;
        constexpr std::size_t bytes = 32 * 1024 * mebibyte;
        if (eager && ftruncate(memory, bytes) != 0)
            return 3;
        auto* const large = static_cast<char*>(
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 (eager ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS) | MAP_NORESERVE, memory, 0));
        if (large == MAP_FAILED)
            return 4;
        if (!group.limit(24 * mebibyte))
            return 5;
        // Eager arming takes 64 MiB of page tables, more than there is; the other way takes none.
        const int answer = ww_watch(tracker, large, bytes, eager ? 0 : WW_FRESH);
        if (!eager && answer != 0)
            return 6;
        if (eager && answer != -ENOMEM)
            return answer == 0 ? 7 : 8;
        if (tracker.get_and_reset(m) != Numbers{1, 5})
            return 9;
        m.write(7);
        if (tracker.get_and_reset(m) != Numbers{7})
            return 10;
        if (eager && ww_reset(tracker, large, bytes) != -ENOENT)
            return 11;
        return 0;
    });
    CHECK((result == 0 || (eager && result == 200 + SIGKILL)));
}
