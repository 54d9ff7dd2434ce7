// SPDX-License-Identifier: LGPL-2.1-or-later
// Sequences of Win32 calls against the model of Windows (tests/model). A finding prints the calls
// as `write-watch-model --replay` reads them.
#include "tests/model/call.h"
#include "tests/model/run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fuzzer/FuzzedDataProvider.h>

using namespace model;

namespace {

constexpr std::size_t max_pages = 1200;
constexpr std::size_t max_calls = 400;

// Around pages' edges of a region, or anything.
std::int64_t offset(FuzzedDataProvider& input)
{
    if (input.ConsumeIntegralInRange(0, 15) == 0)
        return input.ConsumeIntegral<std::int64_t>();
    const std::int64_t page = input.ConsumeIntegralInRange<std::int64_t>(-2, max_pages);
    const std::int64_t byte = input.ConsumeBool() ? input.ConsumeIntegralInRange(-1, 4095) : 0;
    return page * std::int64_t{page_size} + byte;
}

std::uint64_t size(FuzzedDataProvider& input)
{
    if (input.ConsumeIntegralInRange(0, 15) == 0)
        return input.ConsumeIntegral<std::uint64_t>();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, offset(input)));
}

void alloc(Call& call, FuzzedDataProvider& input)
{
    call.size = input.ConsumeIntegralInRange<std::uint64_t>(1, max_pages * page_size);
    call.value = MEM_RESERVE;
    for (const DWORD flag : {DWORD{MEM_COMMIT}, DWORD{MEM_WRITE_WATCH}, DWORD{MEM_TOP_DOWN}})
        if (input.ConsumeIntegralInRange(0, 3) != 0)
            call.value |= flag;
    call.number = input.PickValueInArray<std::uint64_t>({PAGE_READWRITE, PAGE_READONLY});
}

void get(Call& call, FuzzedDataProvider& input)
{
    call.value = input.ConsumeIntegralInRange(0, 15) == 0
                     ? input.ConsumeIntegral<std::uint32_t>()
                     : input.ConsumeIntegralInRange<std::uint32_t>(0, WRITE_WATCH_FLAG_RESET);
    call.number = input.ConsumeIntegralInRange<std::uint64_t>(0, 2 * max_pages);
    const unsigned nulls = input.ConsumeIntegral<std::uint8_t>();
    if (nulls >= 16)
        return;
    call.null_address = (nulls & 1) != 0;
    call.null_array = (nulls & 2) != 0;
    call.null_count = (nulls & 4) != 0;
    call.null_granularity = (nulls & 8) != 0;
}

Call decode(FuzzedDataProvider& input)
{
    Call call;
    call.kind = input.PickValueInArray({Kind::alloc, Kind::commit, Kind::decommit, Kind::release,
                                        Kind::protect, Kind::drop, Kind::write, Kind::write_every,
                                        Kind::read, Kind::get, Kind::reset, Kind::query});
    call.slot = input.ConsumeIntegralInRange<unsigned>(0, slots - 1);
    call.offset = offset(input);
    call.size = size(input);
    switch (call.kind) {
    case Kind::alloc:
        alloc(call, input);
        break;
    case Kind::commit:
        call.value = PAGE_READWRITE;
        break;
    case Kind::protect:
        call.value = input.PickValueInArray<std::uint32_t>(
            {PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE_READWRITE});
        break;
    case Kind::write:
    case Kind::write_every:
        call.value = input.ConsumeIntegral<std::uint8_t>();
        call.number = input.ConsumeIntegralInRange<std::uint64_t>(1, 8 * page_size);
        break;
    case Kind::get:
        get(call, input);
        break;
    default:
        break;
    }
    return call;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t length)
{
    FuzzedDataProvider input(data, length);
    Sequence sequence;
    while (input.remaining_bytes() > 0 && sequence.size() < max_calls)
        sequence.push_back(decode(input));
    Statistics statistics;
    if (const std::optional<Mismatch> mismatch = run(sequence, "", statistics)) {
        const Sequence cut(sequence.begin(),
                           sequence.begin() + static_cast<std::ptrdiff_t>(mismatch->call + 1));
        std::fprintf(stderr, "%s// %s\n", to_text(cut).c_str(), mismatch->message.c_str());
        std::abort();
    }
    return 0;
}
