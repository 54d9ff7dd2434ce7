// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A collector in one process, its heap in another. The other writes to its memory from several
// threads and changes its protection; this one asks by NtGetWriteWatch with reset which pages were
// written, and copies those. At the end both are equal: no write was lost. Builds natively and for
// Windows.
//
// Usage: collector-elsewhere [SECONDS]               starts itself as the other process
//        collector-elsewhere --heap SECONDS PAGES    what it starts; prints its pid and the heap's
//        address
#include <writewatch/win32.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#ifdef _WIN32
static DWORD own_pid()
{
    return GetCurrentProcessId();
}
#define popen _popen
#define pclose _pclose
#else
#include <csignal>
#include <sys/uio.h>
#include <unistd.h>
static DWORD own_pid()
{
    return static_cast<DWORD>(getpid());
}
#endif

namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t heap_pages = 2048;

[[noreturn]] void give_up(const char* what)
{
    std::fprintf(stderr, "failed: %s (error %lu)\n", what,
                 static_cast<unsigned long>(GetLastError()));
    std::exit(1);
}

// --- the other process ---

int heap(int seconds, std::size_t pages)
{
    auto* const base = static_cast<unsigned char*>(VirtualAlloc(
        nullptr, pages * page_size, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE));
    // What the collector is to see when there is no more to come.
    auto* const ended = static_cast<volatile unsigned char*>(
        VirtualAlloc(nullptr, page_size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    if (base == nullptr || ended == nullptr)
        give_up("VirtualAlloc");
    std::printf("heap %lu %llu %llu\n", static_cast<unsigned long>(own_pid()),
                static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(base)),
                static_cast<unsigned long long>(
                    reinterpret_cast<std::uintptr_t>(const_cast<unsigned char*>(ended))));
    std::fflush(stdout);

    std::atomic<bool> stop{false};
    std::vector<std::thread> mutators;
    for (unsigned t = 0; t < 2; ++t) {
        mutators.emplace_back([&, t] {
            std::mt19937 random(t);
            for (unsigned n = 0; !stop; ++n) {
                const std::size_t at = random() % (pages * page_size);
                // Each its own bytes: the last value stays.
                base[at / 2 * 2 + t] = static_cast<unsigned char>(n);
                if (n % 256 == 0)
                    std::this_thread::sleep_for(std::chrono::microseconds(200));
            }
        });
    }
    mutators.emplace_back([&] {
        std::mt19937 random(7);
        while (!stop) {
            DWORD old = 0;
            const std::size_t first = random() % (pages - 64);
            if (!VirtualProtect(base + first * page_size, 64 * page_size, PAGE_READWRITE, &old))
                give_up("VirtualProtect");
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    stop = true;
    for (std::thread& mutator : mutators)
        mutator.join();
    *ended = 1;
    std::this_thread::sleep_for(std::chrono::seconds(2)); // the collector has a last look
    *ended = 2;
    std::this_thread::sleep_for(std::chrono::seconds(20)); // until its parent has closed the pipe
    return 0;
}

// --- the collector ---

class Other {
  public:
    explicit Other(DWORD pid)
        : pid_(pid),
          handle_(OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_OPERATION |
                                  0x0010 /* PROCESS_VM_READ */ | 0x0001 /* PROCESS_TERMINATE */,
                              FALSE, pid))
    {
        if (handle_ == nullptr)
            give_up("OpenProcess");
    }
    HANDLE get() const { return handle_; }

    bool read(std::uintptr_t from, void* to, std::size_t bytes) const
    {
#ifdef _WIN32
        SIZE_T done = 0;
        return ReadProcessMemory(handle_, reinterpret_cast<void*>(from), to, bytes, &done) &&
               done == bytes;
#else
        const iovec local{to, bytes};
        const iovec remote{reinterpret_cast<void*>(from), bytes};
        return process_vm_readv(static_cast<pid_t>(pid_), &local, 1, &remote, 1, 0) ==
               static_cast<ssize_t>(bytes);
#endif
    }

    void end() const
    {
#ifdef _WIN32
        TerminateProcess(handle_, 0);
#else
        kill(static_cast<pid_t>(pid_), SIGKILL);
#endif
    }

  private:
    DWORD pid_;
    HANDLE handle_;
};

int collect(const char* program, int seconds)
{
    const std::string command = std::string("\"") + program + "\" --heap " +
                                std::to_string(seconds) + " " + std::to_string(heap_pages);
    FILE* const output = popen(command.c_str(), "r");
    char line[256] = "";
    unsigned long pid = 0;
    unsigned long long heap_address = 0;
    unsigned long long ended_address = 0;
    if (output == nullptr || std::fgets(line, sizeof line, output) == nullptr ||
        std::sscanf(line, "heap %lu %llu %llu", &pid, &heap_address, &ended_address) != 3)
        give_up("start the other process");
    const auto base = static_cast<std::uintptr_t>(heap_address);
    const Other other(static_cast<DWORD>(pid));

    std::vector<unsigned char> shadow(heap_pages * page_size);
    std::size_t collections = 0;
    std::size_t copied = 0;
    for (bool last = false;; ++collections) {
        unsigned char ended = 0;
        if (!other.read(static_cast<std::uintptr_t>(ended_address), &ended, 1))
            give_up("read the other process");
        if (ended == 2)
            give_up("the collector was too slow");
        last = ended == 1;
        // A small array, asked again from where it ended, as collectors do.
        for (std::size_t next = 0; next < heap_pages;) {
            void* pages[100];
            ULONG_PTR count = 100;
            ULONG granularity = 0;
            const NTSTATUS status =
                NtGetWriteWatch(other.get(), WRITE_WATCH_FLAG_RESET,
                                reinterpret_cast<void*>(base + next * page_size),
                                (heap_pages - next) * page_size, pages, &count, &granularity);
            if (status != 0) {
                std::fprintf(stderr, "failed: NtGetWriteWatch: %lx\n",
                             static_cast<unsigned long>(static_cast<ULONG>(status)));
                other.end();
                return 1;
            }
            for (ULONG_PTR i = 0; i < count; ++i) {
                const auto page = reinterpret_cast<std::uintptr_t>(pages[i]);
                if (page < base + next * page_size || page >= base + heap_pages * page_size ||
                    page % page_size != 0)
                    give_up("a page out of order or out of the range");
                if (!other.read(page, shadow.data() + (page - base), page_size))
                    give_up("read a page");
                next = (page - base) / page_size + 1;
            }
            copied += count;
            if (count < 100)
                break;
        }
        if (last)
            break;
    }
    std::vector<unsigned char> truth(shadow.size());
    for (std::size_t i = 0; i < heap_pages; ++i) {
        if (!other.read(base + i * page_size, truth.data() + i * page_size, page_size))
            give_up("read the heap");
    }
    other.end();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < heap_pages; ++i)
        wrong += std::memcmp(&truth[i * page_size], &shadow[i * page_size], page_size) != 0;
    std::printf("%llu collections copied %llu pages; %llu of %llu pages differ\n",
                collections + 1ULL, static_cast<unsigned long long>(copied),
                static_cast<unsigned long long>(wrong),
                static_cast<unsigned long long>(heap_pages));
    pclose(output);
    return wrong == 0 && copied > heap_pages ? 0 : 1;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 4 && std::strcmp(argv[1], "--heap") == 0)
        return heap(std::atoi(argv[2]), static_cast<std::size_t>(std::atoll(argv[3])));
    return collect(argv[0], argc > 1 ? std::atoi(argv[1]) : 3);
}
