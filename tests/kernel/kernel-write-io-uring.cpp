// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A plain io_uring read into clean pages is a write like any other. A read into a *registered*
// buffer is not seen: its pages were pinned when it was registered, and nothing asks the page table
// again. That limit is any user's of PAGEMAP_SCAN, and documented.
#include "support.h"

#include <linux/io_uring.h>
#include <sys/uio.h>

using namespace kerneltest;

namespace {

// One request at a time, without a library: the two rings as the kernel lays them out.
class Ring {
  public:
    Ring()
    {
        io_uring_params parameters{};
        fd_ = static_cast<int>(syscall(SYS_io_uring_setup, 1, &parameters));
        if (fd_ < 0)
            skip("io_uring_setup: %s", std::strerror(errno));
        submission_ = map(parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned),
                          IORING_OFF_SQ_RING);
        completion_ = map(parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe),
                          IORING_OFF_CQ_RING);
        entries_ = reinterpret_cast<io_uring_sqe*>(
            map(parameters.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES));
        parameters_ = parameters;
    }
    ~Ring() { close(fd_); }
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    void register_buffer(void* start, std::size_t size) const
    {
        const iovec buffer = {start, size};
        if (syscall(SYS_io_uring_register, fd_, IORING_REGISTER_BUFFERS, &buffer, 1) != 0)
            skip("IORING_REGISTER_BUFFERS: %s", std::strerror(errno));
    }

    // The result of the request: bytes, or -errno.
    [[nodiscard]] int read(unsigned char operation, int file, void* target, unsigned size) const
    {
        unsigned* const tail = number(submission_, parameters_.sq_off.tail);
        const unsigned index = *tail & *number(submission_, parameters_.sq_off.ring_mask);
        io_uring_sqe& entry = entries_[index];
        entry = {};
        entry.opcode = operation;
        entry.fd = file;
        entry.addr = reinterpret_cast<std::uintptr_t>(target);
        entry.len = size;
        number(submission_, parameters_.sq_off.array)[index] = index;
        __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
        if (syscall(SYS_io_uring_enter, fd_, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) != 1)
            die("io_uring_enter");
        unsigned* const head = number(completion_, parameters_.cq_off.head);
        if (__atomic_load_n(number(completion_, parameters_.cq_off.tail), __ATOMIC_ACQUIRE) ==
            *head)
            die("io_uring: no completion");
        const auto* const results =
            reinterpret_cast<const io_uring_cqe*>(completion_ + parameters_.cq_off.cqes);
        const int result = results[*head & *number(completion_, parameters_.cq_off.ring_mask)].res;
        __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
        return result;
    }

  private:
    [[nodiscard]] char* map(std::size_t size, std::uint64_t what) const
    {
        void* const address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                                   fd_, static_cast<off_t>(what));
        if (address == MAP_FAILED)
            die("mmap of the ring");
        return static_cast<char*>(address); // goes with the process
    }
    static unsigned* number(char* ring, unsigned offset)
    {
        return reinterpret_cast<unsigned*>(ring + offset);
    }

    int fd_ = -1;
    io_uring_params parameters_{};
    char* submission_ = nullptr;
    char* completion_ = nullptr;
    io_uring_sqe* entries_ = nullptr;
};

} // namespace

int main()
{
    { // PAGEMAP_SCAN first: its absence may be a failure
        const Tracker tracker;
    }
    const Ring ring;
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        die("/proc/self/exe");
    expect_write_is_reported(
        [&](char* page) { CHECK_EQ(ring.read(IORING_OP_READ, file, page, page_size), page_size); });

    const Tracker tracker;
    const Memory memory(2);
    tracker.watch(memory);
    memory.write_all();
    ring.register_buffer(memory.start(), memory.size());
    tracker.get_and_reset(memory);
    CHECK_EQ(ring.read(IORING_OP_READ_FIXED, file, memory.page(1), page_size), page_size);
    CHECK_EQ(memory.read(1), 0x7f); // ELF: the data did arrive
    note("a read into a registered buffer, page 1: %s", to_string(tracker.get(memory)).c_str());
    return finish();
}
