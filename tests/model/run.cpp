// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/model/run.h"

#include "tests/model/model.h"
#include "tests/model/system.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace model {

namespace {

using Message = std::optional<std::string>;

std::string error_text(DWORD error)
{
    switch (error) {
    case ERROR_SUCCESS:
        return "success";
    case ERROR_INVALID_PARAMETER:
        return "ERROR_INVALID_PARAMETER";
    case ERROR_NOACCESS:
        return "ERROR_NOACCESS";
    default:
        return "error " + std::to_string(error);
    }
}

Message differs(const char* what, std::uint64_t got, std::uint64_t expected)
{
    if (got == expected)
        return std::nullopt;
    return std::string(what) + ": expected " + std::to_string(expected) + ", got " +
           std::to_string(got);
}

class Run {
  public:
    Run(const std::string& planted, Statistics& statistics)
        : system_(planted), statistics_(statistics)
    {}
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    ~Run()
    {
        for (unsigned i = 0; i < slots; ++i)
            if (model_.slot(i).live)
                VirtualFree(pointer(model_.slot(i).base), 0, MEM_RELEASE);
    }

    Message perform(const Call& call)
    {
        if (!model_.allows(call))
            return std::nullopt;
        ++statistics_.calls;
        switch (call.kind) {
        case Kind::alloc:
            return alloc(call);
        case Kind::commit:
            return agree(VirtualAlloc(address(call), size(call), MEM_COMMIT, call.value) != nullptr,
                         model_.commits(call));
        case Kind::decommit:
            return agree(system_.decommit(address(call), size(call)), model_.decommits(call));
        case Kind::release:
            return release(call);
        case Kind::protect:
            return protect(call);
        case Kind::drop:
            return drop(call);
        case Kind::write:
            std::memset(address(call), static_cast<int>(call.value), size(call));
            model_.wrote(call);
            return std::nullopt;
        case Kind::write_every:
            for (std::uint64_t at = 0; at < call.size; at += call.number)
                static_cast<volatile std::uint8_t*>(address(call))[at] =
                    static_cast<std::uint8_t>(call.value);
            model_.wrote(call);
            return std::nullopt;
        case Kind::read:
            return read(call);
        case Kind::get:
            return get(call);
        case Kind::reset:
            return reset(call);
        case Kind::query:
            return query(call);
        }
        return std::nullopt;
    }

  private:
    static void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }
    void* address(const Call& call) const { return pointer(model_.address(call)); }
    static SIZE_T size(const Call& call) { return static_cast<SIZE_T>(call.size); }

    static Message agree(bool got, bool expected)
    {
        if (got == expected)
            return std::nullopt;
        return expected ? "expected success, got " + error_text(GetLastError())
                        : std::string("expected a failure, got success");
    }

    Message alloc(const Call& call)
    {
        void* const base =
            VirtualAlloc(nullptr, size(call), call.value, static_cast<DWORD>(call.number));
        if (!base)
            return "expected success, got " + error_text(GetLastError());
        model_.allocated(call, reinterpret_cast<std::uintptr_t>(base));
        return std::nullopt;
    }

    Message release(const Call& call)
    {
        if (!system_.release(pointer(model_.slot(call.slot).base)))
            return "expected success, got " + error_text(GetLastError());
        model_.released(call.slot);
        return std::nullopt;
    }

    Message protect(const Call& call)
    {
        const std::optional<Span> span = model_.span(call);
        const DWORD expected_old = span ? span->region->pages[span->first].protect : 0;
        DWORD old = 0;
        const bool done = VirtualProtect(address(call), size(call), call.value, &old) != FALSE;
        const bool expected = model_.protects(call);
        if (Message message = agree(done, expected); message || !expected)
            return message;
        return differs("old protection", old, expected_old);
    }

    Message drop(const Call& call)
    {
        const bool done =
            VirtualAlloc(address(call), size(call), MEM_RESET, PAGE_NOACCESS) != nullptr;
        model_.dropped(call);
        return agree(done, true);
    }

