// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/region_table.h"

#include "shim/sys/fork.h"
#include "shim/sys/memory.h"

#include <new>
#include <sys/mman.h>

namespace writewatch::core {

namespace {

constexpr std::size_t initial_capacity = 168; // one page

constexpr unsigned id_shift = 8;

} // namespace

// Makes the sequence odd while it lives. All words are atomics and stored with release order, all
// loads of readers have acquire order: the sequence needs no fence, and ThreadSanitizer (which
// knows none) can check it.
class RegionTable::WriteSection {
  public:
    explicit WriteSection(RegionTable& table) noexcept : sequence_(table.sequence_)
    {
        sequence_.fetch_add(1, std::memory_order_acq_rel);
    }
    ~WriteSection() { sequence_.fetch_add(1, std::memory_order_release); }
    WriteSection(const WriteSection&) = delete;
    WriteSection& operator=(const WriteSection&) = delete;

  private:
    std::atomic<std::uint64_t>& sequence_;
};

Result<void> RegionTable::open() noexcept
{
    return reserve(1);
}

void RegionTable::close() noexcept
{
    for (Block* block = std::exchange(block_, nullptr); block != nullptr;) {
        Block* const older = block->outgrown;
        (void)sys::unmap(block->memory);
        block = older;
    }
    slots_.store(nullptr);
    count_.store(0);
    capacity_ = 0;
}

RegionTable::Slot* RegionTable::slots_of(Block* block) noexcept
{
    return reinterpret_cast<Slot*>(block + 1);
}

Result<void> RegionTable::reserve(std::size_t more) noexcept
{
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (count + more <= capacity_)
        return {};
    std::size_t capacity = capacity_ == 0 ? initial_capacity : capacity_ * 2;
    while (capacity < count + more)
        capacity *= 2;

    const auto memory = sys::map_anonymous(page_ceil(sizeof(Block) + capacity * sizeof(Slot)),
                                           PROT_READ | PROT_WRITE);
    if (!memory)
        return tl::unexpected(memory.error());
    auto* const block =
        new (reinterpret_cast<void*>(memory->start)) // NOLINT(performance-no-int-to-ptr)
        Block{*memory, block_};
    Slot* const slots = slots_of(block); // zeroed memory is a valid array of atomics

    const WriteSection section(*this);
    for (std::size_t i = 0; i < count; ++i)
        copy(slots[i], slots_.load(std::memory_order_relaxed)[i]);
    slots_.store(slots, std::memory_order_release);
    block_ = block;
    capacity_ = capacity;
    return {};
}

Region RegionTable::load(const Slot& slot) noexcept
{
    const std::uintptr_t start = slot.start.load(std::memory_order_acquire);
    const std::uintptr_t end = slot.end.load(std::memory_order_acquire);
    const std::uint64_t tag = slot.tag.load(std::memory_order_acquire);
    return {{start, end}, tag >> id_shift, static_cast<backend::Mode>(tag & 0xff)};
}

void RegionTable::store(Slot& slot, PageRange range, std::uint64_t tag) noexcept
{
    slot.start.store(range.start, std::memory_order_release);
    slot.end.store(range.end, std::memory_order_release);
    slot.tag.store(tag, std::memory_order_release);
}

void RegionTable::copy(Slot& to, const Slot& from) noexcept
{
    store(to,
          {from.start.load(std::memory_order_relaxed), from.end.load(std::memory_order_relaxed)},
          from.tag.load(std::memory_order_relaxed));
}

std::size_t RegionTable::first_ending_above(const Slot* slots, std::size_t count,
                                            std::uintptr_t address) noexcept
{
    std::size_t low = 0;
    while (count > 0) {
        const std::size_t half = count / 2;
        if (slots[low + half].end.load(std::memory_order_acquire) <= address) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

template<typename Pick> std::optional<Region> RegionTable::read(Pick pick) const noexcept
{
    for (unsigned attempt = 0;; ++attempt) {
        const std::uint64_t before = sequence_.load(std::memory_order_acquire);
        if ((before & 1) == 0) {
            // An older array than the count's belongs to a change and is discarded below; it is
            // never read out of bounds because arrays only grow and the count is read first.
            const std::size_t count = count_.load(std::memory_order_acquire);
            const Slot* const slots = slots_.load(std::memory_order_acquire);
            const std::optional<Region> found = pick(slots, count);
            if (sequence_.load(std::memory_order_relaxed) == before)
                return found;
        }
        sys::back_off(attempt);
    }
}

std::optional<Region> RegionTable::next(std::uintptr_t address) const noexcept
{
    return read([address](const Slot* slots, std::size_t count) -> std::optional<Region> {
        const std::size_t index = first_ending_above(slots, count, address);
        if (index == count)
            return std::nullopt;
        return load(slots[index]);
    });
}

std::optional<Region> RegionTable::find(std::uintptr_t address) const noexcept
{
    const std::optional<Region> region = next(address);
    if (!region || !region->range.contains(address))
        return std::nullopt;
    return region;
}

void RegionTable::open_gap(std::size_t index) noexcept
{
    Slot* const slots = slots_.load(std::memory_order_relaxed);
    const std::size_t count = count_.load(std::memory_order_relaxed);
    for (std::size_t i = count; i > index; --i)
        copy(slots[i], slots[i - 1]);
    count_.store(count + 1, std::memory_order_release);
}

void RegionTable::close_gap(std::size_t index, std::size_t removed) noexcept
{
    if (removed == 0)
        return;
    Slot* const slots = slots_.load(std::memory_order_relaxed);
    const std::size_t count = count_.load(std::memory_order_relaxed) - removed;
    for (std::size_t i = index; i < count; ++i)
        copy(slots[i], slots[i + removed]);
    count_.store(count, std::memory_order_release);
}

RegionId RegionTable::new_id() noexcept
{
    const RecordNumber record = observer_ != nullptr ? observer_->reserve_record() : 0;
    return ++last_serial_ << record_number_bits | record;
}

void RegionTable::tell_changed(const Slot& slot) noexcept
{
    if (observer_ == nullptr)
        return;
    const Region region = load(slot);
    observer_->changed(record_of(region.id), region.range);
}

RegionId RegionTable::insert(PageRange range, backend::Mode mode, std::uint32_t protection) noexcept
{
    const RegionId id = new_id();
    const WriteSection section(*this);
    Slot* const slots = slots_.load(std::memory_order_relaxed);
    const std::size_t index =
        first_ending_above(slots, count_.load(std::memory_order_relaxed), range.start);
    open_gap(index);
    store(slots[index], range, id << id_shift | static_cast<std::uint64_t>(mode));
    if (observer_ != nullptr)
        observer_->added(record_of(id), id, range, mode, protection);
    return id;
}

void RegionTable::remove(PageRange range) noexcept
{
    const WriteSection section(*this);
    Slot* const slots = slots_.load(std::memory_order_relaxed);
    std::size_t index =
        first_ending_above(slots, count_.load(std::memory_order_relaxed), range.start);

    if (index < count_.load(std::memory_order_relaxed)) {
        Slot& slot = slots[index];
        const std::uintptr_t start = slot.start.load(std::memory_order_relaxed);
        const std::uintptr_t end = slot.end.load(std::memory_order_relaxed);
        if (start < range.start && end > range.end) { // split
            open_gap(index);
            slot.end.store(range.start, std::memory_order_release);
            slots[index + 1].start.store(range.end, std::memory_order_release);
            const RegionId id = new_id();
            slots[index + 1].tag.store(id << id_shift |
                                           (slot.tag.load(std::memory_order_relaxed) & 0xff),
                                       std::memory_order_release);
            if (observer_ != nullptr) {
                tell_changed(slot);
                observer_->split(record_of(load(slot).id), record_of(id), id, {range.end, end});
            }
            return;
        }
        if (start < range.start) { // its end is cut off
            slot.end.store(range.start, std::memory_order_release);
            tell_changed(slot);
            ++index;
        }
    }

    const std::size_t count = count_.load(std::memory_order_relaxed);
    std::size_t whole = 0;
    while (index + whole < count &&
           slots[index + whole].end.load(std::memory_order_relaxed) <= range.end) {
        if (observer_ != nullptr)
            observer_->removed(record_of(load(slots[index + whole]).id));
        ++whole;
    }
    close_gap(index, whole);

    if (index < count_.load(std::memory_order_relaxed) &&
        slots[index].start.load(std::memory_order_relaxed) < range.end) { // its start is cut off
        slots[index].start.store(range.end, std::memory_order_release);
        tell_changed(slots[index]);
    }
}

bool RegionTable::recover_after_fork() noexcept
{
    const std::uint64_t sequence = sequence_.load(std::memory_order_acquire);
    if ((sequence & 1) == 0)
        return true;
    count_.store(0, std::memory_order_release);
    sequence_.store(sequence + 1, std::memory_order_release);
    return false;
}

void RegionTable::publish_again() noexcept
{
    if (observer_ == nullptr)
        return;
    const WriteSection section(*this);
    Slot* const slots = slots_.load(std::memory_order_relaxed);
    const std::size_t count = count_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) {
        const Region region = load(slots[i]);
        const RegionId id = new_id();
        store(slots[i], region.range, id << id_shift | static_cast<std::uint64_t>(region.mode));
        observer_->added(record_of(id), id, region.range, region.mode, 0);
    }
}

} // namespace writewatch::core
