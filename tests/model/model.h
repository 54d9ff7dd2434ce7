// SPDX-License-Identifier: LGPL-2.1-or-later
// What Windows would do, written from the rules of the conformance suite alone: no system call, no
// code of the library. Where Windows documents nothing, the model refuses the call (allows() is
// false), or answers "maybe".
#ifndef WRITEWATCH_TESTS_MODEL_MODEL_H
#define WRITEWATCH_TESTS_MODEL_MODEL_H

#include "tests/model/call.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace model {

/// Is a page written? "Maybe" is a page under MEM_RESET: Windows may drop it, with its state, or
/// not.
enum class Written { no, maybe, yes };

struct Page {
    bool committed = false;
    std::uint32_t protect = 0;
    Written written = Written::no;
    Written latched =
        Written::no;   ///< written when a VirtualProtect covered it: survives a decommit
    bool known = true; ///< whether the contents are
};

struct Region {
    bool live = false;
    bool watched = false;
    std::uint32_t protect = 0; ///< of the allocation
    std::uintptr_t base = 0;   ///< kept after the release: questions about freed memory
    std::vector<Page> pages;
    std::vector<std::uint8_t> bytes;

    std::size_t size() const { return pages.size() * page_size; }
};

/// Pages of one region.
struct Span {
    Region* region = nullptr;
    std::size_t first = 0;
    std::size_t end = 0;
};

/// What GetWriteWatch or ResetWriteWatch must answer.
struct Answer {
    DWORD error = ERROR_SUCCESS;
    Span span; ///< of a success
};

class Model {
  public:
    /// Is this call's outcome specified in the present state? Others are left out of the run.
    bool allows(const Call& call);

    std::uintptr_t address(const Call& call) const;
    Region& slot(unsigned index) { return regions_[index]; }

    void allocated(const Call& call, std::uintptr_t base);
    bool commits(const Call& call);   ///< whether the call succeeds; if so, does it
    bool decommits(const Call& call); ///< the same
    bool protects(const Call& call);  ///< the same
    void released(unsigned slot) { regions_[slot].live = false; }
    void dropped(const Call& call);
    void wrote(const Call& call);

    Answer get(const Call& call);
    Answer reset(const Call& call);

    /// Why the model cannot have given these pages (indexes in the span), or nothing. With the
    /// flag, they are reset.
    std::optional<std::string> check_pages(const Call& call, const Span& span,
                                           const std::vector<std::size_t>& pages);

    MEMORY_BASIC_INFORMATION query(const Call& call);

    /// The pages that the bytes of a call touch, if they lie in its slot's region.
    std::optional<Span> span(const Call& call);

  private:
    std::optional<Span> watched_span(std::uintptr_t start, std::uint64_t size);

    std::array<Region, slots> regions_;
};

} // namespace model

#endif
