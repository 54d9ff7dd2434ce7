// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/registry/publisher.h"

#include "shim/registry/reader.h"
#include "shim/sys/clock.h"
#include "shim/sys/env.h"
#include "shim/sys/log.h"
#include "shim/sys/memory.h"
#include "shim/sys/process.h"
#include "shim/sys/signals.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace writewatch::registry {

namespace {

// next_free_ of a record that is in use.
constexpr std::uint32_t live = ~std::uint32_t{0};

// Segments looked at when one is made: bounds what a process pays for others (10 us each).
constexpr std::size_t max_swept = 32;

constexpr std::size_t next_free_bytes = page_ceil(max_regions * sizeof(std::uint32_t));

// A record is used again only when so many others wait before it: a get that was under way when its
// region was released counts in the old record, not yet in another region's.
constexpr std::uint32_t min_free = 16;

// Records that a call of watch may rely on: its own, and those of splits.
constexpr std::uint32_t min_spare = 8;

// A record's counters are where the core counts.
static_assert(sizeof(core::Tally) == sizeof(Counters));
static_assert(offsetof(core::Tally, gets_with_reset) == offsetof(Counters, gets_with_reset));
static_assert(offsetof(core::Tally, resets) == offsetof(Counters, resets));
static_assert(offsetof(core::Tally, pages) == offsetof(Counters, pages));
static_assert(offsetof(core::Tally, samples) == offsetof(Counters, samples));
static_assert(offsetof(core::Tally, kernel_ns) == offsetof(Counters, kernel_ns));
static_assert(offsetof(core::Tally, user_ns) == offsetof(Counters, user_ns));
static_assert(offsetof(core::Tally, errors) == offsetof(Counters, errors));
static_assert(offsetof(core::Tally, over_reports) == offsetof(Counters, over_reports));
static_assert(core::TallyBoard::chunks == region_chunks);
static_assert(core::TallyBoard::first_chunk == first_region_chunk);
static_assert(core::TallyBoard::record_bytes == sizeof(RegionRecord));
static_assert(core::TallyBoard::tally_offset == offsetof(RegionRecord, counters));
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(max_regions < 1U << core::record_number_bits);
static_assert(latch_window_bytes == core::latch_window_bytes);

static_assert(static_cast<int>(RegionMode::on_presence) ==
              static_cast<int>(backend::Mode::on_presence));
static_assert(static_cast<int>(RegionMode::armed) == static_cast<int>(backend::Mode::armed));
static_assert(static_cast<int>(RegionMode::armed_huge) ==
              static_cast<int>(backend::Mode::armed_huge));

// Words that others read meanwhile.
template<typename T> void put(T& word, T value) noexcept
{
    std::atomic_ref<T>(word).store(value, std::memory_order_release);
}

template<typename T> T get(T& word) noexcept
{
    return std::atomic_ref<T>(word).load(std::memory_order_acquire);
}

// Odd, then even again. A read-modify-write is ordered before what follows it on x86, and the
// release keeps what came before in front of it.
template<typename T> void advance(T& sequence) noexcept
{
    std::atomic_ref<T>(sequence).fetch_add(1, std::memory_order_acq_rel);
}

core::Tally& tally_in(RegionRecord& record) noexcept
{
    return *reinterpret_cast<core::Tally*>(&record.counters);
}

template<typename T> void move_count(std::atomic<T>& from, std::atomic<T>& to) noexcept
{
    to.fetch_add(from.exchange(0, std::memory_order_relaxed), std::memory_order_relaxed);
}

// At the end of the process, or when the library is unloaded.
std::atomic<Publisher*> last_opened{nullptr};

__attribute__((destructor)) void remove_name_at_exit()
{
    if (Publisher* const publisher = last_opened.load(); publisher != nullptr)
        publisher->end();
}

} // namespace

void set_text(std::span<char> field, std::string_view text) noexcept
{
    const std::size_t length = std::min(text.size(), field.size() - 1);
    std::memcpy(field.data(), text.data(), length);
    std::memset(field.data() + length, 0, field.size() - length);
}

