// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the library makes outside of its process: a log file and a file of shared memory, both for
// their owner only whatever the umask is. In a privileged process it makes neither, and takes no
// backend from the environment. The library is linked in: ld.so looks for none beside a
// set-user-ID program.
#include "tests/support/set_user_id.h"

#include <writewatch/writewatch.h>

#include <cstring>
#include <dirent.h>
#include <string>
#include <sys/auxv.h>
#include <sys/mman.h>

using namespace writewatch;

namespace {

// The mode of the owner's own regular file, or 0.
mode_t mode_of(const std::string& path)
{
    struct stat status = {};
    if (lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return 0;
    return status.st_mode & 07777;
}

std::string shared_memory_of_this_process()
{
    const std::string prefix = "writewatch." + std::to_string(getpid()) + ".";
    std::string found;
    DIR* const directory = opendir("/dev/shm");
    if (directory == nullptr)
        return {};
    while (const dirent* const entry = readdir(directory)) {
        if (std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) == 0)
            found = std::string("/dev/shm/") + entry->d_name;
    }
    closedir(directory);
    return found;
}

int report()
{
    const char* const name = getenv("WRITEWATCH_LOG_FILE");
    const std::string log_file = name != nullptr ? name : "";
    ww_tracker* tracker = nullptr;
    if (ww_open(nullptr, &tracker) != 0)
        return 20;
    void* const memory =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || ww_watch(tracker, memory, 4096, 0) != 0)
        return 21;
    (void)ww_watch(tracker, memory, 4096, 0); // is watched already; logs
    const bool forced =
        std::strcmp(ww_backend(tracker), "mprotect") == 0 && *ww_backend_reason(tracker) == '\0';
    const std::string segment = shared_memory_of_this_process();
    const mode_t log_mode = mode_of(log_file);
    if (getauxval(AT_SECURE) == 0)
        return forced && mode_of(segment) == 0600 && log_mode == 0600 ? test::ordinary : 22;
    return !forced && segment.empty() && access(log_file.c_str(), F_OK) != 0 ? test::privileged
                                                                             : 23;
}

} // namespace

int main(int argc, char**)
{
    if (argc > 1)
        return report();
    char directory[] = "/tmp/writewatch-privileged-XXXXXX";
    if (mkdtemp(directory) == nullptr || chmod(directory, 0777) != 0)
        return 1;
    const std::string log_file = std::string(directory) + "/log";
    const int result = test::compare_with_privileged_copy([&] {
        umask(0);
        unlink(log_file.c_str());
        setenv("WRITEWATCH_LOG", "debug", 1);
        setenv("WRITEWATCH_LOG_FILE", log_file.c_str(), 1);
        setenv("WRITEWATCH_BACKEND", "mprotect", 1);
        setenv("WRITEWATCH_REGISTRY", "1", 1);
    });
    unlink(log_file.c_str());
    rmdir(directory);
    return result;
}
