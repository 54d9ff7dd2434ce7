// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/core/region_table.h"

#include "shim/sys/fork.h"
#include "shim/sys/memory.h"

#include <algorithm>
#include <new>
#include <sys/mman.h>

namespace writewatch::core {

namespace {

constexpr unsigned initial_levels = 2; // 512 entries, of which the first hundred share a page

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
    for (Block* block = block_.exchange(nullptr); block != nullptr;) {
        Block* const older = block->outgrown;
        (void)sys::unmap(block->memory);
        block = older;
    }
    count_.store(0);
}

Result<void> RegionTable::reserve(std::size_t more) noexcept
{
    Block* const old = block_.load(std::memory_order_relaxed);
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (old != nullptr && count + more <= old->capacity())
        return {};
    Block header{{}, old, old == nullptr ? initial_levels : old->levels + 1, nullptr};
    while (header.capacity() < count + more)
        ++header.levels;

    const std::size_t bytes = sizeof(Block) + level_offset(header.levels) * sizeof(Key) +
                              header.capacity() * sizeof(Slot);
    const auto memory = sys::map_anonymous(page_ceil(bytes), PROT_READ | PROT_WRITE);
    if (!memory)
        return tl::unexpected(memory.error());
    header.memory = *memory;
    // Zeroed memory is a valid array of atomics.
    auto* const block =
        new (reinterpret_cast<void*>(memory->start)) // NOLINT(performance-no-int-to-ptr)
        Block(header);
    block->entries = reinterpret_cast<Slot*>(block->keys() + level_offset(block->levels));

    const WriteSection section(*this);
    for (std::size_t i = 0; old != nullptr && i < count; ++i)
        copy(block->slots()[i], old->slots()[i]);
    block_.store(block, std::memory_order_release);
    update_index(0);
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

// The first entry whose end is above the address, or the count. Without a branch that depends on
// the address: it would be mispredicted at every level.
std::size_t RegionTable::first_ending_above(Block& block, std::size_t count,
                                            std::uintptr_t address) noexcept
{
    const Slot* const slots = block.slots();
    if (count == 0 || slots[count - 1].end.load(std::memory_order_acquire) <= address)
        return count;
    // So in every node from here on one key is above the address; it is the last one if it is none
    // of the others. A writer at work can make this wrong, but not lead out of the array.
    const unsigned levels = levels_for(count);
    std::size_t node = 0;
    for (unsigned above = block.levels - levels; above < block.levels; ++above) {
        const Key* const keys = block.keys() + level_offset(above) + node * fanout;
        std::size_t below = 0;
        for (std::size_t i = 0; i < fanout - 1; ++i)
            below += keys[i].load(std::memory_order_acquire) <= address ? 1U : 0U;
        node = node * fanout + below;
    }
    const std::size_t first = node * fanout;
    const std::size_t end = std::min(first + fanout - 1, count);
    std::size_t index = first;
    for (std::size_t i = first; i < end; ++i)
        index += slots[i].end.load(std::memory_order_acquire) <= address ? 1U : 0U;
    return index;
}

std::size_t RegionTable::first_ending_above(std::uintptr_t address) const noexcept
{
    return first_ending_above(*block_.load(std::memory_order_relaxed),
                              count_.load(std::memory_order_relaxed), address);
}

// Sets the keys over the entries from `first` to the last.
void RegionTable::update_index(std::size_t first) noexcept
{
    Block& block = *block_.load(std::memory_order_relaxed);
    const Slot* const slots = block.slots();
    const std::size_t count = count_.load(std::memory_order_relaxed);
    if (count == 0)
        return;
    const unsigned levels = levels_for(count);
    for (unsigned level = 1; level <= levels; ++level) {
        Key* const keys = block.keys() + level_offset(block.levels - level);
        const std::size_t span = std::size_t{1} << fanout_shift * level; // entries under a key
        // The top level may be new: no more than one insertion ago one less was enough.
        std::size_t key = level == levels ? 0 : first / span;
        for (; key * span < count; ++key)
            keys[key].store(
                slots[std::min((key + 1) * span, count) - 1].end.load(std::memory_order_relaxed),
                std::memory_order_release);
        for (; key % fanout != 0; ++key) // the rest of the last node
            keys[key].store(~std::uintptr_t{0}, std::memory_order_release);
    }
}

std::optional<Region> RegionTable::next(std::uintptr_t address) const noexcept
{
    for (unsigned attempt = 0;; ++attempt) {
        const std::uint64_t before = sequence_.load(std::memory_order_acquire);
        if ((before & 1) == 0) {
            // An older array than the count's belongs to a change and is discarded below; it is
            // never read out of bounds because arrays only grow and the count is read first.
            const std::size_t count = count_.load(std::memory_order_acquire);
            Block& block = *block_.load(std::memory_order_acquire);
            const std::size_t index = first_ending_above(block, count, address);
            const bool found = index < count;
            const Region region = found ? load(block.slots()[index]) : Region{};
            if (sequence_.load(std::memory_order_relaxed) == before) [[likely]]
                return found ? std::optional<Region>(region) : std::nullopt;
        }
        sys::back_off(attempt);
    }
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
    Slot* const slots = this->slots();
    const std::size_t count = count_.load(std::memory_order_relaxed);
    for (std::size_t i = count; i > index; --i)
        copy(slots[i], slots[i - 1]);
    count_.store(count + 1, std::memory_order_release);
}

void RegionTable::close_gap(std::size_t index, std::size_t removed) noexcept
{
    if (removed == 0)
        return;
    Slot* const slots = this->slots();
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
    Slot* const slots = this->slots();
    const std::size_t index = first_ending_above(range.start);
    open_gap(index);
    store(slots[index], range, id << id_shift | static_cast<std::uint64_t>(mode));
    update_index(index);
    if (observer_ != nullptr)
        observer_->added(record_of(id), id, range, mode, protection);
    return id;
}

void RegionTable::remove(PageRange range) noexcept
{
    const WriteSection section(*this);
    Slot* const slots = this->slots();
    std::size_t index = first_ending_above(range.start);
    const std::size_t first = index;

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
            update_index(first);
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
    if (whole != 0 || index != first)
        update_index(first);

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
    Slot* const slots = this->slots();
    const std::size_t count = count_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < count; ++i) {
        const Region region = load(slots[i]);
        const RegionId id = new_id();
        store(slots[i], region.range, id << id_shift | static_cast<std::uint64_t>(region.mode));
        observer_->added(record_of(id), id, region.range, region.mode, 0);
    }
}

} // namespace writewatch::core
