// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/sys/log.h"

#include "shim/sys/env.h"
#include "shim/sys/fork.h"
#include "shim/sys/signals.h"
#include "shim/sys/unique_fd.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace writewatch::log {

namespace {

struct LevelName {
    std::string_view name;
    Level level;
    spdlog::level::level_enum spdlog_level;
};

constexpr std::array level_names{
    LevelName{"none", Level::none, spdlog::level::off},
    LevelName{"error", Level::error, spdlog::level::err},
    LevelName{"warn", Level::warn, spdlog::level::warn},
    LevelName{"info", Level::info, spdlog::level::info},
    LevelName{"debug", Level::debug, spdlog::level::debug},
};

// A lock that a fork's child does not inherit from a thread that was logging. Others log while they
// hold theirs.
class LogLock {
  public:
    LogLock() noexcept : works_(page_.open(sys::ForkPage::Order::innermost)) {}
    void lock() noexcept
    {
        if (works_)
            page_.lock();
    }
    void unlock() noexcept
    {
        if (works_)
            page_.unlock();
    }

  private:
    sys::ForkPage page_;
    bool works_; // else out of memory: lines may mix
};

// Writes whole lines by write(2): stdio's own lock and buffers belong to the program.
class FdSink final : public spdlog::sinks::base_sink<LogLock> {
  public:
    explicit FdSink(sys::UniqueFd file) noexcept : file_(std::move(file)) {}

  private:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        const int fd = file_ ? file_.get() : STDERR_FILENO;
        const char* data = line.data();
        for (std::size_t left = line.size(); left > 0;) {
            const ssize_t written = ::write(fd, data, left);
            if (written < 0 && errno == EINTR)
                continue;
            if (written <= 0)
                return;
            data += written;
            left -= static_cast<std::size_t>(written);
        }
    }

    void flush_() override {}

    sys::UniqueFd file_;
};

// Refuses what somebody else could have put there: links of both kinds, other users' files,
// anything but a regular file.
std::pair<sys::UniqueFd, std::string> open_log_file(const std::string& path)
{
    sys::UniqueFd file(
        ::open(path.c_str(),
               O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
               S_IRUSR | S_IWUSR));
    if (!file) {
        const int reason = errno;
        return {sys::UniqueFd(), reason == ELOOP ? "it is a symbolic link" : std::strerror(reason)};
    }
    struct stat status = {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
        return {sys::UniqueFd(), "it is not a regular file"};
    if (status.st_uid != ::geteuid())
        return {sys::UniqueFd(), "it belongs to another user"};
    // A link that somebody else made, in a directory open to all, to a file of this user's.
    if (status.st_nlink != 1)
        return {sys::UniqueFd(), "it has several names (hard links)"};
    return {std::move(file), std::string()};
}

class Log {
  public:
    // Never destroyed: other destructors may still log.
    static Log& instance()
    {
        static Log* const log = new Log();
        return *log;
    }

    bool enabled(Level level) const noexcept
    {
        return level != Level::none && level <= level_.level;
    }

    void write(Level level, std::string_view module, std::string_view text)
    {
        logger_->log(level_names[static_cast<std::size_t>(level)].spdlog_level, "{}: {}", module,
                     text);
    }

  private:
    Log()
    {
        const auto requested = sys::environment("WRITEWATCH_LOG");
        const bool known = choose_level(requested);

        sys::UniqueFd file;
        std::string refusal;
        const auto path = sys::environment("WRITEWATCH_LOG_FILE");
        if (path)
            std::tie(file, refusal) = open_log_file(std::string(*path));

        logger_ = std::make_unique<spdlog::logger>("writewatch",
                                                   std::make_shared<FdSink>(std::move(file)));
        logger_->set_formatter(std::make_unique<spdlog::pattern_formatter>(
            "writewatch: %v", spdlog::pattern_time_type::local, "\n"));
        logger_->set_level(level_.spdlog_level);

        if (!known)
            write(Level::error, "log",
                  fmt::format("WRITEWATCH_LOG={}: unknown; allowed: none, error, warn, info, debug",
                              *requested));
        if (!refusal.empty())
            write(Level::error, "log",
                  fmt::format("WRITEWATCH_LOG_FILE={}: {}; writing to standard error instead",
                              *path, refusal));
    }

    bool choose_level(std::optional<std::string_view> requested)
    {
        level_ = level_names[static_cast<std::size_t>(Level::warn)];
        if (!requested)
            return true;
        for (const LevelName& candidate : level_names) {
            if (candidate.name == *requested) {
                level_ = candidate;
                return true;
            }
        }
        return false;
    }

    LevelName level_{};
    std::unique_ptr<spdlog::logger> logger_;
};

} // namespace

bool enabled(Level level) noexcept
{
    const sys::SignalBlock block;
    try {
        return Log::instance().enabled(level);
    } catch (...) {
        return false;
    }
}

void write(Level level, std::string_view module, std::string_view text) noexcept
{
    const sys::SignalBlock block;
    try {
        Log::instance().write(level, module, text);
    } catch (...) { // a log must not stop the program
    }
}

} // namespace writewatch::log

namespace writewatch {

std::string describe(const Error& error) noexcept
{
    try {
        const char* const name = ::strerrorname_np(error.code);
        const char* const text = ::strerrordesc_np(error.code);
        std::string line = fmt::format("{}: {} ({})", error.step, name != nullptr ? name : "errno",
                                       text != nullptr ? text : "unknown");
        if (!error.range.empty())
            line += fmt::format(" on {:#x}-{:#x}", error.range.start, error.range.end);
        return line;
    } catch (...) {
        return {};
    }
}

} // namespace writewatch
