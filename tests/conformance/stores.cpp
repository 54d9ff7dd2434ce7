// SPDX-License-Identifier: LGPL-2.1-or-later
// Every kind of store by the CPU is a write.
#include "memory.h"

#include <atomic>
#include <cstring>
#include <emmintrin.h>

using namespace conformance;

namespace {

constexpr char source[] = "Microsoft Learn: GetWriteWatch (pages that have been written to)";

/// Keeps the compiler from joining, moving or dropping stores around this point.
void barrier()
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
    asm volatile("" ::: "memory");
}

template<typename T> void store_value(std::byte* at)
{
    const T value = static_cast<T>(0x5a5a5a5a5a5a5a5aU);
    std::memcpy(at, &value, sizeof value); // one unaligned store
    barrier();
}

/// The same store into a fresh page, and into a page that was populated and reset.
template<typename Store> void check_marks(const Pages& pages, const Store& store_into)
{
    Region region(8);
    store_into(region);
    check_equal("pages reported, fresh region", region.take(), pages);
    region.write_all();
    region.reset();
    store_into(region);
    check_equal("pages reported, after a reset", region.take(), pages);
}

} // namespace

RULE(stores, of_one_byte, source)
{
    check_marks({2}, [](const Region& region) { store_value<std::uint8_t>(region.page(2)); });
}

RULE(stores, of_two_bytes, source)
{
    check_marks({2}, [](const Region& region) { store_value<std::uint16_t>(region.page(2, 6)); });
}

RULE(stores, of_four_bytes, source)
{
    check_marks({2}, [](const Region& region) { store_value<std::uint32_t>(region.page(2, 8)); });
}

RULE(stores, of_eight_bytes, source)
{
    check_marks({2}, [](const Region& region) {
        store_value<std::uint64_t>(region.page(2, page_size - 8));
    });
}

RULE(stores, of_four_bytes_across_a_page_edge, "observed: Wine's tests")
{
    check_marks({2, 3}, [](const Region& region) {
        store_value<std::uint32_t>(region.page(2, page_size - 2));
    });
}

RULE(stores, of_two_bytes_across_a_page_edge, source)
{
    check_marks({2, 3}, [](const Region& region) {
        store_value<std::uint16_t>(region.page(2, page_size - 1));
    });
}

RULE(stores, of_eight_bytes_across_a_page_edge, source)
{
    check_marks({2, 3}, [](const Region& region) {
        store_value<std::uint64_t>(region.page(2, page_size - 1));
    });
}

RULE(stores, of_a_vector, source)
{
    check_marks({2}, [](const Region& region) {
        _mm_store_si128(reinterpret_cast<__m128i*>(region.page(2, 64)), _mm_set1_epi8(1));
        barrier();
    });
}

RULE(stores, of_a_vector_across_a_page_edge, source)
{
    check_marks({2, 3}, [](const Region& region) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(region.page(2, page_size - 8)),
                         _mm_set1_epi8(1));
        barrier();
    });
}

RULE(stores, past_the_cache, source)
{
    check_marks({2, 4}, [](const Region& region) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(region.page(2)), _mm_set1_epi8(1));
        _mm_stream_si32(reinterpret_cast<int*>(region.page(4)), 1);
        _mm_sfence();
        barrier();
    });
}

RULE(stores, by_atomic_exchange, source)
{
    check_marks({2}, [](const Region& region) {
        std::atomic_ref(*reinterpret_cast<std::uint64_t*>(region.page(2))).exchange(1);
    });
}

RULE(stores, by_atomic_addition, source)
{
    check_marks({2}, [](const Region& region) {
        std::atomic_ref(*reinterpret_cast<std::uint32_t*>(region.page(2, 128))).fetch_add(1);
    });
}

RULE(stores, by_compare_and_swap, source)
{
    Region region(4);
    std::uint64_t expected = 0;
    check("the comparison holds", std::atomic_ref(*reinterpret_cast<std::uint64_t*>(region.page(1)))
                                      .compare_exchange_strong(expected, 7));
    check_equal("pages reported", region.written(), Pages{1});
}

RULE(stores, by_atomic_or_with_zero, source)
{
    // Changes no bit; collectors and Wine itself touch pages so.
    check_marks({2}, [](const Region& region) {
        auto* const word = reinterpret_cast<std::uint32_t*>(region.page(2));
        asm volatile("lock orl $0, %0" : "+m"(*word)::"cc");
    });
}

RULE(stores, by_memset_over_pages, source)
{
    check_marks({1, 2, 3}, [](const Region& region) {
        std::memset(region.page(1, page_size - 1), 1, page_size + 2);
        barrier();
    });
}

RULE(stores, by_memcpy_over_pages, source)
{
    static const std::byte from[3 * page_size]{};
    check_marks({1, 2, 3, 4}, [](const Region& region) {
        std::memcpy(region.page(1, 100), from, 3 * page_size);
        barrier();
    });
}

RULE(stores, by_string_instructions, source)
{
    check_marks({3, 4}, [](const Region& region) {
        void* at = region.page(3, page_size - 16);
        std::size_t count = 32;
        asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(1) : "memory");
    });
}

RULE(stores, of_whole_pages_in_ascending_order, source)
{
    Region region(256);
    for (std::size_t i = 0; i < region.size(); i += sizeof(std::uint64_t))
        store_value<std::uint64_t>(region.base() + i);
    check_equal("pages reported", region.written(), every(1, 256));
}
