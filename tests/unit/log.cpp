// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The log reads its environment once, at the first message: each case is a child process.
#include "shim/sys/log.h"
#include "tests/support/catch.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <sstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace writewatch;

std::optional<test::Missing> test::missing()
{
    return std::nullopt;
}

namespace {

// A directory of its own, with what is in it.
class Directory {
  public:
    Directory() { REQUIRE(mkdtemp(path_) != nullptr); }
    ~Directory()
    {
        for (const char* const name : {"log", "link", "fifo", "target"})
            unlink((*this / name).c_str());
        rmdir(path_);
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    std::string operator/(const char* name) const { return std::string(path_) + "/" + name; }

  private:
    char path_[32] = "/tmp/writewatch-log-XXXXXX";
};

// What the child wrote to standard error.
std::string stderr_of(const std::function<void()>& body)
{
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        unsetenv("WRITEWATCH_LOG");
        unsetenv("WRITEWATCH_LOG_FILE");
        body();
        _exit(0);
    }
    close(fds[1]);
    std::string text;
    char buffer[512];
    for (ssize_t got = 0; (got = read(fds[0], buffer, sizeof(buffer))) > 0;)
        text.append(buffer, static_cast<std::size_t>(got));
    close(fds[0]);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    return text;
}

void log_all()
{
    log::error("m", "an error {}", 1);
    log::warn("m", "a warning {}", 2);
    log::info("m", "a note {}", 3);
    log::debug("m", "a detail {}", 4);
}

std::string contents(const std::string& path)
{
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

const std::string lines[] = {"writewatch: m: an error 1\n", "writewatch: m: a warning 2\n",
                             "writewatch: m: a note 3\n", "writewatch: m: a detail 4\n"};

} // namespace

TEST_CASE("levels: each shows itself and what is worse", "[log]")
{
    struct Case {
        const char* level;
        std::size_t shown;
    };
    const auto [level, shown] =
        GENERATE(Case{nullptr, 2}, Case{"", 2}, Case{"none", 0}, Case{"error", 1}, Case{"warn", 2},
                 Case{"info", 3}, Case{"debug", 4});
    std::string expected;
    for (std::size_t i = 0; i < shown; ++i)
        expected += lines[i];
    CHECK(stderr_of([&, level = level] {
              if (level != nullptr)
                  setenv("WRITEWATCH_LOG", level, 1);
              log_all();
          }) == expected);
}

TEST_CASE("an unknown level is said once, with what is allowed; the default holds", "[log]")
{
    const std::string text = stderr_of([] {
        setenv("WRITEWATCH_LOG", "verbose", 1);
        log_all();
        log_all();
    });
    CHECK(text == "writewatch: log: WRITEWATCH_LOG=verbose: unknown; allowed: none, error, warn, "
                  "info, debug\n" +
                      lines[0] + lines[1] + lines[0] + lines[1]);
}

TEST_CASE("a log file is made for its owner only, and appended to", "[log]")
{
    const Directory directory;
    for (int round = 0; round < 2; ++round) {
        CHECK(stderr_of([&] {
                  umask(0);
                  setenv("WRITEWATCH_LOG_FILE", (directory / "log").c_str(), 1);
                  log_all();
              }).empty());
    }
    CHECK(contents(directory / "log") == lines[0] + lines[1] + lines[0] + lines[1]);
    struct stat status = {};
    REQUIRE(stat((directory / "log").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("a log file that somebody else may have put there is refused, and left alone", "[log]")
{
    const Directory directory;
    const std::string target = directory / "target";
    std::ofstream(target) << "precious\n";
    std::string path;
    std::string reason;
    SECTION("a symbolic link")
    {
        path = directory / "link";
        reason = "it is a symbolic link";
        REQUIRE(symlink(target.c_str(), path.c_str()) == 0);
    }
    SECTION("a hard link")
    {
        path = directory / "link";
        reason = "it has several names (hard links)";
        REQUIRE(link(target.c_str(), path.c_str()) == 0);
    }
    SECTION("a FIFO that nobody reads")
    {
        path = directory / "fifo";
        reason = std::strerror(ENXIO);
        REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    }
    SECTION("a FIFO that somebody reads")
    {
        path = directory / "fifo";
        reason = "it is not a regular file";
        REQUIRE(mkfifo(path.c_str(), 0600) == 0);
        REQUIRE(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC) >= 0);
    }
    SECTION("a device")
    {
        path = "/dev/null";
        reason = "it is not a regular file";
    }
    SECTION("a directory")
    {
        path = "/tmp";
        reason = std::strerror(EISDIR);
    }
    SECTION("another user's file")
    {
        if (geteuid() != 0) {
            WARN("not tried: only root can give a file away");
            return;
        }
        path = target;
        reason = "it belongs to another user";
        REQUIRE(chown(target.c_str(), 65534, 65534) == 0);
    }
    CHECK(stderr_of([&] {
              setenv("WRITEWATCH_LOG_FILE", path.c_str(), 1);
              log::error("m", "an error {}", 1);
          }) == "writewatch: log: WRITEWATCH_LOG_FILE=" + path + ": " + reason +
                    "; writing to standard error instead\n" + lines[0]);
    CHECK(contents(target) == "precious\n");
}

TEST_CASE("a reader that is gone does not stop the program", "[log]")
{
    CHECK(stderr_of([] {
              signal(SIGPIPE, SIG_IGN);
              int fds[2];
              if (pipe(fds) != 0)
                  _exit(1);
              dup2(fds[1], STDERR_FILENO);
              close(fds[0]);
              close(fds[1]);
              log_all();
              close(STDERR_FILENO);
              log_all();
          }).empty());
}

TEST_CASE("errors are described by step, name, text and range", "[log]")
{
    CHECK(describe({EPERM, "mmap", {}}) == "mmap: EPERM (Operation not permitted)");
    CHECK(describe({ENOMEM, "munmap", {0x1000, 0x3000}}) ==
          "munmap: ENOMEM (Cannot allocate memory) on 0x1000-0x3000");
    CHECK(describe({123456, "x", {}}).find("x: ") == 0);
}