bool is_enabled() noexcept
{
    if (sys::is_privileged_process())
        return false;
    const auto value = sys::environment("WRITEWATCH_REGISTRY");
    if (value && *value != "0" && *value != "1")
        log::warn("registry", "WRITEWATCH_REGISTRY={}: unknown; allowed: 0, 1", *value);
    return value != "0";
}

// The caller has blocked signals.
class Publisher::Lock {
  public:
    explicit Lock(Publisher& publisher) noexcept : page_(publisher.lock_) { page_.lock(); }
    ~Lock() { page_.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    sys::ForkPage& page_;
};

class Publisher::RegionChange {
  public:
    explicit RegionChange(Publisher& publisher) noexcept
        : lock_(publisher), header_(publisher.header_.load(std::memory_order_relaxed))
    {
        if (header_ != nullptr)
            advance(header_->region_changes);
    }
    ~RegionChange()
    {
        if (header_ != nullptr)
            advance(header_->region_changes);
    }
    RegionChange(const RegionChange&) = delete;
    RegionChange& operator=(const RegionChange&) = delete;

  private:
    Lock lock_;
    Header* header_;
};

Result<void> Publisher::open() noexcept
{
    if (auto ok = lock_.open(sys::ForkPage::Order::outer, {&in_child, this}); !ok)
        return ok;
    // Resident as far as it is used.
    const auto memory = sys::map_anonymous(next_free_bytes, PROT_READ | PROT_WRITE);
    if (!memory) {
        lock_.close();
        return tl::unexpected(memory.error());
    }
    next_free_ =
        reinterpret_cast<std::uint32_t*>(memory->start); // NOLINT(performance-no-int-to-ptr)
    if (auto ok = windows_.open(); !ok) {
        (void)sys::unmap(*memory);
        next_free_ = nullptr;
        lock_.close();
        return ok;
    }
    last_opened.store(this);
    return {};
}

Publisher* Publisher::open_if_enabled() noexcept
{
    if (!is_enabled())
        return nullptr;
    if (auto ok = open(); !ok) {
        report(ok.error());
        return nullptr;
    }
    return this;
}

Publisher::~Publisher()
{
    if (next_free_ == nullptr)
        return;
    Publisher* self = this;
    last_opened.compare_exchange_strong(self, nullptr);
    end();
    if (!lock_.inherited())
        delete segment_;
    const auto start = reinterpret_cast<std::uintptr_t>(next_free_);
    (void)sys::unmap({start, start + next_free_bytes});
    windows_.close();
    lock_.close();
}

void Publisher::set_backend(std::string_view name, std::string_view reason) noexcept
{
    if (backend_[0] != '\0')
        return;
    set_text(backend_, name);
    set_text(backend_reason_, reason);
}

void Publisher::end() noexcept
{
    if (!lock_.inherited() && segment_ != nullptr)
        segment_->remove_name();
}

void Publisher::in_child(void* self) noexcept
{
    if (Segment* const segment = static_cast<Publisher*>(self)->segment_; segment != nullptr)
        segment->fill_in_child();
}

// The parent's mappings are not there, and its numbers mean nothing.
void Publisher::forget_parent() noexcept
{
    const Lock lock(*this);
    if (!lock_.inherited())
        return;
    segment_ = nullptr;
    header_.store(nullptr, std::memory_order_relaxed);
    for (unsigned chunk = 0; chunk < region_chunks; ++chunk)
        board_.set_chunk(chunk, nullptr);
    latch_chunks_ = {};
    region_chunk_count_ = latch_chunk_count_ = 0;
    first_free_ = last_free_ = free_count_ = 0;
    std::fill_n(next_free_, used_, 0U);
    used_ = 1;
    capacity_ = 0;
    spare_.store(0, std::memory_order_relaxed);
    latch_used_ = latch_capacity_ = 0;
    windows_.close();
    if (!windows_.open())
        failed_.store(true, std::memory_order_relaxed);
    busy_.store(false, std::memory_order_relaxed);
    lock_.claim();
}

void Publisher::report(const Error& error) noexcept
{
    failed_.store(true, std::memory_order_relaxed);
    if (header_.load(std::memory_order_relaxed) == nullptr)
        log::warn("registry", "other processes cannot see this one: {}", describe(error));
    else
        log::warn("registry", "other processes cannot see all of this one: {}", describe(error));
}

void Publisher::prepare() noexcept
{
    if (lock_.inherited()) [[unlikely]] {
        const sys::SignalBlock signals;
        forget_parent();
    }
    if (spare_.load(std::memory_order_relaxed) >= min_spare ||
        failed_.load(std::memory_order_relaxed))
        return;
    const sys::SignalBlock signals;
    if (busy_.exchange(true, std::memory_order_acquire))
        return; // another thread is at it; a region too many has no record
    auto ok = segment_ == nullptr ? make_segment() : Result<void>();
    if (ok && spare_.load(std::memory_order_relaxed) < min_spare)
        ok = add_region_chunk();
    busy_.store(false, std::memory_order_release);
    if (!ok)
        report(ok.error());
}

Result<void> Publisher::make_segment() noexcept
{
    const pid_t pid = sys::own_pid();
    const auto start_time = sys::start_time_of(pid);
    if (!start_time)
        return tl::unexpected(start_time.error());
    constexpr std::size_t first = chunk_bytes(0, first_region_chunk, sizeof(RegionRecord));
    // Whoever makes one clears away what those who were killed left, if nobody has listed them
    // since.
    (void)sweep(max_swept);
    auto made = Segment::create(*start_time, sizeof(Header) + first, lock_);
    if (!made)
        return tl::unexpected(made.error());

    WindowsIdentity identity;
    if (identify_ != nullptr)
        identify_(identity);
    auto* const header = new ((*made)->memory()) Header{};
    header->magic = magic;
    header->version = layout_version;
    header->header_bytes = sizeof(Header);
    header->size = (*made)->size();
    header->pid = static_cast<std::uint32_t>(pid);
    header->uid = sys::own_uid();
    header->start_time = *start_time;
    header->pid_namespace = sys::own_pid_namespace();
    header->created = sys::realtime_ns();
    header->windows_pid = identity.windows_pid;
    header->host = host_;
    header->prefix_device = identity.prefix_device;
    header->prefix_inode = identity.prefix_inode;
    header->region_bytes = sizeof(RegionRecord);
    header->latch_bytes = sizeof(LatchRecord);
    header->region_count = 1;
    header->region_chunk[0] = sizeof(Header);
    set_text(header->library_version, WRITEWATCH_VERSION);
    header->backend = backend_;
    header->backend_reason = backend_reason_;
    if (identity.image[0] != '\0')
        header->image = identity.image;
    else
        sys::read_own_program(header->image);
    header->prefix = identity.prefix;

    const Lock lock(*this);
    board_.set_chunk(0, (*made)->memory() + sizeof(Header));
    region_chunk_count_ = 1;
    capacity_ = first_region_chunk;
    spare_.store(capacity_ - used_, std::memory_order_relaxed);
    segment_ = made->release();
    header_.store(header, std::memory_order_release);
    std::atomic_ref<HeaderState>(header->state)
        .store(HeaderState::ready, std::memory_order_release);
    return {};
}

Result<void> Publisher::add_region_chunk() noexcept
{
    const unsigned chunk = region_chunk_count_;
    if (chunk == region_chunks)
        return fail(ENOSPC, "more regions than the registry holds");
    const auto added =
        segment_->extend(chunk_bytes(chunk, first_region_chunk, sizeof(RegionRecord)), lock_);
    if (!added)
        return tl::unexpected(added.error());
    Header* const header = header_.load(std::memory_order_relaxed);
    const Lock lock(*this);
    board_.set_chunk(chunk, added->memory);
    ++region_chunk_count_;
    capacity_ += first_region_chunk << chunk;
    spare_.fetch_add(first_region_chunk << chunk, std::memory_order_relaxed);
    put(header->size, segment_->size());
    put(header->region_chunk[chunk], added->offset);
    return {};
}

Result<void> Publisher::add_latch_chunk() noexcept
{
    const unsigned chunk = latch_chunk_count_;
    if (chunk == latch_chunks)
        return fail(ENOSPC, "more latched pages than the registry holds");
    const auto added =
        segment_->extend(chunk_bytes(chunk, first_latch_chunk, sizeof(LatchRecord)), lock_);
    if (!added)
        return tl::unexpected(added.error());
    Header* const header = header_.load(std::memory_order_relaxed);
    const Lock lock(*this);
    latch_chunks_[chunk] = added->memory;
    ++latch_chunk_count_;
    latch_capacity_ += first_latch_chunk << chunk;
    put(header->size, segment_->size());
    put(header->latch_chunk[chunk], added->offset);
    return {};
}

RegionRecord* Publisher::region_record(core::RecordNumber number) const noexcept
{
    const auto place = place_of(number, first_region_chunk);
    if (number == 0 || place.chunk >= region_chunks)
        return nullptr;
    std::byte* const chunk = board_.chunk(place.chunk);
    return chunk == nullptr ? nullptr : reinterpret_cast<RegionRecord*>(chunk) + place.index;
}

bool Publisher::is_live(core::RecordNumber record) const noexcept
{
    return record != 0 && record < used_ && next_free_[record] == live;
}

core::RecordNumber Publisher::reserve_record() noexcept
{
    const Lock lock(*this);
    Header* const header = header_.load(std::memory_order_relaxed);
    if (header == nullptr)
        return 0;
    core::RecordNumber record = 0;
    if (used_ < capacity_ && free_count_ < min_free) {
        record = used_++;
        put(header->region_count, used_);
    } else if (free_count_ > 0) {
        record = first_free_;
        first_free_ = next_free_[record];
        --free_count_;
    } else {
        std::atomic_ref<std::uint32_t>(header->flags).fetch_or(regions_incomplete);
        return 0;
    }
    next_free_[record] = live;
    spare_.fetch_sub(1, std::memory_order_relaxed);
    return record;
}

void Publisher::write_region(RegionRecord& record, std::uint64_t id, PageRange range,
                             RegionMode mode, std::uint32_t protection,
                             std::uint64_t created) noexcept
{
    advance(record.sequence);
    put(record.base, std::uint64_t{range.start});
    put(record.bytes, std::uint64_t{range.bytes()});
    put(record.id, id);
    put(record.created, created);
    put(record.protection, protection);
    put(record.mode, mode);
    put(record.state, RecordState::live);
    advance(record.sequence);
}

void Publisher::added(core::RecordNumber record, std::uint64_t id, PageRange range,
                      backend::Mode mode, std::uint32_t protection) noexcept
{
    const RegionChange change(*this);
    if (is_live(record))
        write_region(*region_record(record), id, range, static_cast<RegionMode>(mode), protection,
                     sys::realtime_ns());
}

void Publisher::changed(core::RecordNumber record, PageRange range) noexcept
{
    const RegionChange change(*this);
    if (!is_live(record))
        return;
    RegionRecord& changed = *region_record(record);
    advance(changed.sequence);
    put(changed.base, std::uint64_t{range.start});
    put(changed.bytes, std::uint64_t{range.bytes()});
    advance(changed.sequence);
}

void Publisher::split(core::RecordNumber from, core::RecordNumber record, std::uint64_t id,
                      PageRange range) noexcept
{
    const RegionChange change(*this);
    if (!is_live(record))
        return;
    const RegionRecord* const whole = is_live(from) ? region_record(from) : nullptr;
    write_region(*region_record(record), id, range,
                 whole != nullptr ? whole->mode : RegionMode::on_presence,
                 whole != nullptr ? whole->protection : 0,
                 whole != nullptr ? whole->created : sys::realtime_ns());
}

void Publisher::removed(core::RecordNumber record) noexcept
{
    const RegionChange change(*this);
    if (!is_live(record))
        return;
    RegionRecord& gone = *region_record(record);
    advance(gone.sequence);
    put(gone.state, RecordState::unused);
    advance(gone.sequence);

    core::Tally& from = tally_in(gone);
    auto& to = *reinterpret_cast<core::Tally*>(&header_.load(std::memory_order_relaxed)->retired);
    move_count(from.gets, to.gets);
    move_count(from.gets_with_reset, to.gets_with_reset);
    move_count(from.resets, to.resets);
    move_count(from.pages, to.pages);
    move_count(from.samples, to.samples);
    move_count(from.kernel_ns, to.kernel_ns);
    move_count(from.user_ns, to.user_ns);
    move_count(from.errors, to.errors);
    move_count(from.over_reports, to.over_reports);

    next_free_[record] = 0;
    if (free_count_++ == 0)
        first_free_ = record;
    else
        next_free_[last_free_] = record;
    last_free_ = record;
    spare_.fetch_add(1, std::memory_order_relaxed);
}

std::uint32_t* Publisher::window_index(std::uintptr_t address) const noexcept
{
    auto* const slice = static_cast<std::uint32_t*>(windows_.block(address));
    if (slice == nullptr)
        return nullptr;
    return slice + (address % sys::SliceDirectory::slice_bytes) / latch_window_bytes;
}

LatchRecord* Publisher::latch_record(std::uintptr_t address) const noexcept
{
    const std::uint32_t* const index = window_index(address);
    if (index == nullptr || *index == 0)
        return nullptr;
    const auto place = place_of(*index - 1, first_latch_chunk);
    return reinterpret_cast<LatchRecord*>(latch_chunks_[place.chunk]) + place.index;
}

// Under the lock.
LatchRecord* Publisher::new_latch_record(std::uintptr_t address) noexcept
{
    std::uint32_t* const index = window_index(address);
    if (index == nullptr || latch_used_ == latch_capacity_)
        return nullptr;
    *index = ++latch_used_;
    LatchRecord* const record = latch_record(address);
    put(record->version, std::uint32_t{1});
    put(record->window, std::uint64_t{address & ~(latch_window_bytes - 1)});
    put(header_.load(std::memory_order_relaxed)->latch_count, latch_used_);
    return record;
}

void Publisher::prepare_latch(PageRange range) noexcept
{
    if (header_.load(std::memory_order_acquire) == nullptr || lock_.inherited())
        return;
    const sys::SignalBlock signals;
    if (auto ok = windows_.reserve(range); !ok)
        return; // latched() will say that something is missing
    for (std::uintptr_t window = range.start & ~(latch_window_bytes - 1); window < range.end;
         window += latch_window_bytes) {
        for (int attempt = 0; attempt < 2; ++attempt) {
            {
                const Lock lock(*this);
                if (latch_record(window) != nullptr)
                    break;
                advance(header_.load(std::memory_order_relaxed)->latch_sequence);
                const bool made = new_latch_record(window) != nullptr;
                advance(header_.load(std::memory_order_relaxed)->latch_sequence);
                if (made)
                    break;
            }
            if (failed_.load(std::memory_order_relaxed) ||
                busy_.exchange(true, std::memory_order_acquire))
                return;
            const auto ok = add_latch_chunk();
            busy_.store(false, std::memory_order_release);
            if (!ok) {
                report(ok.error());
                return;
            }
        }
    }
}

void Publisher::begin_latch_change() noexcept
{
    sys::SavedSignals saved;
    sys::block_asynchronous_signals(saved);
    lock_.lock();
    signals_of_latch_change_ = saved;
    if (Header* const header = header_.load(std::memory_order_relaxed); header != nullptr)
        advance(header->latch_sequence);
}

void Publisher::end_latch_change() noexcept
{
    if (Header* const header = header_.load(std::memory_order_relaxed); header != nullptr)
        advance(header->latch_sequence);
    const sys::SavedSignals saved = signals_of_latch_change_;
    lock_.unlock();
    sys::restore_signals(saved);
}

std::uint64_t Publisher::taken_outside(std::uintptr_t word) noexcept
{
    LatchRecord* const record = latch_record(word);
    if (record == nullptr || get(record->cleared_version) != get(record->version))
        return 0;
    return get(record->cleared[(word % latch_window_bytes) / (64 * page_size)]);
}

void Publisher::latched(std::uintptr_t word, std::uint64_t bits, bool added) noexcept
{
    Header* const header = header_.load(std::memory_order_relaxed);
    if (header == nullptr)
        return;
    LatchRecord* record = latch_record(word);
    if (record == nullptr && bits != 0)
        record = new_latch_record(word);
    if (record == nullptr) {
        if (bits != 0)
            std::atomic_ref<std::uint32_t>(header->flags).fetch_or(latches_incomplete);
        return;
    }
    if (added) {
        const std::uint32_t next = get(record->version) + 1;
        put(record->version, next != 0 ? next : 1);
    }
    put(record->words[(word % latch_window_bytes) / (64 * page_size)], bits);
}

} // namespace writewatch::registry
