// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/verify.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

namespace bench {

namespace {

// More than a vector of 512 runs holds, and less than a step of the library's fast path.
constexpr std::size_t pages = 1500;

class Comparison {
  public:
    explicit Comparison(Peer& peer) : peer_(peer), base_(peer.allocate(bytes)), found_(pages) {}
    ~Comparison() { peer_.release(base_, bytes); }
    Comparison(const Comparison&) = delete;
    Comparison& operator=(const Comparison&) = delete;

    // Empty: all answers were right.
    std::string run()
    {
        expect("fresh memory", 0, pages, false);
        read_some();
        expect("pages that were only read", 0, pages, false);
        write_some(1);
        expect("first writes", 0, pages, false);
        expect("a part", 100, 700, false);
        if (peer_.resets_ranges())
            reset_parts();
        expect("get with reset", 0, pages, true);
        expect("after the reset", 0, pages, false);
        write_some(2);
        expect("writes after a reset", 0, pages, false);
        peer_.reset(base_, bytes);
        written_.clear();
        expect("after a reset without get", 0, pages, true);
        write_some(3);
        expect("writes after that", 0, pages, true);
        return mistake_;
    }

  private:
    static constexpr std::size_t bytes = pages * page_size;

    void read_some() const
    {
        for (std::size_t page = 0; page < pages; page += 3)
            (void)*static_cast<volatile char*>(base_ + page * page_size);
    }

    void write_some(unsigned seed)
    {
        std::mt19937 random(seed);
        for (std::size_t page = 0; page < pages; ++page) {
            // Runs of different lengths, and gaps.
            if (random() % 100 >= 37)
                continue;
            for (std::size_t run = random() % 4; run-- > 0 && page < pages; ++page) {
                write_page(base_, page, static_cast<char>(seed));
                written_.insert(base_ + page * page_size);
            }
        }
    }

    void reset_parts()
    {
        peer_.reset(base_ + 300 * page_size, 50 * page_size);
        forget(300, 350);
        expect("reset of a part", 0, pages, false);
        // An array that is too short: what does not fit stays written.
        const std::size_t capacity = 10;
        const std::size_t count = peer_.get_reset(base_, bytes, found_.data(), capacity);
        const std::vector<void*> expected(written_.begin(), std::next(written_.begin(), capacity));
        compare("an array that is too short", expected, count);
        written_.erase(written_.begin(), std::next(written_.begin(), capacity));
        expect("what did not fit", 0, pages, false);
        expect("get with reset of a part", 900, 1200, true);
    }

    void expect(const char* what, std::size_t first, std::size_t last, bool reset)
    {
        char* const start = base_ + first * page_size;
        char* const end = base_ + last * page_size;
        const std::size_t size = (last - first) * page_size;
        const std::size_t count = reset ? peer_.get_reset(start, size, found_.data(), pages)
                                        : peer_.get(start, size, found_.data(), pages);
        const std::vector<void*> expected(written_.lower_bound(start), written_.lower_bound(end));
        compare(what, expected, count);
        if (reset)
            forget(first, last);
    }

    void forget(std::size_t first, std::size_t last)
    {
        written_.erase(written_.lower_bound(base_ + first * page_size),
                       written_.lower_bound(base_ + last * page_size));
    }

    void compare(const char* what, const std::vector<void*>& expected, std::size_t count)
    {
        if (!mistake_.empty())
            return;
        if (count > found_.size() ||
            !std::equal(expected.begin(), expected.end(), found_.begin(),
                        found_.begin() + static_cast<std::ptrdiff_t>(count)))
            mistake_ = std::string(what) + ": " + std::to_string(count) + " pages, expected " +
                       std::to_string(expected.size()) +
                       (count == expected.size() ? " others" : "");
    }

    Peer& peer_;
    char* base_;
    std::vector<void*> found_;
    std::set<void*> written_;
    std::string mistake_;
};

} // namespace

std::optional<std::string> find_mistake(Peer& peer)
{
    if (!peer.answers())
        return std::nullopt;
    std::string mistake = Comparison(peer).run();
    if (mistake.empty())
        mistake = peer.take_limit();
    return mistake.empty() ? std::nullopt : std::optional(mistake);
}

} // namespace bench
