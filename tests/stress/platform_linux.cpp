// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/stress/platform.h"

#include <writewatch/win32.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <liburing.h>
#include <memory>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace writewatch::test {

namespace {

// The system does not offer it; what() says why.
class Unavailable : public std::runtime_error {
  public:
    explicit Unavailable(const std::string& what)
        : std::runtime_error(what + ": " + std::strerror(errno))
    {}
};

class File {
  public:
    explicit File(int number) : number_(number) {}
    ~File()
    {
        if (number_ >= 0)
            close(number_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int get() const { return number_; }

  private:
    int number_;
};

struct SocketPair {
    SocketPair() : SocketPair(make()) {}

    File near, far;

  private:
    explicit SocketPair(std::array<int, 2> ends) : near(ends[0]), far(ends[1]) {}
    static std::array<int, 2> make()
    {
        std::array<int, 2> ends{};
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
            fail("socketpair");
        return ends;
    }
};

void send_value(const SocketPair& pair, std::uint64_t value)
{
    if (send(pair.near.get(), &value, sizeof(value), 0) != sizeof(value))
        fail("send");
}

// Bare calls below: sanitizers take recv's and read's own stores for races with the copies.
Way by_recv()
{
    auto pair = std::make_shared<SocketPair>();
    return {"recv", false, sizeof(std::uint64_t), [pair](char* at, std::uint64_t value) {
                send_value(*pair, value);
                if (syscall(SYS_recvfrom, pair->far.get(), at, sizeof(value), 0, nullptr,
                            nullptr) != sizeof(value))
                    fail("recv into watched memory");
            }};
}

Way by_read()
{
    auto pair = std::make_shared<SocketPair>();
    return {"read", false, sizeof(std::uint64_t), [pair](char* at, std::uint64_t value) {
                send_value(*pair, value);
                if (syscall(SYS_read, pair->far.get(), at, sizeof(value)) != sizeof(value))
                    fail("read into watched memory");
            }};
}

Way by_getrandom()
{
    return {"getrandom", false, sizeof(std::uint64_t), [](char* at, std::uint64_t) {
                if (syscall(SYS_getrandom, at, sizeof(std::uint64_t), 0) != sizeof(std::uint64_t))
                    fail("getrandom into watched memory");
            }};
}

// Without registered buffers: those are pinned.
class Ring {
  public:
    Ring()
    {
        if (const int error = io_uring_queue_init(4, &ring_, 0); error != 0) {
            errno = -error;
            throw Unavailable("io_uring");
        }
    }
    ~Ring() { io_uring_queue_exit(&ring_); }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    void write(char* at, std::uint64_t value)
    {
        send_value(pair_, value);
        io_uring_prep_read(io_uring_get_sqe(&ring_), pair_.far.get(), at, sizeof(value), 0);
        io_uring_cqe* done = nullptr;
        if (io_uring_submit_and_wait(&ring_, 1) != 1 || io_uring_wait_cqe(&ring_, &done) != 0 ||
            done->res != sizeof(value))
            fail("io_uring read into watched memory");
        io_uring_cqe_seen(&ring_, done);
    }

  private:
    io_uring ring_{};
    SocketPair pair_;
};

Way by_io_uring()
{
    auto ring = std::make_shared<Ring>();
    return {"io_uring read", false, sizeof(std::uint64_t),
            [ring](char* at, std::uint64_t value) { ring->write(at, value); }};
}

Way by_process_vm_writev()
{
    return {"process_vm_writev", true, sizeof(std::uint64_t), [](char* at, std::uint64_t value) {
                const iovec from{&value, sizeof(value)};
                const iovec to{at, sizeof(value)};
                if (syscall(SYS_process_vm_writev, getpid(), &from, 1, &to, 1, 0) != sizeof(value))
                    fail("process_vm_writev into watched memory");
            }};
}

// The device writes into the page. The file has 64 blocks to choose from.
Way by_direct_io()
{
    constexpr std::size_t block = 4096; // no device wants more
    constexpr std::size_t blocks = 64;
    const char* const temporary = std::getenv("TMPDIR");
    std::string name =
        std::string(temporary != nullptr ? temporary : "/var/tmp") + "/writewatch-direct-XXXXXX";
    const File file(mkstemp(name.data()));
    auto direct = std::make_shared<File>(open(name.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    const int error = errno;
    unlink(name.c_str());
    errno = error;
    if (file.get() < 0 || direct->get() < 0)
        throw Unavailable("O_DIRECT on " + name);
    std::array<char, block> contents{};
    for (std::size_t i = 0; i < blocks; ++i) {
        contents.fill(static_cast<char>('A' + i));
        if (write(file.get(), contents.data(), block) != block)
            throw Unavailable(name);
    }
    fsync(file.get());
    return {"O_DIRECT read", true, block, [direct](char* at, std::uint64_t value) {
                const auto offset = static_cast<off_t>(value % blocks * block);
                if (syscall(SYS_pread64, direct->get(), at, block, offset) != block)
                    fail("O_DIRECT read into watched memory");
            }};
}

// Another process, which writes through /proc/PID/mem what it is asked to.
class Neighbour {
  public:
    Neighbour()
    {
        prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); // where Yama asks for it
        const pid_t parent = getpid();
        child_ = fork();
        if (child_ < 0)
            fail("fork");
        if (child_ == 0)
            serve(parent);
        if (!ask({}))
            throw Unavailable("/proc/PID/mem");
    }
    ~Neighbour()
    {
        shutdown(pair_.near.get(), SHUT_RDWR);
        waitpid(child_, nullptr, 0);
    }
    Neighbour(const Neighbour&) = delete;
    Neighbour& operator=(const Neighbour&) = delete;

    void write(char* at, std::uint64_t value)
    {
        if (!ask({reinterpret_cast<std::uintptr_t>(at), value}))
            fail("/proc/PID/mem: write into watched memory");
    }

  private:
    struct Request {
        std::uintptr_t address; // 0: only say whether the file is open
        std::uint64_t value;
    };

    bool ask(Request request) const
    {
        int error = 0;
        if (send(pair_.near.get(), &request, sizeof(request), 0) != sizeof(request) ||
            recv(pair_.near.get(), &error, sizeof(error), 0) != sizeof(error))
            fail("the process that writes through /proc/PID/mem is gone");
        errno = error;
        return error == 0;
    }

    [[noreturn]] void serve(pid_t parent) const
    {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const std::string name = "/proc/" + std::to_string(parent) + "/mem";
        const int memory = open(name.c_str(), O_RDWR | O_CLOEXEC);
        const int open_error = memory < 0 ? errno : 0;
        Request request{};
        while (recv(pair_.far.get(), &request, sizeof(request), 0) == sizeof(request)) {
            int error = open_error;
            if (error == 0 && request.address != 0 &&
                pwrite(memory, &request.value, sizeof(request.value),
                       static_cast<off_t>(request.address)) != sizeof(request.value))
                error = errno;
            if (send(pair_.far.get(), &error, sizeof(error), 0) != sizeof(error))
                break;
        }
        _exit(0);
    }

    SocketPair pair_;
    pid_t child_ = -1;
};

Way by_neighbour()
{
    auto neighbour = std::make_shared<Neighbour>();
    return {"/proc/PID/mem", true, sizeof(std::uint64_t),
            [neighbour](char* at, std::uint64_t value) { neighbour->write(at, value); }};
}

} // namespace

std::vector<Way> open_ways(std::vector<std::string>& missing)
{
    std::vector<Way> ways;
    for (Way (*const open)() : {by_recv, by_read, by_getrandom, by_io_uring, by_process_vm_writev,
                                by_direct_io, by_neighbour}) {
        try {
            ways.push_back(open());
        } catch (const Unavailable& unavailable) {
            missing.emplace_back(unavailable.what());
        }
    }
    return ways;
}

bool move_contents(char* start, std::size_t bytes, std::size_t choice)
{
    constexpr std::array advice{MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD,
                                25 /* MADV_COLLAPSE, since Linux 6.1; EINVAL while watched */};
    return madvise(start, bytes, advice[choice % advice.size()]) == 0;
}

bool reset_in_fork(char* start, std::size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    // g++ 12's sanitizers do not survive a fork beside other threads: the child can hang in their
    // allocator.
    (void)start, (void)bytes;
    return false;
#endif
    const pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        alarm(60);
        std::array<void*, 64> found{};
        ULONG_PTR entries = found.size();
        ULONG granularity = 0;
        _exit(GetWriteWatch(WRITE_WATCH_FLAG_RESET, start, bytes, found.data(), &entries,
                            &granularity) == 0
                  ? 0
                  : 1);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0)
        fail("a child did not come back");
    return true;
}

void fail(const std::string& what)
{
    std::fprintf(stderr, "FAILED: %s (last error %u, errno %d)\n", what.c_str(), GetLastError(),
                 errno);
    std::fflush(nullptr);
    _exit(1);
}

} // namespace writewatch::test
