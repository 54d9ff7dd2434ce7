// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shim/bench/peers.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace bench {

namespace {

struct Kind {
    const char* name;
    const char* description;
    std::unique_ptr<Peer> (*make)();
};

constexpr Kind kinds[] = {
    {"writewatch", "this library, through GetWriteWatch and ResetWriteWatch", make_writewatch},
    {"floor",
     "the bare PAGEMAP_SCAN loop that does the same work: same masks, vector, address expansion",
     make_floor},
    {"eager",
     "eager arming, the design of Wine 10.7 and newer: the whole reservation write-protected, "
     "plain "
     "WRITTEN mask, 256-region vectors, one global lock",
     make_eager},
    {"mprotect",
     "mprotect, SIGSEGV and a byte of state per page under one global lock, the design of Wine 8.0",
     make_mprotect},
    {"uffd-sync", "synchronous userfaultfd write-protect with a handler thread", make_uffd_sync},
    {"soft-dirty", "soft-dirty bits of /proc/self/pagemap, reset for the whole process",
     make_soft_dirty},
    {"none", "no tracking", make_none},
};

} // namespace

const std::vector<std::string>& peer_names()
{
    static const std::vector<std::string> names = [] {
        std::vector<std::string> list;
        for (const Kind& kind : kinds)
            list.emplace_back(kind.name);
        return list;
    }();
    return names;
}

static const Kind& find_kind(std::string_view name)
{
    for (const Kind& kind : kinds)
        if (kind.name == name)
            return kind;
    throw std::invalid_argument("unknown peer '" + std::string(name) + "'");
}

const char* peer_description(std::string_view name)
{
    return find_kind(name).description;
}

std::unique_ptr<Peer> make_peer(std::string_view name)
{
    return find_kind(name).make();
}

void die(std::string_view what, int error)
{
    std::fprintf(stderr, "bench: %.*s: %s\n", static_cast<int>(what.size()), what.data(),
                 std::strerror(error));
    std::exit(1);
}

} // namespace bench
