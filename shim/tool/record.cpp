// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/record.h"

#include "shim/tool/child.h"
#include "shim/tool/clock.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/preload.h"
#include "shim/tool/processes.h"
#include "shim/tool/recorder.h"
#include "shim/tool/terminal.h"
#include "shim/tool/text.h"
#include "shim/tool/usage.h"
#include "shim/tool/version.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <spawn.h>
#include <string>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace writewatch::tool {

namespace {

struct RecordOptions {
    int pid = 0;
    std::vector<std::string> command;
    std::string output = "writewatch.wwrec";
    double interval_ms = 5;
    double duration_s = 0; // 0: until it ends
    bool quiet = false;
};

// Counters are looked at this often, to notice gets.
constexpr auto poll_period = std::chrono::milliseconds(1);
// New processes are looked for this often.
constexpr std::uint64_t discover_ns = 20'000'000;

volatile std::sig_atomic_t stop_signal = 0;

void on_stop(int signal)
{
    stop_signal = signal;
}

void catch_stops()
{
    struct sigaction action {};
    action.sa_handler = on_stop;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        sigaction(signal, &action, nullptr);
}

// The command as a child; everything it starts stays below us, also what makes itself independent,
// as Wine's processes do.
class Command {
  public:
    explicit Command(const std::vector<std::string>& words)
    {
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if (const PreloadLibrary library = find_preload_library(); !library.file.empty()) {
            const char* const before = std::getenv("LD_PRELOAD");
            setenv("LD_PRELOAD",
                   append_preload(before != nullptr ? before : "", library.entry).c_str(), 1);
        } else {
            fmt::print(stderr, "writewatch: record: programs under Wine will not be seen: {}\n",
                       library.reason);
        }
        if (const int error = posix_spawnp(&child_, words[0].c_str(), nullptr, nullptr,
                                           pointers(words).data(), environ);
            error != 0) {
            child_ = -1;
            status_ = error == ENOENT ? exit_command_not_found : exit_cannot_execute;
            fmt::print(stderr, "writewatch: record: cannot execute '{}': {}\n", words[0],
                       std::strerror(error));
        }
    }

    bool started() const { return child_ > 0; }

    // Collects what has ended; whether the command itself has.
    bool ended()
    {
        int status = 0;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (pid != child_)
                continue;
            ended_ = true;
            status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        return ended_;
    }

    // As a shell has it: 128 + signal, 127 not found, 126 cannot be executed.
    int status() const { return status_; }

    void stop(int signal) const
    {
        if (!ended_)
            kill(child_, signal);
    }

  private:
    pid_t child_ = -1;
    int status_ = 0;
    bool ended_ = false;
};

pid_t parent_of(pid_t pid)
{
    const std::string path = fmt::format("/proc/{}/stat", pid);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                               &std::fclose);
    char line[512];
    if (!file || std::fgets(line, sizeof line, file.get()) == nullptr)
        return 0;
    // "pid (name) state parent …", and the name may contain anything.
    const char* const end_of_name = std::strrchr(line, ')');
    int parent = 0;
    char state = 0;
    if (end_of_name == nullptr || std::sscanf(end_of_name, ") %c %d", &state, &parent) != 2)
        return 0;
    return parent;
}

bool descends_from_us(pid_t pid)
{
    const pid_t self = getpid();
    for (int depth = 0; pid > 1 && depth < 1000; ++depth) {
        if (pid == self)
            return true;
        pid = parent_of(pid);
    }
    return false;
}

recorded::Start start_of(const RecordOptions& options)
{
    utsname name{};
    recorded::Start start;
    start.wall_clock_ns = wall_clock_ns();
    start.interval_ns = static_cast<std::uint64_t>(options.interval_ms * 1e6);
    start.version = version;
    start.kernel = uname(&name) == 0 ? name.release : "unknown";
    for (const std::string& word : options.command)
        start.command += (start.command.empty() ? "" : " ") + word;
    return start;
}

std::string summary(const Recorder::Totals& totals)
{
    return fmt::format("{} {}, {} gets, {} pages, {} looks, {}", totals.regions,
                       totals.regions == 1 ? "region" : "regions", human_count(totals.gets),
                       human_count(totals.pages), human_count(totals.looks),
                       human_size(totals.bytes));
}

