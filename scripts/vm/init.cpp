// SPDX-License-Identifier: LGPL-2.1-or-later
//
// PID 1 of the guests of scripts/vmtest. Mounts what programs expect, loads the
// modules it finds in its initramfs, runs one command and powers off.
//
// The command's output and its exit status leave the guest through virtio-serial
// ports of their own: the console carries the kernel log and nothing else, so
// neither can be mistaken for the other, and a guest that dies has no status.
//
// What to do is in /vmtest/: `argv` and `env` (strings that end in NUL), `modules`
// (paths, one a line, in load order), `setup` (lines "write PATH VALUE"), `root`
// (present: the host's root file system over 9p is the command's root), `keep` (its directories
// that must stay visible although they are in /tmp or /run), `disk` (present: the first disk has an
// ext4 file system, the command's working directory) and `cwd`.

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

// A guest that cannot even start the command has no status to report: the host
// sees a guest that ended without one, and the reason on the console.
[[noreturn]] void give_up(const std::string& what)
{
    std::fprintf(stderr, "vmtest-init: %s: %s\n", what.c_str(), std::strerror(errno));
    std::fflush(stderr);
    sync();
    reboot(RB_POWER_OFF);
    _exit(1);
}

std::string read_file(const char* path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> split(const std::string& text, char separator)
{
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

void mount_or_give_up(const char* type, const std::string& where, const char* source = "none",
                      const char* options = "", unsigned long flags = 0)
{
    mkdir(where.c_str(), 0755);
    if (mount(source, where.c_str(), type, flags, options) != 0) {
        give_up("mount " + std::string(type) + " on " + where);
    }
}

void mount_system(const std::string& root)
{
    mount_or_give_up("proc", root + "/proc");
    mount_or_give_up("sysfs", root + "/sys");
    mount_or_give_up("devtmpfs", root + "/dev");
    // Without the host's root all of the guest is writable memory, and the files that were put
    // there must stay visible.
    if (!root.empty()) {
        mount_or_give_up("tmpfs", root + "/tmp", "none", "mode=1777");
        mount_or_give_up("tmpfs", root + "/run");
    }
    mount_or_give_up("tmpfs", root + "/dev/shm", "none", "mode=1777");
    mount_or_give_up("devpts", root + "/dev/pts", "none", "ptmxmode=0666");
    // Absent from small configurations, and only some tests need it
    mount("none", (root + "/sys/kernel/debug").c_str(), "debugfs", 0, "");
}

void make_directories(const std::string& path)
{
    for (size_t slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
        mkdir(path.substr(0, slash).c_str(), 0755);
    }
    mkdir(path.c_str(), 0755);
}

// The host's root file system as the command's: read-only, with file systems of the guest's own
// where the system and temporary files are.
void mount_host()
{
    mount_or_give_up("9p", "/host", "host",
                     "trans=virtio,version=9p2000.L,cache=loose,msize=262144", MS_RDONLY);
    mount_or_give_up("", "/plain", "/host", "", MS_BIND);
    mount_system("/host");
    for (const auto& directory : split(read_file("/vmtest/keep"), '\n')) {
        make_directories("/host" + directory);
        mount_or_give_up("", "/host" + directory, ("/plain" + directory).c_str(), "", MS_BIND);
    }
}

void load_modules()
{
    for (const auto& path : split(read_file("/vmtest/modules"), '\n')) {
        const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            give_up("open " + path);
        }
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) {
            give_up("load " + path);
        }
        close(fd);
    }
}

