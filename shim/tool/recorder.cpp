// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/recorder.h"

#include "shim/tool/clock.h"
#include "shim/tool/processes.h"

#include <cerrno>
#include <utility>

namespace writewatch::tool {

namespace {

// Whether a call began or ended.
bool called_between(const registry::Counters& before, const registry::Counters& now)
{
    return all_gets(now) != all_gets(before) || now.pages != before.pages ||
           now.resets != before.resets;
}

} // namespace

Recorder::Recorder(RecordingWriter writer, std::uint64_t interval_ns,
                   std::function<bool(const registry::ProcessInfo&)> belongs)
    : writer_(std::move(writer)), began_(monotonic_ns()), interval_(interval_ns),
      belongs_(std::move(belongs))
{}

std::uint64_t Recorder::now() const
{
    return monotonic_ns() - began_;
}

void Recorder::discover()
{
    for (const registry::ProcessInfo& process : load_processes()) {
        if (sources_.count(process.segment) != 0 || rejected_.count(process.segment) != 0)
            continue;
        if (!belongs_(process)) {
            rejected_.insert(process.segment);
            continue;
        }
        // It may have ended since: then it is not there any more.
        if (auto reader = registry::SegmentReader::open(process.segment))
            add_source(std::move(*reader), process);
    }
    discovered_ = true;
}

void Recorder::add_source(registry::SegmentReader reader, const registry::ProcessInfo& process)
{
    Source source{std::move(reader), totals_.processes++, std::nullopt, {}, true, !discovered_};
    writer_.process({source.number, static_cast<std::uint64_t>(process.pid), process.windows_pid,
                     process.image, process.prefix, process.library_version, process.backend});
    if (!process.same_pid_namespace) {
        problem_ = "a process lives in another container: its pages cannot be looked at";
    } else if (!tracked_by_kernel(process)) {
        problem_ = "backend " + process.backend +
                   " does not leave what was written in the page "
                   "tables: only counters are recorded";
    } else {
        auto pages = ProcessPages::open(process.pid, true);
        if (pages)
            source.pages = std::move(*pages);
        else
            problem_ = describe_failure(pages.error(), process.pid);
    }
    sources_.emplace(process.segment, std::move(source));
}

void Recorder::look()
{
    for (auto at = sources_.begin(); at != sources_.end();) {
        if (look_at(at->second)) {
            ++at;
        } else {
            retire(at->second);
            at = sources_.erase(at);
        }
    }
}

// False: the process has ended.
bool Recorder::look_at(Source& source)
{
    const auto process = source.reader.read();
    if (!process) {
        const bool alive = process.error().code != ESRCH && source.reader.alive();
        // What it counted last is still there, if it did not release its regions.
        for (auto& [id, region] : source.regions)
            if (!alive)
                (void)note_current_counters(source, region);
        return alive;
    }
    for (auto& [id, region] : source.regions)
        region.seen = false;
    for (const registry::RegionInfo& info : process->regions) {
        Region& region = find_region(source, *process, info);
        region.seen = true;
        const bool asked = called_between(region.counters, info.counters);
        note_counters(region, info.counters);
        if (source.pages && (asked || now() >= region.next_look))
            look_at_pages(source, region);
    }
    for (auto at = source.regions.begin(); at != source.regions.end();) {
        if (at->second.seen) {
            ++at;
        } else {
            write_counters(at->second);
            writer_.region_gone(now(), at->second.number);
            at = source.regions.erase(at);
        }
    }
    source.first = false;
    return true;
}

Recorder::Region& Recorder::find_region(Source& source, const registry::ProcessInfo& process,
                                        const registry::RegionInfo& info)
{
    const auto found = source.regions.find(info.id);
    // Part of a region may be released: what is left counts as another one.
    if (found != source.regions.end()) {
        if (found->second.range == info.range)
            return found->second;
        write_counters(found->second);
        writer_.region_gone(now(), found->second.number);
    }
    Region region;
    region.number = totals_.regions++;
    region.range = info.range;
    region.mode = mode_of(info);
    // What it did before the recording began is not part of it.
    const bool existed = source.first && source.existed;
    if (existed)
        region.counters = info.counters;
    else if (found != source.regions.end())
        region.counters = found->second.counters;
    region.at_last_look = region.counters;
    region.noted = region.counters;
    writer_.region(now(), {region.number, source.number, info.range.start, info.range.bytes(),
                           protection_text(process, info), existed});
    return source.regions.insert_or_assign(info.id, std::move(region)).first->second;
}

void Recorder::note_counters(Region& region, const registry::Counters& counters)
{
    region.counters = counters;
    const registry::Counters step = difference(counters, region.noted);
    // A get is counted when it begins, its pages when it ends. One that finds none adds none.
    constexpr std::uint64_t longest_get = 20'000'000;
    const bool began = all_gets(step) > 0 && step.pages == 0 && step.samples == 0;
    if (began && region.pending_since == 0)
        region.pending_since = now();
    if (began && now() - region.pending_since < longest_get)
        return;
    write_counters(region);
}

void Recorder::write_counters(Region& region)
{
    const registry::Counters step = difference(region.counters, region.noted);
    region.noted = region.counters;
    region.pending_since = 0;
    const std::uint64_t gets = all_gets(step);
    if (gets == 0 && step.pages == 0 && step.resets == 0 && step.samples == 0 && step.errors == 0 &&
        step.over_reports == 0)
        return;
    totals_.gets += gets;
    totals_.pages += step.pages;
    writer_.counters(now(), {region.number, gets, step.resets, step.pages, step.samples,
                             step.kernel_ns, step.user_ns, step.errors, step.over_reports});
}

// Whether the program made a call since they were noted.
bool Recorder::note_current_counters(Source& source, Region& region)
{
    const auto table = source.reader.read_regions();
    if (!table)
        return false;
    for (const registry::RegionInfo& info : table->regions) {
        if (!(info.range == region.range))
            continue;
        const bool changed = called_between(region.counters, info.counters);
        if (changed)
            note_counters(region, info.counters);
        return changed;
    }
    return false;
}

void Recorder::look_at_pages(Source& source, Region& region)
{
    const std::uint64_t before = now();
    auto runs = source.pages->written(region.range, region.mode);
    // What was seen must belong to the counters: a get in between would make pages news twice.
    for (int attempt = 0; runs && attempt < 3 && note_current_counters(source, region); ++attempt)
        runs = source.pages->written(region.range, region.mode);
    const std::uint64_t after = now();
    region.next_look = after + interval_;
    if (!runs)
        return; // the process is ending: the next look tells
    ++totals_.looks;
    look_ns_ += after - before;
    WriteTracker::Look look =
        region.tracker.look(std::move(*runs), difference(region.counters, region.at_last_look));
    region.at_last_look = region.counters;
    if (look.news.empty() && look.written == region.written)
        return; // nothing to tell
    region.written = look.written;
    for (PageRange& run : look.news)
        run = {(run.start - region.range.start) >> page_shift,
               (run.end - region.range.start) >> page_shift};
    writer_.sample(after, {region.number, look.fresh, look.written, std::move(look.news)});
}

void Recorder::retire(Source& source)
{
    for (auto& [id, region] : source.regions) {
        write_counters(region);
        writer_.region_gone(now(), region.number);
    }
}

Recorder::Totals Recorder::totals() const
{
    Totals totals = totals_;
    totals.bytes = writer_.bytes();
    return totals;
}

bool Recorder::finish(recorded::EndReason reason)
{
    for (auto& [segment, source] : sources_)
        for (auto& [id, region] : source.regions)
            write_counters(region);
    return writer_.finish(now(), {reason, totals_.looks, look_ns_});
}

} // namespace writewatch::tool
