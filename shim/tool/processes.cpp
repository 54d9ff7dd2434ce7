// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/processes.h"

#include "shim/tool/protection.h"
#include "shim/tool/text.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <set>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace writewatch::tool {

namespace {

using Json = nlohmann::ordered_json;

std::string posix_protection(std::uint32_t protection)
{
    std::string name;
    for (const auto& [bit, word] : {std::pair{PROT_READ, "read"}, std::pair{PROT_WRITE, "write"},
                                    std::pair{PROT_EXEC, "execute"}}) {
        if ((protection & static_cast<std::uint32_t>(bit)) != 0)
            name += (name.empty() ? "" : "/") + std::string(word);
    }
    return name.empty() ? "no access" : name;
}

const char* host_name(registry::Host host)
{
    switch (host) {
    case registry::Host::native_win32:
        return "win32";
    case registry::Host::c_api:
        return "c-api";
    case registry::Host::wine:
        return "wine";
    case registry::Host::unknown:
        break;
    }
    return "unknown";
}

// Why a process publishes nothing, as far as can be told from outside.
std::string why_absent(pid_t pid)
{
    if (kill(pid, 0) != 0 && errno == ESRCH)
        return fmt::format(
            "there is no process {}; 'writewatch list' shows those that watch memory", pid);
    struct stat status {};
    const std::string folder = fmt::format("/proc/{}", pid);
    if (stat(folder.c_str(), &status) == 0 && status.st_uid != geteuid())
        return fmt::format("process {} belongs to user {}: run this command as that user "
                           "(the registry is each user's own)",
                           pid, status.st_uid);
    return fmt::format("process {} publishes no write watches: it watches no memory yet, does not "
                       "run with writewatch (writewatch run --log info says), or with "
                       "WRITEWATCH_REGISTRY=0",
                       pid);
}

} // namespace

std::vector<registry::ProcessInfo> load_processes(const Tell& tell)
{
    auto listing = registry::list();
    if (!listing)
        throw Failure(fmt::format("there is no registry: {}: {}; processes publish their write "
                                  "watches in /dev/shm, which must be there",
                                  listing.error().step, std::strerror(listing.error().code)));
    static std::set<std::string> told;
    for (const registry::SkippedSegment& skipped : listing->skipped) {
        if (!told.insert(skipped.segment).second)
            continue;
        const std::string note = fmt::format("skipped /dev/shm/{}: {}", printable(skipped.segment),
                                             printable(skipped.reason));
        if (tell)
            tell(note);
        else
            fmt::print(stderr, "writewatch: {}\n", note);
    }
    return std::move(listing->processes);
}

std::vector<registry::ProcessInfo> load_process(pid_t pid)
{
    auto processes = registry::read_process(pid);
    if (!processes)
        throw Failure(fmt::format("the registry of process {} cannot be read: {}: {}", pid,
                                  processes.error().step, std::strerror(processes.error().code)));
    if (processes->empty())
        throw Failure(why_absent(pid));
    return std::move(*processes);
}

std::string short_name(const std::string& image)
{
    const std::size_t at = image.find_last_of("/\\");
    return at == std::string::npos || at + 1 == image.size() ? image : image.substr(at + 1);
}

std::string protection_text(const registry::ProcessInfo& process,
                            const registry::RegionInfo& region)
{
    return process.host == registry::Host::c_api ? posix_protection(region.protection)
                                                 : protection_name(region.protection);
}

backend::Mode mode_of(const registry::RegionInfo& region)
{
    switch (region.mode) {
    case registry::RegionMode::armed:
        return backend::Mode::armed;
    case registry::RegionMode::armed_huge:
        return backend::Mode::armed_huge;
    case registry::RegionMode::on_presence:
        break;
    }
    return backend::Mode::on_presence;
}

bool tracked_by_kernel(const registry::ProcessInfo& process)
{
    return process.backend == "pagemap-scan";
}

std::optional<double> mean_get_ns(const registry::Counters& counters)
{
    if (counters.samples == 0)
        return std::nullopt;
    return (static_cast<double>(counters.kernel_ns) + static_cast<double>(counters.user_ns)) /
           static_cast<double>(counters.samples);
}

std::string mean_get_text(const registry::Counters& counters)
{
    const std::optional<double> mean = mean_get_ns(counters);
    return mean ? human_time(*mean) : "-";
}

registry::Counters difference(const registry::Counters& now, const registry::Counters& before)
{
    // Two calls at the same moment may count as one, and set a counter back by it (core/meter.h).
    const auto minus = [](auto later, auto earlier) {
        return later > earlier ? later - earlier : decltype(later - earlier){0};
    };
    registry::Counters step;
    step.gets = minus(now.gets, before.gets);
    step.gets_with_reset = minus(now.gets_with_reset, before.gets_with_reset);
    step.resets = minus(now.resets, before.resets);
    step.pages = minus(now.pages, before.pages);
    step.samples = minus(now.samples, before.samples);
    step.kernel_ns = minus(now.kernel_ns, before.kernel_ns);
    step.user_ns = minus(now.user_ns, before.user_ns);
    step.errors = minus(now.errors, before.errors);
    step.over_reports = minus(now.over_reports, before.over_reports);
    return step;
}

std::uint64_t watched_bytes(const registry::ProcessInfo& process)
{
    std::uint64_t bytes = 0;
    for (const registry::RegionInfo& region : process.regions)
        bytes += region.range.bytes();
    return bytes;
}

Json counters_json(const registry::Counters& counters)
{
    return {{"gets", counters.gets},
            {"gets_with_reset", counters.gets_with_reset},
            {"resets", counters.resets},
            {"pages", counters.pages},
            {"measured_gets", counters.samples},
            {"kernel_ns", counters.kernel_ns},
            {"user_ns", counters.user_ns},
            {"errors", counters.errors},
            {"over_reports", counters.over_reports}};
}

Json region_json(const registry::ProcessInfo& process, const registry::RegionInfo& region)
{
    return {{"address", hex_address(region.range.start)},
            {"bytes", region.range.bytes()},
            {"protection", protection_text(process, region)},
            {"armed", region.mode != registry::RegionMode::on_presence},
            {"created_ns", region.created},
            {"latched_pages", region.latched_pages},
            {"counters", counters_json(region.counters)}};
}

Json process_json(const registry::ProcessInfo& process)
{
    const auto optional_text = [](const std::string& text) {
        return text.empty() ? Json(nullptr) : Json(text);
    };
    return {{"pid", process.pid},
            {"start_time", process.start_time},
            {"same_pid_namespace", process.same_pid_namespace},
            {"windows_pid", process.windows_pid != 0 ? Json(process.windows_pid) : Json(nullptr)},
            {"host", host_name(process.host)},
            {"image", process.image},
            {"prefix", optional_text(process.prefix)},
            {"version", process.library_version},
            {"backend", process.backend},
            {"backend_reason", optional_text(process.backend_reason)},
            {"created_ns", process.created},
            {"regions_incomplete", process.regions_incomplete},
            {"bytes", watched_bytes(process)},
            {"total", counters_json(process.total)}};
}

void print_json(const Json& document, int indent)
{
    fmt::print("{}\n", document.dump(indent, ' ', false, Json::error_handler_t::replace));
}

} // namespace writewatch::tool
