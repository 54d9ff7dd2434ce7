// SPDX-License-Identifier: LGPL-2.1-or-later
// The vocabulary of the conformance suite. A rule is one statement about Windows' write watches:
//
//     RULE(query, a_write_is_reported, "Microsoft Learn: GetWriteWatch")
//     {
//         Region region(4);
//         region.write(2);
//         check_equal("pages reported", region.written(), Pages{2});
//     }
//
// Rules do not depend on each other and leave nothing behind. The third argument says who claims
// it:
//  - "Microsoft Learn: <page>"  documented by Microsoft on the page of that name;
//  - "observed ..."             asserted about real Windows by the tests of the project that is
//  named;
//  - "contract ..."             not promised by Windows: what writewatch promises
//  (docs/deviations.md).
#ifndef WRITEWATCH_TESTS_CONFORMANCE_CONFORMANCE_H
#define WRITEWATCH_TESTS_CONFORMANCE_CONFORMANCE_H

#include <writewatch/win32.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conformance {

enum class Platform { native, wine, windows };

/// Where this runs: Linux through libwritewatch-win32, Wine (ntdll has wine_get_version), or
/// Windows.
Platform platform();

/// "native", "wine-8.0", "windows-10.0.19045": for the report.
std::string platform_name();

struct Rule {
    const char* name;   ///< "group.statement"
    const char* source; ///< who claims it
    void (*body)();     ///< null: cannot exist on this platform, for this reason:
    const char* not_applicable;
    const char* file;
    int line;
};

/// All rules, ordered by file and line.
const std::vector<Rule>& rules();

class Registration {
  public:
    explicit Registration(const Rule& rule);
};

// NOLINTBEGIN(bugprone-macro-parentheses): names are pasted
#define RULE(group, statement, source)                                                             \
    static void rule_##group##_##statement();                                                      \
    static const ::conformance::Registration registration_##group##_##statement{                   \
        {#group "." #statement, source, &rule_##group##_##statement, nullptr, __FILE__,            \
         __LINE__}};                                                                               \
    static void rule_##group##_##statement()

/// A rule of the same name exists elsewhere and cannot be asked on this platform.
#define NOT_APPLICABLE(group, statement, reason)                                                   \
    static const ::conformance::Registration registration_##group##_##statement{                   \
        {#group "." #statement, "", nullptr, reason, __FILE__, __LINE__}};
// NOLINTEND(bugprone-macro-parentheses)

/// \name Leaving a rule early
/// @{
struct Skipped {
    std::string reason;
};
struct NotApplicable {
    std::string reason;
};
struct Abandoned {}; ///< a precondition failed and was recorded

/// This machine lacks something that the rule needs (memory, a socket, a Windows version).
[[noreturn]] void skip(std::string reason);

/// The rule makes no sense on this platform (known only when it runs).
[[noreturn]] void not_applicable(std::string reason);
/// @}

/// The rule is known to fail where \p applies; if it passes there, that is reported as a failure.
void todo(bool applies, const std::string& reason);

/// Something worth reading in the report, whatever the outcome.
void note(const std::string& text);

void record_failure(const std::string& message, const char* file, int line);

/// \name Values that print themselves with a name
/// @{
struct Error {
    DWORD value;
    bool operator==(const Error&) const = default;
};
struct Status {
    NTSTATUS value;
    bool operator==(const Status&) const = default;
};
inline constexpr Status status_success{0};
inline constexpr Status status_access_violation{static_cast<NTSTATUS>(0xC0000005)};
inline constexpr Status status_invalid_handle{static_cast<NTSTATUS>(0xC0000008)};
inline constexpr Status status_invalid_parameter{static_cast<NTSTATUS>(0xC000000D)};
inline constexpr Status status_no_memory{static_cast<NTSTATUS>(0xC0000017)};

/// The handle that means this process (NtCurrentProcess, which mingw-w64's headers lack).
inline HANDLE own_process()
{
    return reinterpret_cast<HANDLE>(~std::uintptr_t{0});
}

using Pages = std::vector<std::size_t>; ///< page numbers counted from the start of a region

std::string show(Error error);
std::string show(Status status);
std::string show(const Pages& pages);
std::string show(const void* address);
std::string show(bool value);
std::string show_number(std::uint64_t value);

template<std::unsigned_integral T> std::string show(T value)
{
    return show_number(value);
}
/// @}

/// Records a failure and goes on.
template<typename T>
bool check_equal(std::string_view what, const T& got, const T& expected,
                 const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    if (got == expected)
        return true;
    record_failure(std::string(what) + ": expected " + show(expected) + ", got " + show(got), file,
                   line);
    return false;
}

/// For statements that no pair of values shows better.
inline bool check(std::string_view what, bool holds, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE())
{
    if (!holds)
        record_failure("does not hold: " + std::string(what), file, line);
    return holds;
}

/// A precondition: records a failure and leaves the rule.
inline void require(std::string_view what, bool holds, const char* file = __builtin_FILE(),
                    int line = __builtin_LINE())
{
    if (!check(what, holds, file, line))
        throw Abandoned{};
}

} // namespace conformance

#endif
