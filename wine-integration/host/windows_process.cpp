// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What this process is for Windows: its pid and image, from the blocks that every Windows process
// has in its own memory (their offsets are the 64-bit Windows ABI: programs rely on them). Read
// with care, since the program can write there.
#include "shim/sys/env.h"
#include "shim/sys/process.h"
#include "wine-integration/host/state.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>

namespace writewatch::wine {

namespace {

constexpr std::uintptr_t teb_unique_process = 0x40; // TEB.ClientId.UniqueProcess
constexpr std::uintptr_t teb_peb = 0x60;            // TEB.ProcessEnvironmentBlock
constexpr std::uintptr_t peb_parameters = 0x20;     // PEB.ProcessParameters
constexpr std::uintptr_t parameters_image = 0x60;   // RTL_USER_PROCESS_PARAMETERS.ImagePathName

struct UnicodeString {
    std::uint16_t bytes;
    std::uint16_t capacity;
    std::uint32_t padding;
    std::uint64_t text;
};
static_assert(sizeof(UnicodeString) == 16);

template<typename T> std::optional<T> peek(std::uintptr_t address) noexcept
{
    T value;
    if (!sys::copy_own_memory(address, std::as_writable_bytes(std::span(&value, 1))))
        return std::nullopt;
    return value;
}

// Cut where it does not fit; a lone half of a pair becomes U+FFFD.
void to_utf8(std::span<const char16_t> from, std::span<char> to) noexcept
{
    std::size_t length = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
        char32_t c = from[i];
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < from.size() && from[i + 1] >= 0xdc00 &&
            from[i + 1] < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (from[++i] - 0xdc00U);
        else if (c >= 0xd800 && c < 0xe000)
            c = 0xfffd;
        const unsigned extra = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        if (length + extra + 1 >= to.size())
            break;
        constexpr std::array<unsigned char, 4> first{0, 0xc0, 0xe0, 0xf0};
        to[length++] = static_cast<char>(first[extra] | (c >> (6 * extra)));
        for (unsigned k = extra; k-- > 0;)
            to[length++] = static_cast<char>(0x80 | ((c >> (6 * k)) & 0x3f));
    }
    to[length] = '\0';
}

void read_image(std::uintptr_t teb, std::span<char> image) noexcept
{
    const auto peb = peek<std::uintptr_t>(teb + teb_peb);
    const auto parameters = peb ? peek<std::uintptr_t>(*peb + peb_parameters) : std::nullopt;
    const auto name =
        parameters ? peek<UnicodeString>(*parameters + parameters_image) : std::nullopt;
    if (!name)
        return;
    std::array<char16_t, 512> text{};
    const auto part = std::span(text).first(std::min<std::size_t>(name->bytes / 2, text.size()));
    if (sys::copy_own_memory(name->text, std::as_writable_bytes(part)))
        to_utf8(part, image);
}

} // namespace

void identify_process(registry::WindowsIdentity& identity) noexcept
{
    if (const std::uintptr_t teb = sys::gs_base(); teb != 0) {
        identity.windows_pid =
            static_cast<std::uint32_t>(peek<std::uint64_t>(teb + teb_unique_process).value_or(0));
        read_image(teb, identity.image);
    }
    // As Wine finds it; the directory itself tells prefixes apart, however it is spelled.
    if (const auto prefix = sys::environment("WINEPREFIX"))
        registry::set_text(identity.prefix, *prefix);
    else if (const auto home = sys::environment("HOME"))
        std::snprintf(identity.prefix.data(), identity.prefix.size(), "%.*s/.wine",
                      static_cast<int>(home->size()), home->data());
    if (const auto id = sys::directory_id(identity.prefix.data())) {
        identity.prefix_device = id->device;
        identity.prefix_inode = id->inode;
    }
}

} // namespace writewatch::wine
