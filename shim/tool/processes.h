// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The processes of the registry as the verbs show them, and why one is not there.
#pragma once

#include "shim/backend/backend.h"
#include "shim/registry/reader.h"

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/types.h>
#include <vector>

namespace writewatch::tool {

// Ends a verb with one line on standard error and exit_failed.
class Failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// All processes that publish write watches. Each damaged segment is told once: on standard error,
// or to `tell`.
using Tell = std::function<void(const std::string&)>;
std::vector<registry::ProcessInfo> load_processes(const Tell& tell = {});

// Those of one Linux process: one for each library in it. Throws a Failure that says why there is
// none and what to do.
std::vector<registry::ProcessInfo> load_process(pid_t pid);

// "collector.exe" of "C:\demo\collector.exe" or "/usr/bin/x"; the whole when there is no separator.
std::string short_name(const std::string& image);

// In words; Windows' or mmap(2)'s, as the host has it.
std::string protection_text(const registry::ProcessInfo& process,
                            const registry::RegionInfo& region);

backend::Mode mode_of(const registry::RegionInfo& region);

// Whether the kernel's page tables say what was written.
bool tracked_by_kernel(const registry::ProcessInfo& process);

// Gets of both kinds.
inline std::uint64_t all_gets(const registry::Counters& counters)
{
    return counters.gets + counters.gets_with_reset;
}

// What a get takes on average, of those that were measured.
std::optional<double> mean_get_ns(const registry::Counters& counters);

// "-" when nothing was measured.
std::string mean_get_text(const registry::Counters& counters);

// Field by field; what another process did to a counter may make it wrap, not fail.
registry::Counters difference(const registry::Counters& now, const registry::Counters& before);

std::uint64_t watched_bytes(const registry::ProcessInfo& process);

nlohmann::ordered_json counters_json(const registry::Counters& counters);
nlohmann::ordered_json region_json(const registry::ProcessInfo& process,
                                   const registry::RegionInfo& region);
// Without the regions.
nlohmann::ordered_json process_json(const registry::ProcessInfo& process);

// One object on standard output; text that is no UTF-8 is replaced.
void print_json(const nlohmann::ordered_json& document, int indent = 2);

} // namespace writewatch::tool
