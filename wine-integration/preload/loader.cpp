// SPDX-License-Identifier: LGPL-2.1-or-later
//
// libwritewatch-wine.so: the part that sits in LD_PRELOAD, and so in every process of a Wine
// session: shells, wineserver, native helpers. There it is one interposed function that jumps on,
// without a constructor, an allocation or the C++ library. When Wine's loader opens ntdll.so, the
// part that knows what to do with it (wine-integration/host) is loaded from beside this file.
//
// glibc's dlopen searches the RUNPATH of the library that its return address lies in. A wrapper
// would be that library, so calls that are not ours leave by a jump, with the caller's registers
// and return address as they came.
#include <array>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string_view>
#include <sys/auxv.h>
#include <unistd.h>

namespace {

using Dlopen = void*(const char*, int);
using Activate = void(void* ntdll);

constexpr std::string_view host_library = "libwritewatch-wine-host.so";
constexpr const char* activate_symbol = "writewatch_wine_activate";

Dlopen* next_dlopen()
{
    // Not cached: a lookup costs less than a microsecond, and there is nothing to synchronise.
    return reinterpret_cast<Dlopen*>(dlsym(RTLD_NEXT, "dlopen"));
}

// Wine's loader passes a full path ("…/x86_64-unix/ntdll.so", or "dlls/ntdll/ntdll.so" in a build
// tree). A bare name would need the caller's RUNPATH, and no Wine uses one.
bool names_ntdll(const char* path)
{
    if (path == nullptr)
        return false;
    const char* slash = std::strrchr(path, '/');
    return slash != nullptr && std::strcmp(slash, "/ntdll.so") == 0;
}

void say(std::string_view text)
{
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

void* open_host()
{
    Dl_info self;
    if (dladdr(reinterpret_cast<void*>(&open_host), &self) == 0)
        return nullptr;
    const std::string_view path = self.dli_fname;
    // A relative path was meant for the directory that ld.so ran in; by now it may be another one,
    // with somebody else's library in it.
    if (!path.starts_with('/'))
        return nullptr;
    const std::size_t directory = path.rfind('/') + 1;
    std::array<char, 4096> host_path;
    if (directory + host_library.size() >= host_path.size())
        return nullptr;
    std::memcpy(host_path.data(), path.data(), directory);
    std::memcpy(host_path.data() + directory, host_library.data(), host_library.size());
    host_path[directory + host_library.size()] = '\0';
    return next_dlopen()(host_path.data(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

void* open_ntdll(const char* path, int flags)
{
    void* ntdll = next_dlopen()(path, flags);
    if (ntdll == nullptr)
        return nullptr;
    // Whoever started a privileged program must not change how it works: nothing of ours is loaded.
    if (getauxval(AT_SECURE) != 0) {
        say("writewatch: wine: inert: the process is privileged (AT_SECURE)\n");
        return ntdll;
    }
    void* host = open_host();
    auto* activate =
        host != nullptr ? reinterpret_cast<Activate*>(dlsym(host, activate_symbol)) : nullptr;
    if (activate != nullptr)
        activate(ntdll);
    else
        say("writewatch: wine: inert: libwritewatch-wine-host.so cannot be loaded from beside "
            "libwritewatch-wine.so (which LD_PRELOAD must name by its full path)\n");
    return ntdll;
}

} // namespace

// The function that this call of dlopen is to continue in.
extern "C" [[gnu::used]] void* writewatch_dlopen_target(const char* path)
{
    return reinterpret_cast<void*>(names_ntdll(path) ? &open_ntdll : next_dlopen());
}

asm(R"(
    .text
    .p2align 4
    .globl dlopen
    .type dlopen, @function
dlopen:
    .cfi_startproc
    endbr64
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call writewatch_dlopen_target
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    jmp *%rax
    .cfi_endproc
    .size dlopen, .-dlopen
)");
