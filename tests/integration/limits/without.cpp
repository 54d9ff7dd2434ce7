// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Usage: without [--container] [CALL=ERRNO]... -- COMMAND [ARGUMENT]...
//
// Runs a command under a seccomp filter. CALL answers ERRNO: a system call by its name, or a
// request of ioctl: PAGEMAP_SCAN, UFFDIO_API, UFFDIO_REGISTER. --container: a filter like that of
// Docker's default profile, an allow-list without what concerns the whole machine: what is known
// and not allowed answers EPERM, what is newer ENOSYS.
#include "abi/linux/pagemap_scan.h"
#include "abi/linux/userfaultfd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <seccomp.h>
#include <string>
#include <string_view>
#include <unistd.h>

namespace {

// docs.docker.com, "Seccomp security profiles for Docker", the table of blocked calls.
constexpr std::array blocked_in_containers{
    "acct",
    "add_key",
    "bpf",
    "clock_adjtime",
    "clock_settime",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "get_mempolicy",
    "init_module",
    "ioperm",
    "iopl",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "mbind",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "name_to_handle_at",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "set_mempolicy",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "sysfs",
    "umount2",
    "unshare",
    "uselib",
    "userfaultfd",
    "ustat",
};

struct Request {
    const char* name;
    unsigned long number;
};
constexpr std::array requests{
    Request{"PAGEMAP_SCAN", writewatch::abi::pagemap_scan_request},
    Request{"UFFDIO_API", UFFDIO_API},
    Request{"UFFDIO_REGISTER", UFFDIO_REGISTER},
};

[[noreturn]] void fail(const std::string& what)
{
    std::fprintf(stderr, "without: %s\n", what.c_str());
    std::exit(64);
}

int number_of_error(const std::string& name)
{
    for (int error = 1; error < 134; ++error) {
        const char* const known = strerrorname_np(error);
        if (known != nullptr && name == known)
            return error;
    }
    fail("no error " + name);
}

void add(scmp_filter_ctx filter, std::string_view rule)
{
    const std::size_t equals = rule.find('=');
    if (equals == std::string_view::npos)
        fail("CALL=ERRNO, not " + std::string(rule));
    const std::string call(rule.substr(0, equals));
    const auto error =
        static_cast<std::uint32_t>(number_of_error(std::string(rule.substr(equals + 1))));
    for (const Request& request : requests) {
        if (call != request.name)
            continue;
        // The kernel reads the request as 32 bits.
        const scmp_arg_cmp same = SCMP_A1_32(SCMP_CMP_EQ, request.number);
        if (seccomp_rule_add_exact_array(filter, SCMP_ACT_ERRNO(error), SCMP_SYS(ioctl), 1,
                                         &same) != 0)
            fail("cannot add " + call);
        return;
    }
    const int number = seccomp_syscall_resolve_name(call.c_str());
    if (number < 0 || seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), number, 0) != 0)
        fail("no call " + call);
}

void be_container(scmp_filter_ctx filter)
{
    // Numbers that this libseccomp does not know are newer.
    for (int number = 0; number < 600; ++number) {
        const std::unique_ptr<char, void (*)(void*)> name(
            seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &std::free);
        if (name == nullptr)
            continue;
        const bool blocked =
            std::any_of(blocked_in_containers.begin(), blocked_in_containers.end(),
                        [&](const char* one) { return std::strcmp(one, name.get()) == 0; });
        if (seccomp_rule_add(filter, blocked ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW, number, 0) !=
            0)
            fail(std::string("cannot add ") + name.get());
    }
}

} // namespace

int main(int argc, char** argv)
{
    int at = 1;
    const bool container = at < argc && std::strcmp(argv[at], "--container") == 0;
    at += container ? 1 : 0;
    scmp_filter_ctx filter = seccomp_init(container ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW);
    if (filter == nullptr)
        fail("seccomp_init");
    if (container)
        be_container(filter);
    for (; at < argc && std::strcmp(argv[at], "--") != 0; ++at)
        add(filter, argv[at]);
    if (++at >= argc)
        fail("no command");
    if (seccomp_load(filter) != 0)
        fail("seccomp_load");
    execvp(argv[at], argv + at);
    fail(std::string(argv[at]) + ": " + std::strerror(errno));
}
