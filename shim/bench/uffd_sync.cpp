// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Synchronous userfaultfd write-protect: each first write stops its thread until a handler thread
// has noted it in a byte per page and lets it go on.
#include "shim/bench/peers.h"

#include <cerrno>
#include <cstdint>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

#include "abi/linux/userfaultfd.h"
#include "shim/bench/byte_table.h"
#include "shim/bench/kernel_tracking.h"
#include "shim/bench/memory.h"

namespace bench {

namespace {

class UffdSync : public Peer {
  public:
    UffdSync() : stop_(eventfd(0, EFD_CLOEXEC)), handler_([this] { handle(); })
    {
        if (stop_ < 0)
            die("eventfd", errno);
    }
    ~UffdSync() override
    {
        const std::uint64_t one = 1;
        if (write(stop_, &one, sizeof one) != sizeof one)
            die("eventfd", errno);
        handler_.join();
        close(stop_);
    }

    std::string_view name() const override { return "uffd-sync"; }

    char* allocate(std::size_t bytes) override { return map(bytes, PROT_READ | PROT_WRITE); }
    char* reserve(std::size_t bytes) override { return map(bytes, PROT_NONE); }
    void commit(char* base, std::size_t bytes) override { allow_access(base, bytes); }
    void release(char* base, std::size_t bytes) override
    {
        unmap_memory(base, bytes);
        table_.set(base, bytes, not_watched);
    }

    std::size_t get(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        char* end = nullptr;
        return table_.collect(base, bytes, out, capacity, end);
    }
    // A page that is written while this runs is marked by the handler before it becomes writable:
    // protected again here, it stays marked.
    std::size_t get_reset(char* base, std::size_t bytes, void** out, std::size_t capacity) override
    {
        char* end = nullptr;
        const std::size_t count = table_.collect(base, bytes, out, capacity, end);
        for (std::size_t i = 0; i < count; ++i)
            table_.of(out[i]).store(clean);
        if (count > 0)
            protect(static_cast<char*>(out[0]), static_cast<char*>(out[count - 1]) + page_size);
        return count;
    }
    void reset(char* base, std::size_t bytes) override
    {
        table_.make_clean(base, base + bytes,
                          [this](char* first, char* last) { protect(first, last); });
    }

  private:
    char* map(std::size_t bytes, int protection)
    {
        char* const base = map_memory(bytes, protection);
        table_.set(base, bytes, clean);
        userfaultfd_.watch(base, bytes);
        userfaultfd_.protect(base, bytes);
        return base;
    }

    void protect(char* first, char* last) const
    {
        userfaultfd_.protect(first, static_cast<std::size_t>(last - first));
    }

    void handle()
    {
        pollfd files[] = {{userfaultfd_.fd(), POLLIN, 0}, {stop_, POLLIN, 0}};
        for (;;) {
            if (poll(files, 2, -1) < 0 && errno != EINTR)
                die("poll", errno);
            if (files[1].revents != 0)
                return;
            uffd_msg message;
            if (files[0].revents == 0 ||
                read(userfaultfd_.fd(), &message, sizeof message) != sizeof message)
                continue;
            if (message.event != UFFD_EVENT_PAGEFAULT)
                continue;
            const auto address = static_cast<std::uintptr_t>(message.arg.pagefault.address);
            auto* const page = reinterpret_cast<char*>(address & ~(page_size - 1));
            table_.of(page).store(written);
            userfaultfd_.unprotect(page, page_size);
        }
    }

    ByteTable table_;
    WriteProtectFd userfaultfd_{writewatch::abi::uffd_feature_wp_unpopulated |
                                UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    int stop_;
    std::thread handler_;
};

} // namespace

std::unique_ptr<Peer> make_uffd_sync()
{
    return std::make_unique<UffdSync>();
}

} // namespace bench
