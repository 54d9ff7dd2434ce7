// SPDX-License-Identifier: LGPL-2.1-or-later
//
// userfaultfd and PAGEMAP_SCAN as a program would use them by hand.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bench {

// A userfaultfd for write-protect tracking. Throws Unavailable.
class WriteProtectFd {
  public:
    explicit WriteProtectFd(std::uint64_t features);
    ~WriteProtectFd();
    WriteProtectFd(const WriteProtectFd&) = delete;
    WriteProtectFd& operator=(const WriteProtectFd&) = delete;

    int fd() const { return fd_; }
    void watch(char* base, std::size_t bytes) const;
    // Arms or disarms every page, populated or not.
    void protect(char* base, std::size_t bytes) const;
    void unprotect(char* base, std::size_t bytes) const;

  private:
    int fd_;
};

// What a scan asks for, in the words of struct pm_scan_arg.
struct ScanMasks {
    std::uint64_t category;
    std::uint64_t inverted;
    std::uint64_t any_of;
};

// Throws Unavailable where the kernel does not have PAGEMAP_SCAN.
class PagemapFd {
  public:
    PagemapFd();
    ~PagemapFd();
    PagemapFd(const PagemapFd&) = delete;
    PagemapFd& operator=(const PagemapFd&) = delete;

    // The written pages of the range, at most `capacity`, as addresses; the kernel hands over at
    // most `vector_length` (<= 512) runs at a time. With `reset`, makes exactly these clean.
    std::size_t collect(const ScanMasks& masks, std::size_t vector_length, bool reset, char* base,
                        std::size_t bytes, void** out, std::size_t capacity) const;

    // Makes everything clean that has a page table; for pages that are armed up front.
    void reset_all(char* base, std::size_t bytes) const;

  private:
    int fd_;
};

} // namespace bench
