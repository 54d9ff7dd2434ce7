// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/tool/write_tracker.h"

#include <utility>

namespace writewatch::tool {

WriteTracker::Look WriteTracker::look(PageRuns now, const registry::Counters& step)
{
    Look look;
    look.written = count_pages(now);
    PageRuns added = subtract(now, before_);
    const std::size_t vanished = before_pages_ - (look.written - count_pages(added));

    // A get is counted when it begins, its pages when it ends; in between it resets them, which may
    // be seen before it is counted: those are not taken for reset twice. If fewer were reset than
    // are still written, a page may be old: it is then no news, rather than an invention.
    const double reset = reset_pages(step);
    look.fresh =
        reset > 0 && reset - static_cast<double>(uncounted_) >= static_cast<double>(before_pages_);
    uncounted_ = reset > 0 ? 0 : uncounted_ + vanished;
    look.news = look.fresh ? now : std::move(added);
    before_ = std::move(now);
    before_pages_ = look.written;
    return look;
}

// Pages that the program's calls reset since the last look, as far as counters tell.
double WriteTracker::reset_pages(const registry::Counters& step)
{
    if (step.resets > 0) // ResetWriteWatch: usually of the whole region
        return static_cast<double>(before_pages_ + uncounted_ + 1);
    gets_ += step.gets;
    resetting_ += step.gets_with_reset;
    if (step.pages == 0)
        return 0;
    if (gets_ + resetting_ > 0)
        resetting_share_ =
            static_cast<double>(resetting_) / static_cast<double>(gets_ + resetting_);
    gets_ = resetting_ = 0;
    return static_cast<double>(step.pages) * resetting_share_;
}

} // namespace writewatch::tool
