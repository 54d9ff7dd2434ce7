// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/registry/segment.h"

#include "shim/sys/clock.h"
#include "shim/sys/memory.h"
#include "shim/sys/process.h"
#include "shim/sys/shared_memory.h"
#include "shim/sys/signals.h"

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>

#include <cerrno>
#include <cstdio>
#include <new>
#include <span>
#include <sys/mman.h>

namespace writewatch::registry {

namespace interprocess = boost::interprocess;

namespace {

// How often a moment is waited for in which nobody looks whether a new file is locked.
constexpr unsigned lock_attempts = 400;

// What Boost throws, as everything else here reports errors.
template<typename Action>
auto without_exceptions(const char* step, Action action) noexcept -> decltype(action())
{
    try {
        return action();
    } catch (const interprocess::interprocess_exception& error) {
        const int code = error.get_native_error();
        return fail(code != 0 ? code : EIO, step);
    } catch (...) {
        return fail(ENOMEM, step);
    }
}

Result<void> lock_new_file(int file) noexcept
{
    for (unsigned attempt = 0;; ++attempt) {
        auto ok = sys::hold_lock(file);
        if (ok || ok.error().code != EAGAIN || attempt == lock_attempts)
            return ok;
        sys::back_off(attempt);
    }
}

} // namespace

SegmentName name_of(pid_t pid, std::uint64_t start_time, std::uint64_t unique) noexcept
{
    SegmentName name{};
    std::snprintf(name.data(), name.size(), "%s%d.%llu.%llx", name_prefix, static_cast<int>(pid),
                  static_cast<unsigned long long>(start_time),
                  static_cast<unsigned long long>(unique));
    return name;
}

class Segment::Mappings {
  public:
    // With the new mapping kept from children. Throws what Boost throws.
    Result<std::byte*> add(const interprocess::shared_memory_object& file, std::uint64_t offset,
                           std::size_t bytes, sys::ForkPage& at_fork)
    {
        if (count_ == regions_.size())
            return fail(ENOSPC, "the registry has no more chunks");
        const sys::SignalBlock signals;
        struct Unlock {
            sys::ForkPage& page;
            ~Unlock() { page.unlock(); }
        };
        at_fork.lock();
        const Unlock unlock{at_fork};
        interprocess::mapped_region region(file, interprocess::read_write,
                                           static_cast<interprocess::offset_t>(offset), bytes);
        const auto start = reinterpret_cast<std::uintptr_t>(region.get_address());
        if (auto ok = sys::keep_from_children({start, start + bytes}); !ok)
            return tl::unexpected(ok.error());
        regions_[count_] = std::move(region);
        return static_cast<std::byte*>(regions_[count_++].get_address());
    }

    void fill_in_child() noexcept
    {
        for (const interprocess::mapped_region& region : std::span(regions_).first(count_)) {
            const auto start = reinterpret_cast<std::uintptr_t>(region.get_address());
            (void)sys::map_anonymous_at({start, start + region.get_size()}, PROT_READ | PROT_WRITE);
        }
    }

  private:
    std::array<interprocess::mapped_region, 1 + region_chunks + latch_chunks> regions_;
    std::size_t count_ = 0;
};

Segment::Segment() : mappings_(std::make_unique<Mappings>()) {}
Segment::~Segment() = default;

Result<std::unique_ptr<Segment>> Segment::create(std::uint64_t start_time, std::size_t bytes,
                                                 sys::ForkPage& at_fork) noexcept
{
    using Created = Result<std::unique_ptr<Segment>>;
    return without_exceptions("make the registry's shared memory", [&]() -> Created {
        // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): without_exceptions() catches
        std::unique_ptr<Segment> segment(new Segment());
        const auto attempt = [&]() -> Result<void> {
            segment->name_ = name_of(sys::own_pid(), start_time, sys::realtime_ns());
            const interprocess::shared_memory_object file(
                interprocess::create_only, segment->name_.data(), interprocess::read_write,
                interprocess::permissions(0600));
            const int descriptor = file.get_mapping_handle().handle;
            if (auto ok = lock_new_file(descriptor); !ok)
                return ok;
            // Somebody in another pid namespace may have taken it for a dead process's.
            if (!sys::has_name(descriptor))
                return fail(EAGAIN, "somebody removed it");
            if (auto ok = sys::allocate_file(descriptor, bytes); !ok)
                return ok;
            const auto memory = segment->mappings_->add(file, 0, bytes, at_fork);
            if (!memory)
                return tl::unexpected(memory.error());
            segment->memory_ = *memory;
            segment->size_ = bytes;
            return {};
        };
        for (int tries = 0;; ++tries) {
            auto made = attempt();
            if (made)
                return segment;
            segment->remove_name();
            if (made.error().code != EAGAIN || tries == 3)
                return tl::unexpected(made.error());
        }
    });
}

Result<Segment::Chunk> Segment::extend(std::size_t bytes, sys::ForkPage& at_fork) noexcept
{
    return without_exceptions("extend the registry's shared memory", [&]() -> Result<Chunk> {
        const interprocess::shared_memory_object file(interprocess::open_only, name_.data(),
                                                      interprocess::read_write);
        if (auto ok = sys::allocate_file(file.get_mapping_handle().handle, size_ + bytes); !ok)
            return tl::unexpected(ok.error());
        const auto memory = mappings_->add(file, size_, bytes, at_fork);
        if (!memory)
            return tl::unexpected(memory.error());
        const Chunk chunk{*memory, size_};
        size_ += bytes;
        return chunk;
    });
}

void Segment::fill_in_child() noexcept
{
    mappings_->fill_in_child();
}

void Segment::remove_name() noexcept
{
    (void)sys::remove_shared_memory(name_.data());
}

} // namespace writewatch::registry