recorded::EndReason run_loop(Recorder& recorder, Command* command, const RecordOptions& options)
{
    Progress progress("recording");
    const std::uint64_t began = monotonic_ns();
    std::uint64_t next_discovery = 0;
    bool was_there = false;
    auto due = std::chrono::steady_clock::now();
    for (;;) {
        if (stop_signal != 0)
            return recorded::EndReason::stopped;
        const bool command_ended = command != nullptr && command->ended();
        const std::uint64_t now = monotonic_ns();
        if (now >= next_discovery) {
            recorder.discover();
            next_discovery = now + discover_ns;
        }
        recorder.look();
        was_there |= recorder.alive() > 0;
        // A command may start programs that outlive it.
        const bool over = command != nullptr ? command_ended : was_there;
        if (over && recorder.alive() == 0)
            return recorded::EndReason::process_ended;
        const double seconds = static_cast<double>(monotonic_ns() - began) * 1e-9;
        if (options.duration_s > 0 && seconds >= options.duration_s)
            return recorded::EndReason::time_over;
        if (!options.quiet)
            progress.update(options.duration_s > 0 ? seconds / options.duration_s : -1,
                            fmt::format("{:.0f} s, {}", seconds, summary(recorder.totals())));
        // Not sooner than a period after a look that took long.
        due = std::max(due + poll_period, std::chrono::steady_clock::now());
        std::this_thread::sleep_until(due);
    }
}

int run_record(const RecordOptions& options)
{
    if (options.pid != 0)
        (void)load_process(options.pid); // says why there is none
    auto writer = RecordingWriter::create(options.output);
    if (!writer)
        throw Failure(
            fmt::format("record: cannot write {}: {}", options.output, std::strerror(errno)));
    Recorder recorder(std::move(*writer), static_cast<std::uint64_t>(options.interval_ms * 1e6),
                      [&](const registry::ProcessInfo& process) {
                          return options.pid != 0 ? process.pid == options.pid
                                                  : descends_from_us(process.pid);
                      });
    recorder.start(start_of(options));
    catch_stops();
    std::unique_ptr<Command> command;
    if (options.pid == 0) {
        command = std::make_unique<Command>(options.command);
        if (!command->started()) {
            (void)recorder.finish(recorded::EndReason::process_ended);
            return command->status();
        }
    }
    const recorded::EndReason reason = run_loop(recorder, command.get(), options);
    if (stop_signal != 0 && command)
        command->stop(stop_signal);
    if (!recorder.finish(reason))
        throw Failure(fmt::format("record: {}: {}", options.output, std::strerror(errno)));

    const Recorder::Totals totals = recorder.totals();
    if (!recorder.problem().empty())
        fmt::print(stderr, "writewatch: record: {}\n", recorder.problem());
    if (totals.regions == 0)
        fmt::print(stderr, "writewatch: record: no write watch was seen: does the program use "
                           "MEM_WRITE_WATCH, and writewatch? ('writewatch run --log info' says)\n");
    if (!options.quiet)
        fmt::print(stderr, "writewatch: record: {}: {}\n", options.output, summary(totals));
    if (command && reason == recorded::EndReason::process_ended)
        return command->status();
    return exit_done;
}

// Cuts "-- COMMAND…" off `arguments`, if they are this verb's.
std::vector<std::string> take_command(std::vector<std::string>& arguments)
{
    if (arguments.empty() || arguments.front() != "record")
        return {};
    const auto at = std::find(arguments.begin(), arguments.end(), "--");
    if (at == arguments.end())
        return {};
    std::vector<std::string> command(at + 1, arguments.end());
    arguments.erase(at, arguments.end());
    return command;
}

// The parser does not know that a command may follow.
class RecordFormatter : public CLI::Formatter {
  public:
    std::string make_usage(const CLI::App*, std::string) const override
    {
        return "Usage: writewatch record [OPTIONS] PID\n"
               "       writewatch record [OPTIONS] -- COMMAND [ARGUMENTS]\n";
    }
};

} // namespace

void add_record_command(CLI::App& app, std::vector<std::string>& arguments, int& exit_code)
{
    const auto options = std::make_shared<RecordOptions>();
    CLI::App* const verb =
        app.add_subcommand("record", "Record what a process or a command writes, for a report");
    verb->formatter(std::make_shared<RecordFormatter>());
    add_pid_option(*verb, options->pid);
    verb->add_option("-o,--output", options->output, "the recording")
        ->type_name("PATH")
        ->capture_default_str();
    verb->add_option("--interval", options->interval_ms,
                     "milliseconds between looks at the pages; each get is looked at, too")
        ->check(CLI::Range(1.0, 3'600'000.0))
        ->capture_default_str();
    verb->add_option("--duration", options->duration_s, "stop after so many seconds")
        ->check(CLI::Range(0.01, 1e6));
    verb->add_flag("-q,--quiet", options->quiet, "no progress and no summary on standard error");
    verb->footer("Looks only: nothing is reset, armed or stopped. With COMMAND, ends with its exit "
                 "status. 'writewatch report' shows the recording.");
    options->command = take_command(arguments);
    verb->callback([options, &exit_code] {
        if ((options->pid == 0) == options->command.empty())
            throw UsageError("needs either PID or -- COMMAND; 'writewatch list' shows processes");
        exit_code = run_record(*options);
    });
}

} // namespace writewatch::tool
