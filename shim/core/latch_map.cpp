// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/latch_map.h"

#include <algorithm>

namespace writewatch::core {

// While it lives, nobody else changes published words.
class LatchMap::Change {
  public:
    explicit Change(Observer* observer) noexcept : observer_(observer)
    {
        if (observer_ != nullptr)
            observer_->begin_latch_change();
    }
    ~Change()
    {
        if (observer_ != nullptr)
            observer_->end_latch_change();
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

  private:
    Observer* observer_;
};

LatchMap::Word* LatchMap::word(std::uintptr_t address) const noexcept
{
    Word* const words = static_cast<Word*>(words_.block(address));
    return words == nullptr ? nullptr : words + (address / word_bytes) % words_per_slice;
}

template<typename Visitor> void LatchMap::for_each_used_word(PageRange range, Visitor visit) const
{
    constexpr std::uintptr_t slice_bytes = sys::SliceDirectory::slice_bytes;
    range.end = std::min(range.end, address_space_end);
    for (std::uintptr_t address = range.start & ~(word_bytes - 1); address < range.end;) {
        const std::uintptr_t slice_end = (address & ~(slice_bytes - 1)) + slice_bytes;
        if (words_.flagged(address)) {
            const std::uintptr_t end = std::min(range.end, slice_end);
            for (; address < end; address += word_bytes) {
                if (!visit(*word(address), address))
                    return;
            }
        }
        address = slice_end;
    }
}

void LatchMap::set(PageRange range) noexcept
{
    const Change change(observer_);
    for (std::uintptr_t address = range.start & ~(word_bytes - 1); address < range.end;
         address += word_bytes)
        set_bits(address, word_mask(address, range));
}

void LatchMap::clear(PageRange range) noexcept
{
    for_each_used_word(range, [&](const Word&, std::uintptr_t address) {
        take(address, word_mask(address, range));
        return true;
    });
}

bool LatchMap::any(PageRange range) const noexcept
{
    bool found = false;
    for_each_used_word(range, [&](const Word& bits, std::uintptr_t address) {
        found = (bits.load(std::memory_order_acquire) & word_mask(address, range)) != 0;
        return !found;
    });
    return found;
}

std::uint64_t LatchMap::load(std::uintptr_t address) const noexcept
{
    const Word* const bits = word(address);
    return bits == nullptr ? 0 : bits->load(std::memory_order_acquire);
}

std::uint64_t LatchMap::take(std::uintptr_t address, std::uint64_t mask) noexcept
{
    Word* const bits = word(address);
    if (bits == nullptr || (bits->load(std::memory_order_acquire) & mask) == 0)
        return 0;
    const Change change(observer_);
    const std::uint64_t before = bits->fetch_and(~mask, std::memory_order_acq_rel);
    if (observer_ != nullptr)
        observer_->latched(address & ~(word_bytes - 1), before & ~mask, false);
    return before & mask;
}

void LatchMap::put(std::uintptr_t address, std::uint64_t bits) noexcept
{
    const Change change(observer_);
    set_bits(address, bits);
}

void LatchMap::set_bits(std::uintptr_t address, std::uint64_t bits) noexcept
{
    Word* const target = word(address);
    if (target == nullptr || bits == 0)
        return;
    words_.set_flag(address); // first: a reader that skips the slice must not miss the bits
    if (observer_ != nullptr)
        settle_window(address); // before new bits make older requests void
    const std::uint64_t before = target->fetch_or(bits, std::memory_order_acq_rel);
    generation_.fetch_add(1, std::memory_order_acq_rel);
    if (observer_ != nullptr)
        observer_->latched(address & ~(word_bytes - 1), before | bits, true);
}

// Requests are made, and become void, for a window at a time.
void LatchMap::settle_window(std::uintptr_t address) noexcept
{
    const std::uintptr_t window = address & ~(latch_window_bytes - 1);
    for (std::uintptr_t at = window; at < window + latch_window_bytes; at += word_bytes) {
        Word* const bits = word(at);
        if (bits == nullptr || bits->load(std::memory_order_acquire) == 0)
            continue;
        const std::uint64_t taken = observer_->taken_outside(at);
        if (taken == 0)
            continue;
        const std::uint64_t before = bits->fetch_and(~taken, std::memory_order_acq_rel);
        observer_->latched(at, before & ~taken, false);
    }
}

void LatchMap::settle(PageRange range) noexcept
{
    if (observer_ == nullptr)
        return;
    const Change change(observer_);
    std::uintptr_t last = ~std::uintptr_t{0};
    for_each_used_word(range, [&](const Word& bits, std::uintptr_t address) {
        const std::uintptr_t window = address & ~(latch_window_bytes - 1);
        if (window != last && bits.load(std::memory_order_relaxed) != 0) {
            settle_window(address);
            last = window;
        }
        return true;
    });
}

void LatchMap::publish_again() noexcept
{
    if (observer_ == nullptr)
        return;
    constexpr PageRange everything{0, address_space_end};
    for_each_used_word(everything, [&](const Word& bits, std::uintptr_t address) {
        if (const std::uint64_t now = bits.load(std::memory_order_relaxed); now != 0) {
            observer_->prepare_latch({address, address + word_bytes});
            const Change change(observer_);
            observer_->latched(address, now, true);
        }
        return true;
    });
}

} // namespace writewatch::core
