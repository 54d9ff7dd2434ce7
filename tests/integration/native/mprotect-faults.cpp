// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The mprotect backend lives by SIGSEGV, which the program and other people send and handle, too.
#include "tests/support/tracker.h"

#include <csetjmp>
#include <csignal>

using namespace writewatch::test;

std::optional<Missing> writewatch::test::missing()
{
    // Nothing of the library may run here: the cases install handlers before it does.
    return std::nullopt;
}

namespace {

ww_tracker* open_mprotect()
{
    ww_tracker* tracker = nullptr;
    const ww_options options{sizeof(ww_options), "mprotect"};
    return ww_open(&options, &tracker) == 0 ? tracker : nullptr;
}

long collect(ww_tracker* tracker, const Mapping& m, void** found)
{
    return ww_collect(tracker, m.start(), m.bytes(), WW_RESET, found, m.pages());
}

volatile std::sig_atomic_t seen = 0;
sigjmp_buf back;

void note(int)
{
    seen = seen + 1;
}

void note_and_jump(int, siginfo_t* info, void*)
{
    seen = info->si_code == SEGV_ACCERR ? 1 : 2;
    siglongjmp(back, 1);
}

} // namespace

TEST_CASE("a SIGSEGV that is sent has its usual effect", "[native][mprotect]")
{
    SECTION("the default action ends the program")
    {
        CHECK(in_child([] {
                  if (open_mprotect() == nullptr)
                      return 1;
                  raise(SIGSEGV);
                  return 0;
              }) == 200 + SIGSEGV);
    }
    SECTION("ignored, it is ignored, and tracking goes on")
    {
        CHECK(in_child([] {
                  signal(SIGSEGV, SIG_IGN);
                  ww_tracker* const tracker = open_mprotect();
                  const Mapping m(4);
                  if (tracker == nullptr || ww_watch(tracker, m.start(), m.bytes(), 0) != 0)
                      return 1;
                  raise(SIGSEGV);
                  m.write(2);
                  void* found[4];
                  return collect(tracker, m, found) == 1 && found[0] == m.at(2) ? 0 : 2;
              }) == 0);
    }
    SECTION("a handler is called, and tracking goes on")
    {
        CHECK(in_child([] {
                  signal(SIGSEGV, note);
                  ww_tracker* const tracker = open_mprotect();
                  const Mapping m(4);
                  if (tracker == nullptr || ww_watch(tracker, m.start(), m.bytes(), 0) != 0)
                      return 1;
                  m.write(1);
                  if (seen != 0)
                      return 2;
                  raise(SIGSEGV);
                  m.write(2);
                  void* found[4];
                  return seen == 1 && collect(tracker, m, found) == 2 ? 0 : 3;
              }) == 0);
    }
}

TEST_CASE("a fault that is the program's own goes to the program", "[native][mprotect]")
{
    SECTION("and ends it by default")
    {
        CHECK(in_child([] {
                  ww_tracker* const tracker = open_mprotect();
                  const Mapping m(4);
                  if (tracker == nullptr || ww_watch(tracker, m.start(), m.bytes(), 0) != 0)
                      return 1;
                  const Mapping other(1);
                  mprotect(other.start(), page, PROT_READ);
                  other.write(0);
                  return 0;
              }) == 200 + SIGSEGV);
    }
    SECTION("with its siginfo, also where memory was watched once")
    {
        CHECK(in_child([] {
                  struct sigaction action = {};
                  action.sa_sigaction = note_and_jump;
                  action.sa_flags = SA_SIGINFO;
                  sigaction(SIGSEGV, &action, nullptr);
                  ww_tracker* const tracker = open_mprotect();
                  const Mapping m(4);
                  if (tracker == nullptr || ww_watch(tracker, m.start(), m.bytes(), 0) != 0 ||
                      ww_unwatch(tracker, m.start(), m.bytes()) != 0)
                      return 1;
                  mprotect(m.start(), page, PROT_READ);
                  if (sigsetjmp(back, 1) == 0) {
                      m.write(0);
                      return 2;
                  }
                  return seen == 1 ? 0 : 3;
              }) == 0);
    }
}

// A page between two watched stretches of the same protection must stay as it is when a fault finds
// no mapping to spare and takes its neighbours along.
TEST_CASE("without mappings to spare a fault touches watched pages only", "[native][mprotect]")
{
    CHECK(in_child([] {
              ww_tracker* const tracker = open_mprotect();
              const Mapping m(64, MAP_PRIVATE | MAP_ANONYMOUS, -1, 64 * page);
              // Watched but for page 8, whose neighbours are.
              if (tracker == nullptr || ww_watch(tracker, m.at(0), 8 * page, 0) != 0 ||
                  ww_watch(tracker, m.at(9), 55 * page, 0) != 0)
                  return 1;
              mprotect(m.at(8), page, PROT_READ | PROT_EXEC); // no neighbour to merge with
              // Alternating protections until the kernel refuses.
              constexpr std::size_t bytes = 140'000 * page;
              auto* const many = static_cast<char*>(mmap(
                  nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
              std::size_t used = 1;
              while (used < 139'000 && mprotect(many + used * page, page, PROT_READ) == 0)
                  used += 2;
              if (used >= 139'000)
                  return 2;
              for (const std::size_t number : Numbers{12, 4, 30, 2, 62, 9, 7})
                  m.write(number);
              (void)m.read(8);
              munmap(many, bytes);
              void* found[64];
              const long low = ww_collect(tracker, m.at(0), 8 * page, 0, found, 64);
              if (low < 3)
                  return 3;
              const long high = ww_collect(tracker, m.at(9), 55 * page, 0, found, 64);
              return high >= 4 ? 0 : 4;
          }) == 0);
}
