// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The design of Wine 8.0: watched pages are read-only until their first write, whose SIGSEGV makes
// them writable and is noted in a byte per page, all under one global lock. A reset protects what
// lies between the first and the last written page with one call; the kernel merges the mappings.
#include "shim/bench/peers.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <sys/mman.h>

#include "shim/bench/byte_table.h"
#include "shim/bench/memory.h"

namespace bench {

namespace {

class Mprotect;
Mprotect* instance = nullptr;

class Mprotect : public Peer {
  public:
    Mprotect()
    {
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigemptyset(&action.sa_mask);
        if (sigaction(SIGSEGV, &action, &earlier_) != 0)
            die("sigaction", errno);
        instance = this;
    }
    ~Mprotect() override
    {
        sigaction(SIGSEGV, &earlier_, nullptr);
        instance = nullptr;
    }

    std::string_view name() const override { return "mprotect"; }

    char* allocate(std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        char* const base = map_memory(bytes, PROT_READ);
        table_.set(base, bytes, clean);
        return base;
    }
    char* reserve(std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        return map_memory(bytes, PROT_NONE);
    }
    void commit(char* base, std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        protect(base, base + bytes);
        table_.set(base, bytes, clean);
    }
    void release(char* base, std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        unmap_memory(base, bytes);
        table_.set(base, bytes, not_watched);
    }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        const std::lock_guard lock(lock_);
        char* end = nullptr;
        return table_.collect(base, bytes, out, capacity, end);
    }
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        const std::lock_guard lock(lock_);
        char* end = nullptr;
        const std::size_t count = table_.collect(base, bytes, out, capacity, end);
        if (count > 0)
            make_clean(base, end);
        return count;
    }
    void reset(char* base, std::size_t bytes) override
    {
        const std::lock_guard lock(lock_);
        make_clean(base, base + bytes);
    }

    std::string take_limit() override
    {
        return out_of_mappings_.exchange(false) ? "needs more mappings than vm.max_map_count allows"
                                                : "";
    }

  private:
    void make_clean(char* base, char* end)
    {
        table_.make_clean(base, end, [this](char* first, char* last) { protect(first, last); });
    }

    void protect(char* first, char* last)
    {
        if (mprotect(first, static_cast<std::size_t>(last - first), PROT_READ) == 0)
            return;
        if (errno != ENOMEM)
            die("mprotect", errno);
        out_of_mappings_ = true;
    }

    // True when the write can be tried again.
    bool note_write(char* page)
    {
        const std::lock_guard lock(lock_);
        const std::uint8_t state = table_.of(page).load(std::memory_order_relaxed);
        if (state == not_watched)
            return false;
        table_.of(page).store(written, std::memory_order_relaxed);
        if (mprotect(page, page_size, PROT_READ | PROT_WRITE) == 0)
            return true;
        if (errno != ENOMEM)
            return false;
        // What the design cannot do: the measurement is void, and the program must go on. Wider
        // stretches join their neighbours and need no mapping.
        out_of_mappings_ = true;
        for (std::size_t width = 2; width <= 4096; width *= 2) {
            char* const start = page - reinterpret_cast<std::uintptr_t>(page) % (width * page_size);
            if (table_.of(start).load(std::memory_order_relaxed) == not_watched ||
                table_.of(start + (width - 1) * page_size).load(std::memory_order_relaxed) ==
                    not_watched)
                return false;
            table_.set(start, width * page_size, written);
            if (mprotect(start, width * page_size, PROT_READ | PROT_WRITE) == 0)
                return true;
        }
        return false;
    }

    static void on_fault(int signal, siginfo_t* info, void*)
    {
        const int saved = errno;
        const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
        auto* const page = reinterpret_cast<char*>(address & ~(page_size - 1));
        if (info->si_code != SEGV_ACCERR || !instance->note_write(page)) {
            std::signal(signal, SIG_DFL); // the instruction runs again, and ends the process
        }
        errno = saved;
    }

    std::mutex lock_;
    ByteTable table_;
    std::atomic<bool> out_of_mappings_{false};
    struct sigaction earlier_ {};
};

} // namespace

std::unique_ptr<Peer> make_mprotect()
{
    return std::make_unique<Mprotect>();
}

} // namespace bench