// The kernel finds the ports' names a moment after the driver is there.
int open_port(const std::string& wanted)
{
    for (int attempt = 0; attempt < 200; ++attempt) {
        if (DIR* ports = opendir("/sys/class/virtio-ports")) {
            while (const dirent* port = readdir(ports)) {
                const std::string directory = port->d_name;
                const auto name =
                    read_file(("/sys/class/virtio-ports/" + directory + "/name").c_str());
                if (name == wanted + "\n") {
                    const int fd = open(("/dev/" + directory).c_str(), O_WRONLY | O_CLOEXEC);
                    if (fd >= 0) {
                        closedir(ports);
                        return fd;
                    }
                }
            }
            closedir(ports);
        }
        usleep(50'000);
    }
    errno = ENODEV;
    give_up("virtio-serial port " + wanted);
}

void write_all(int fd, const std::string& text)
{
    for (size_t done = 0; done < text.size();) {
        const ssize_t n = write(fd, text.data() + done, text.size() - done);
        if (n < 0 && errno != EINTR) {
            give_up("write");
        }
        done += n > 0 ? static_cast<size_t>(n) : 0;
    }
}

// Lines "write PATH VALUE", for what the kernel command line cannot set.
void apply_setup()
{
    for (const auto& line : split(read_file("/vmtest/setup"), '\n')) {
        std::istringstream words(line);
        std::string verb;
        std::string path;
        std::string value;
        words >> verb >> path >> std::ws;
        std::getline(words, value);
        if (verb != "write") {
            errno = EINVAL;
            give_up("setup: " + line);
        }
        const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
            give_up("setup: " + line);
        }
        close(fd);
    }
}

// The loopback interface; small configurations have no network, and only some tests need it.
void start_loopback()
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

std::vector<char*> pointers(std::vector<std::string>& strings)
{
    std::vector<char*> result;
    for (auto& string : strings) {
        result.push_back(string.data());
    }
    result.push_back(nullptr);
    return result;
}

// errno of a failed exec as the shells report it: 127 not found, 126 otherwise
[[noreturn]] void run_command(int output, int error)
{
    auto arguments = split(read_file("/vmtest/argv"), '\0');
    auto environment = split(read_file("/vmtest/env"), '\0');
    const std::string directory = read_file("/vmtest/cwd");

    const bool on_disk = access("/vmtest/disk", F_OK) == 0;
    if (access("/vmtest/root", F_OK) == 0 && chroot("/host") != 0) {
        give_up("chroot");
    }
    if (on_disk) {
        if (chdir("/tmp/disk") != 0) {
            give_up("chdir to the disk");
        }
    } else if (chdir(directory.c_str()) != 0 && chdir("/") != 0) {
        give_up("chdir");
    }
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (input < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error, 2) < 0) {
        give_up("standard streams");
    }
    setsid();

    auto argv = pointers(arguments);
    auto envp = pointers(environment);
    execve(argv[0], argv.data(), envp.data());
    std::fprintf(stderr, "vmtest-init: %s: %s\n", argv[0], std::strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

} // namespace

int main()
{
    mount_system("");
    load_modules();

    if (access("/vmtest/root", F_OK) == 0) {
        mount_host();
    }

    if (access("/vmtest/disk", F_OK) == 0) {
        const bool in_host = access("/vmtest/root", F_OK) == 0;
        mount_or_give_up("ext4", in_host ? "/host/tmp/disk" : "/tmp/disk", "/dev/vda");
    }

    const int output = open_port("stdout");
    const int error = open_port("stderr");
    const int status = open_port("status");
    apply_setup();
    start_loopback();

    utsname name{};
    uname(&name);
    write_all(status, std::string("kernel ") + name.release + "\n");

    const pid_t command = fork();
    if (command < 0) {
        give_up("fork");
    }
    if (command == 0) {
        run_command(output, error);
    }

    // Orphans of the command end here too; only the command itself decides.
    for (;;) {
        int state = 0;
        const pid_t pid = wait(&state);
        if (pid < 0) {
            give_up("wait");
        }
        if (pid != command) {
            continue;
        }
        const bool exited = WIFEXITED(state);
        write_all(status, (exited ? "exit " : "signal ") +
                              std::to_string(exited ? WEXITSTATUS(state) : WTERMSIG(state)) + "\n");
        break;
    }

    sync();
    reboot(RB_POWER_OFF);
    give_up("power off");
}
