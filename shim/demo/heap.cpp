// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/demo/heap.h"

#include <stdexcept>
#include <string>

#include <writewatch/win32.h>

namespace demo {

Heap::Heap(std::size_t bytes)
    : words_(static_cast<std::uint64_t*>(VirtualAlloc(
          nullptr, bytes, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE))),
      size_(bytes)
{
    if (!words_)
        throw std::runtime_error("VirtualAlloc of " + std::to_string(bytes) +
                                 " bytes with MEM_WRITE_WATCH failed: error " +
                                 std::to_string(GetLastError()));
}

Heap::~Heap()
{
    VirtualFree(words_, 0, MEM_RELEASE);
}

} // namespace demo
