// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What the library is measured against: the PAGEMAP_SCAN loop that a program would write by hand,
// with the library's masks (design decision 3.1), its vector length, and page addresses as the
// result.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bench {

class BareScan {
  public:
    BareScan(); // exits with 77 when the kernel does not have PAGEMAP_SCAN
    ~BareScan();
    BareScan(const BareScan&) = delete;
    BareScan& operator=(const BareScan&) = delete;

    // The written pages of the range, at most `capacity`; with `reset`, resets them.
    std::size_t get(void* base, std::size_t bytes, bool reset, void** addresses,
                    std::size_t capacity) const;

  private:
    int pagemap_;
};

} // namespace bench
