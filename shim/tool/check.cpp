// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/check.h"

#include "shim/backend/probe.h"
#include "shim/backend/select.h"
#include "shim/sys/env.h"
#include "shim/tool/exit_status.h"
#include "shim/tool/preload.h"
#include "shim/tool/usage.h"
#include "shim/tool/version.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

namespace writewatch::tool {

namespace {

struct Findings {
    backend::ProbeReport probe;
    // What a native program gets here, and why not the better one.
    std::string native_backend;
    std::string native_reason;
    PreloadLibrary preload;
};

std::string kernel_release()
{
    utsname name{};
    return uname(&name) == 0 ? name.release : "unknown";
}

Findings look()
{
    Findings findings;
    findings.probe = backend::probe_pagemap_scan();
    const backend::Selection selection = backend::select_by_environment({});
    if (selection.backend)
        findings.native_backend = selection.backend->name();
    findings.native_reason = selection.reason;
    findings.preload = find_preload_library();
    return findings;
}

// The last line: the answer, with the reason.
std::string answer(const backend::ProbeReport& probe)
{
    return probe.pagemap_scan ? "writewatch: pagemap-scan is usable"
                              : "writewatch: pagemap-scan is not usable: " + probe.reason;
}

void print_text(const Findings& findings)
{
    std::printf("writewatch %s, kernel %s\n\n", version, kernel_release().c_str());
    for (const backend::Capability& capability : findings.probe.capabilities) {
        // Without an errno it was not tried.
        const char* const verdict = capability.supported    ? "yes"
                                    : capability.error != 0 ? "NO"
                                                            : "-";
        std::printf("%-15s %-4s %s\n", std::string(capability.name).c_str(), verdict,
                    std::string(capability.how).c_str());
        if (!capability.reason.empty())
            std::printf("%-20s %s\n", "", capability.reason.c_str());
    }
    std::printf("\nnative programs: %s\n",
                findings.native_backend.empty() ? "no backend" : findings.native_backend.c_str());
    if (!findings.native_reason.empty())
        std::printf("%-16s %s\n", "", findings.native_reason.c_str());
    if (!findings.preload.file.empty())
        std::printf("under Wine:      %s%s\n",
                    findings.probe.pagemap_scan ? "" : "inert here, Wine's own tracking stays: ",
                    findings.preload.file.c_str());
    else
        std::printf("under Wine:      not possible: %s\n", findings.preload.reason.c_str());
    std::printf("\n%s\n", answer(findings.probe).c_str());
}

nlohmann::ordered_json optional_text(const std::string& text)
{
    return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

void print_json(const Findings& findings)
{
    nlohmann::ordered_json capabilities = nlohmann::ordered_json::array();
    for (const backend::Capability& capability : findings.probe.capabilities) {
        const char* const name =
            capability.error != 0 ? strerrorname_np(capability.error) : nullptr;
        capabilities.push_back({{"name", capability.name},
                                {"supported", capability.supported},
                                {"errno", capability.error},
                                {"errno_name", optional_text(name != nullptr ? name : "")},
                                {"how", capability.how},
                                {"reason", optional_text(capability.reason)}});
    }
    const nlohmann::ordered_json document{
        {"schema", "writewatch.check/1"},
        {"version", version},
        {"kernel", kernel_release()},
        {"usable", findings.probe.pagemap_scan},
        {"reason", optional_text(findings.probe.reason)},
        {"capabilities", std::move(capabilities)},
        {"native",
         {{"backend", optional_text(findings.native_backend)},
          {"reason", optional_text(findings.native_reason)}}},
        {"wine",
         {{"library", optional_text(findings.preload.file.string())},
          {"reason", optional_text(findings.preload.reason)}}}};
    std::printf("%s\n", document.dump(2).c_str());
}

// Everything else would answer "no backend", and the reason be overlooked.
void refuse_unknown_backend()
{
    const std::string value(sys::environment("WRITEWATCH_BACKEND").value_or("auto"));
    const std::vector<std::string>& words = backend_words();
    if (std::find(words.begin(), words.end(), value) == words.end())
        throw UsageError("WRITEWATCH_BACKEND: unknown value '" + value +
                         "'; allowed: " + join(words));
}

} // namespace

void add_check_command(CLI::App& app, int& exit_code)
{
    const auto json = std::make_shared<bool>(false);
    CLI::App* const verb =
        app.add_subcommand("check", "Whether this kernel can track writes, and why not");
    verb->add_flag("--json", *json, "print one JSON object");
    verb->footer("Exit status: 0 usable, 2 not.");
    verb->callback([json, &exit_code] {
        refuse_unknown_backend();
        const Findings findings = look();
        if (*json)
            print_json(findings);
        else
            print_text(findings);
        exit_code = findings.probe.pagemap_scan ? exit_done : exit_absent;
    });
}

} // namespace writewatch::tool