    Message read(const Call& call)
    {
        const Span span = *model_.span(call);
        const auto start = static_cast<std::uint64_t>(call.offset);
        const auto* const memory = static_cast<const std::uint8_t*>(address(call));
        for (std::uint64_t i = 0; i < call.size; ++i) {
            const std::uint64_t at = start + i;
            if (span.region->pages[at / page_size].known && memory[i] != span.region->bytes[at])
                return "byte " + std::to_string(at) + ": expected " +
                       std::to_string(span.region->bytes[at]) + ", got " +
                       std::to_string(memory[i]);
        }
        return std::nullopt;
    }

    Message get(const Call& call)
    {
        constexpr std::size_t spare = 4; // entries behind the array, which nobody may touch
        constexpr ULONG untouched = 0xdeadbeef;
        static char sentinel;
        array_.assign(call.number + spare, &sentinel);
        ULONG_PTR count = call.number;
        ULONG granularity = untouched;
        SetLastError(ERROR_SUCCESS);
        const UINT result = system_.get(
            call.value, address(call), size(call), call.null_array ? nullptr : array_.data(),
            call.null_count ? nullptr : &count, call.null_granularity ? nullptr : &granularity);
        const DWORD error = result == 0 ? DWORD{ERROR_SUCCESS} : GetLastError();

        const Answer expected = model_.get(call);
        if (error != expected.error)
            return "expected " + error_text(expected.error) + ", got " + error_text(error);
        if (error != ERROR_SUCCESS) {
            if (Message message = differs("*count after a failure", count, call.number))
                return message;
            if (Message message = differs("*granularity after a failure", granularity, untouched))
                return message;
            count = 0;
        } else {
            if (Message message = differs("*granularity", granularity, page_size))
                return message;
            if (count > call.number)
                return "*count is " + std::to_string(count) + ", more than fit";
        }
        for (std::size_t i = count; i < array_.size(); ++i)
            if (array_[i] != &sentinel)
                return "entry " + std::to_string(i) + " was written, *count is " +
                       std::to_string(count);
        if (error != ERROR_SUCCESS)
            return std::nullopt;

        statistics_.pages += count;
        std::vector<std::size_t> pages;
        for (std::size_t i = 0; i < count; ++i) {
            const std::uintptr_t distance =
                reinterpret_cast<std::uintptr_t>(array_[i]) - expected.span.region->base;
            if (distance % page_size != 0 || distance >= expected.span.region->size())
                return "entry " + std::to_string(i) + " is no page of the region";
            pages.push_back(distance / page_size);
        }
        return model_.check_pages(call, expected.span, pages);
    }

    Message reset(const Call& call)
    {
        SetLastError(ERROR_SUCCESS);
        const UINT result = system_.reset(address(call), size(call));
        const DWORD error = result == 0 ? DWORD{ERROR_SUCCESS} : GetLastError();
        const Answer expected = model_.reset(call);
        if (error != expected.error)
            return "expected " + error_text(expected.error) + ", got " + error_text(error);
        return std::nullopt;
    }

    Message query(const Call& call)
    {
        MEMORY_BASIC_INFORMATION got{};
        if (VirtualQuery(address(call), &got, sizeof got) != sizeof got)
            return "VirtualQuery fails";
        const MEMORY_BASIC_INFORMATION expected = model_.query(call);
        for (const Message& message :
             {differs("BaseAddress", reinterpret_cast<std::uintptr_t>(got.BaseAddress),
                      reinterpret_cast<std::uintptr_t>(expected.BaseAddress)),
              differs("AllocationBase", reinterpret_cast<std::uintptr_t>(got.AllocationBase),
                      reinterpret_cast<std::uintptr_t>(expected.AllocationBase)),
              differs("AllocationProtect", got.AllocationProtect, expected.AllocationProtect),
              differs("RegionSize", got.RegionSize, expected.RegionSize),
              differs("State", got.State, expected.State),
              differs("Protect", got.Protect, expected.Protect),
              differs("Type", got.Type, expected.Type)})
            if (message)
                return message;
        return std::nullopt;
    }

    Model model_;
    System system_;
    Statistics& statistics_;
    std::vector<void*> array_;
};

} // namespace

std::optional<Mismatch> run(const Sequence& sequence, const std::string& planted,
                            Statistics& statistics)
{
    Run run(planted, statistics);
    for (std::size_t i = 0; i < sequence.size(); ++i)
        if (Message message = run.perform(sequence[i]))
            return Mismatch{i, *message};
    return std::nullopt;
}

} // namespace model
