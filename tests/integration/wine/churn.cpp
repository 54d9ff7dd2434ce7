// SPDX-License-Identifier: LGPL-2.1-or-later
//
// churn SECONDS: threads allocate, write, decommit and release memory, watched and not, so that
// addresses pass from one to the other all the time, also released through a real handle. Fresh
// memory must be clean, the answer exact, and memory that is not watched must never be taken for
// watched.
#include "check.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <set>
#include <thread>

namespace {

constexpr SIZE_T max_pages = 64;

HANDLE self = nullptr;
std::atomic<bool> stop{false};
std::atomic<unsigned long> lives{0};
std::atomic<unsigned long> reused{0};
std::atomic<unsigned> wrong{0};

void expect(bool ok, const char* what, volatile char* p)
{
    if (ok || ++wrong > 20)
        return;
    std::printf("wrong at %p: %s (last error %lu)\n", unqualified(p), what,
                static_cast<unsigned long>(GetLastError()));
}

Pages sorted(const std::set<long>& numbers)
{
    return Pages(numbers.begin(), numbers.end());
}

class Life {
  public:
    Life(std::mt19937& random, volatile char* p, SIZE_T pages)
        : random_(random), p_(p), pages_(pages)
    {}

    void live()
    {
        expect(written(p_, pages_) == Pages{}, "fresh memory is clean", p_);
        for (int step = 0; step < 6; ++step) {
            write_some();
            switch (random_() % 4) {
            case 0:
                expect(written(p_, pages_, WRITE_WATCH_FLAG_RESET) == sorted(dirty_),
                       "get and reset", p_);
                dirty_.clear();
                break;
            case 1:
                decommit_some();
                break;
            case 2:
                expect(ResetWriteWatch(unqualified(p_), pages_ * page) == 0, "reset", p_);
                dirty_.clear();
                break;
            default:
                break;
            }
            expect(written(p_, pages_) == sorted(dirty_), "get", p_);
        }
    }

  private:
    void write_some()
    {
        for (int i = 0; i < 3; ++i) {
            const SIZE_T number = random_() % pages_;
            p_[number * page + random_() % page] = 1;
            dirty_.insert(static_cast<long>(number));
        }
    }

    void decommit_some()
    {
        const SIZE_T first = random_() % pages_;
        const SIZE_T count = 1 + random_() % (pages_ - first);
        void* const part = unqualified(p_ + first * page);
        const bool behind_the_table = random_() % 4 == 0;
        expect(VirtualFreeEx(behind_the_table ? self : GetCurrentProcess(), part, count * page,
                             MEM_DECOMMIT),
               "decommit", p_);
        expect(VirtualAlloc(part, count * page, MEM_COMMIT, PAGE_READWRITE) != nullptr, "commit",
               p_);
        std::erase_if(dirty_, [&](long number) {
            return number >= static_cast<long>(first) && number < static_cast<long>(first + count);
        });
    }

    std::mt19937& random_;
    volatile char* p_;
    SIZE_T pages_;
    std::set<long> dirty_;
};

void churn(unsigned seed)
{
    std::mt19937 random(seed);
    std::set<void*> seen;
    while (!stop) {
        const SIZE_T pages = 1 + random() % max_pages;
        const bool watched = random() % 2 == 0;
        auto* const p = static_cast<volatile char*>(VirtualAlloc(
            nullptr, pages * page,
            static_cast<DWORD>(MEM_RESERVE | MEM_COMMIT | (watched ? MEM_WRITE_WATCH : 0)),
            PAGE_READWRITE));
        if (p == nullptr) {
            expect(false, "allocate", p);
            return;
        }
        reused += seen.insert(unqualified(p)).second ? 0 : 1;
        if (watched) {
            Life(random, p, pages).live();
        } else {
            p[0] = 1;
            expect(written(p, pages) == Pages{-1} && GetLastError() == ERROR_INVALID_PARAMETER,
                   "memory that is not watched", p);
        }
        const bool behind_the_table = random() % 4 == 0;
        expect(VirtualFreeEx(behind_the_table ? self : GetCurrentProcess(), unqualified(p), 0,
                             MEM_RELEASE),
               "release", p);
        ++lives;
    }
}

} // namespace

int main(int argc, char** argv)
{
    const int seconds = argc > 1 ? std::atoi(argv[1]) : 5;
    CHECK(DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &self, 0,
                          FALSE, DUPLICATE_SAME_ACCESS));
    const unsigned seed = GetTickCount();
    std::printf("seed %u\n", seed);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i)
        threads.emplace_back(churn, seed + i);
    Sleep(static_cast<DWORD>(seconds) * 1000);
    stop = true;
    for (std::thread& thread : threads)
        thread.join();
    std::printf("%lu allocations, %lu of them at addresses used before, %u wrong\n", lives.load(),
                reused.load(), wrong.load());
    CHECK(wrong == 0);
    CHECK(reused > 100);
    return finish("churn");
}
