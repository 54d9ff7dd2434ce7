// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The fixed layout of a registry segment: what a process that watches memory publishes about
// itself, and other processes of its user read (docs/registry.md). Version 1.
//
// One file of a shared-memory file system per process, /dev/shm/writewatch.PID.START.UNIQUE, mode
// 0600. Everything in it is found by offsets from its beginning. It grows and never shrinks:
//
//     offset 0       Header (one page)
//     then           chunks, each from a page boundary on, at the offsets that the header names:
//                    RegionRecord[first_region_chunk << k], LatchRecord[first_latch_chunk << k]
//
// A record is known by its number through all chunks. All integers are little-endian and aligned.
//
// Concurrency: the owner writes, everybody else reads and never makes it wait. What belongs
// together has a sequence: odd while the owner changes it, another value afterwards. Counters are
// words of their own. Others write in one place, LatchRecord::cleared.
//
// A reader must trust nothing in here: reader.h.
#pragma once

#include "shim/core/chunks.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace writewatch::registry {

inline constexpr std::array<char, 8> magic{'W', 'W', 'R', 'E', 'G', 'I', 'S', 'T'};
inline constexpr std::uint32_t layout_version = 1;

inline constexpr std::size_t segment_page = 4096;

// Chunk k holds the first one's number of records times 2^k.
inline constexpr std::size_t region_chunks = 12;
inline constexpr std::uint32_t first_region_chunk = 32;
inline constexpr std::uint32_t max_regions = first_region_chunk * ((1U << region_chunks) - 1);
static_assert(max_regions == 131'040);

inline constexpr std::size_t latch_chunks = 10;
inline constexpr std::uint32_t first_latch_chunk = 16;
inline constexpr std::uint32_t max_latch_windows = first_latch_chunk * ((1U << latch_chunks) - 1);

// Of one region, or of a process. Times are of the calls that were measured (`samples`): multiplied
// by (gets + gets_with_reset) / samples they estimate the whole.
struct Counters {
    std::uint64_t gets = 0;            // calls that read
    std::uint64_t gets_with_reset = 0; // calls that read and reset
    std::uint64_t resets = 0;          // calls that only reset
    std::uint64_t pages = 0;           // reported by gets of both kinds
    std::uint64_t samples = 0;         // gets whose time was taken: about one in 64
    std::uint64_t kernel_ns = 0;       // of these, in the backend (the ioctl)
    std::uint64_t user_ns = 0;         // of these, in the library above it
    std::uint32_t errors = 0;          // gets and resets that failed
    std::uint32_t over_reports = 0;    // times that pages were reported for want of knowledge
};

// What the addresses and protections of a process mean.
enum class Host : std::uint32_t {
    unknown = 0,
    native_win32 = 1, // libwritewatch-win32: protections are PAGE_*
    c_api = 2,        // libwritewatch: protections are PROT_*
    wine = 3,         // the preload: protections are PAGE_*
};

enum class HeaderState : std::uint32_t {
    unfinished = 0, // just created: nothing else in it counts yet
    ready = 1,
};

// Header::flags
inline constexpr std::uint32_t regions_incomplete = 1U << 0; // some regions have no record
inline constexpr std::uint32_t latches_incomplete = 1U << 1; // some latched pages have none

struct Header {
    std::array<char, 8> magic;
    std::uint32_t version;
    std::uint32_t header_bytes; // sizeof(Header)
    std::uint64_t size;         // of the file, as far as it is in use

    HeaderState state;
    std::uint32_t flags; // *_incomplete

    // Identity; constant once ready.
    std::uint32_t pid;           // in the owner's pid namespace
    std::uint32_t uid;           // effective
    std::uint64_t start_time;    // /proc/PID/stat, field 22: clock ticks since boot
    std::uint64_t pid_namespace; // inode of /proc/PID/ns/pid
    std::uint64_t created;       // CLOCK_REALTIME, ns
    std::uint32_t windows_pid;   // under Wine, else 0
    Host host;
    std::uint64_t prefix_device; // under Wine: of the prefix's directory, else 0
    std::uint64_t prefix_inode;

    std::uint32_t region_bytes;   // sizeof(RegionRecord)
    std::uint32_t latch_bytes;    // sizeof(LatchRecord)
    std::uint32_t region_count;   // records [1, region_count) have been in use; 0 never is
    std::uint32_t latch_count;    // records [0, latch_count) have been in use
    std::uint64_t region_changes; // of all region records together; odd: being changed
    std::uint64_t latch_sequence; // of all latch records together; odd: being changed
    std::uint64_t reserved;

    std::array<std::uint64_t, region_chunks> region_chunk; // offsets; 0: not there yet
    std::array<std::uint64_t, latch_chunks> latch_chunk;

    Counters retired; // of regions that are gone

    // Texts end with 0 within their field; UTF-8, cut when longer.
    std::array<char, 32> library_version;
    std::array<char, 32> backend;
    std::array<char, 256> backend_reason; // why not the better one; empty: it is the best
    std::array<char, 1024> image;         // the program: a Windows path under Wine, else Linux'
    std::array<char, 1024> prefix;        // WINEPREFIX
    std::array<char, 1360> padding;
};

static_assert(sizeof(Counters) == 64);
static_assert(offsetof(Header, magic) == 0);
static_assert(offsetof(Header, version) == 8);
static_assert(offsetof(Header, size) == 16);
static_assert(offsetof(Header, state) == 24);
static_assert(offsetof(Header, pid) == 32);
static_assert(offsetof(Header, region_bytes) == 88);
static_assert(offsetof(Header, latch_sequence) == 112);
static_assert(offsetof(Header, region_chunk) == 128);
static_assert(offsetof(Header, latch_chunk) == 224);
static_assert(offsetof(Header, retired) == 304);
static_assert(offsetof(Header, library_version) == 368);
static_assert(offsetof(Header, image) == 688);
static_assert(sizeof(Header) == segment_page);

enum class RecordState : std::uint32_t { unused = 0, live = 1 };

// How the pages of a region read before their first write (shim/backend/backend.h, Mode).
enum class RegionMode : std::uint32_t { on_presence = 0, armed = 1, armed_huge = 2 };

struct RegionRecord {
    std::uint32_t sequence; // of the rest of this line; odd: being changed
    RecordState state;
    std::uint64_t base;
    std::uint64_t bytes;
    std::uint64_t id;         // never used twice in a process
    std::uint64_t created;    // CLOCK_REALTIME, ns
    std::uint32_t protection; // when allocated; see Host
    RegionMode mode;
    std::array<std::uint64_t, 2> reserved;

    Counters counters;
};
static_assert(sizeof(RegionRecord) == 128);
static_assert(offsetof(RegionRecord, counters) == 64);

// The latched pages of 16 MiB of address space: reported until they are reset, whatever happens to
// their contents.
//
// Another process that returned latched pages to its caller and reset them cannot clear their bits,
// since the owner may be latching them again. It leaves a request: the bits in `cleared`, then in
// `cleared_version` the version it read them at. The owner honours it before it next looks at or
// changes the window, if the version is still the same; if not, pages may have been latched since,
// and are reported once more. Until then readers take the request into account themselves. Those
// who write requests exclude each other by a lock on the file (remote.h).
struct LatchRecord {
    std::uint64_t window;          // its first address, a multiple of latch_window_bytes; 0: unused
    std::uint32_t version;         // grows whenever pages are latched in here; never 0
    std::uint32_t cleared_version; // written by others; 0: no request
    std::array<std::uint64_t, 64> words;   // a bit per page
    std::array<std::uint64_t, 64> cleared; // written by others
    std::array<std::uint64_t, 30> reserved;
};
inline constexpr std::uint64_t latch_window_bytes = std::uint64_t{64} * 64 * 4096;
static_assert(offsetof(LatchRecord, words) == 16);
static_assert(offsetof(LatchRecord, cleared) == 528);
static_assert(sizeof(LatchRecord) == 1280);
static_assert(first_region_chunk * sizeof(RegionRecord) % segment_page == 0);
static_assert(first_latch_chunk * sizeof(LatchRecord) % segment_page == 0);

using core::place_of;
static_assert(place_of(0, 32).chunk == 0 && place_of(31, 32).index == 31);
static_assert(place_of(32, 32).chunk == 1 && place_of(32, 32).index == 0);
static_assert(place_of(95, 32).chunk == 1 && place_of(96, 32).chunk == 2);
static_assert(place_of(max_regions - 1, 32).chunk == region_chunks - 1);

constexpr std::size_t chunk_bytes(unsigned chunk, std::uint32_t first_chunk, std::size_t record)
{
    return (static_cast<std::size_t>(first_chunk) << chunk) * record;
}

} // namespace writewatch::registry
