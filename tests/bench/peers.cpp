// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every peer of the benches tracks exactly what is written, and a peer that does not is found out
// before it is timed.
#include "shim/bench/dirt.h"
#include "shim/bench/verify.h"
#include "tests/bench/suite/faulty_peer.h"
#include "tests/support/catch.h"

#include <iostream>

using namespace bench;

std::optional<writewatch::test::Missing> writewatch::test::missing()
{
    try {
        make_peer("floor");
    } catch (const Unavailable& reason) {
        return Missing{"pagemap-scan", reason.what()};
    }
    return std::nullopt;
}

TEST_CASE("peers answer what was written", "[bench]")
{
    for (const std::string& name : peer_names()) {
        try {
            const auto peer = make_peer(name);
            CAPTURE(name);
            CHECK(find_mistake(*peer).value_or("") == "");
            CHECK(peer->name() == name);
        } catch (const Unavailable& reason) {
            // The others must be there: they need what missing() asks for, or nothing.
            CAPTURE(name);
            CHECK((name == "soft-dirty" || name == "uffd-sync"));
            std::cerr << name << ": not available here: " << reason.what() << "\n";
        }
    }
}

TEST_CASE("a peer that answers wrong is found out", "[bench]")
{
    using Fault = FaultyPeer::Fault;
    const auto fault = GENERATE(Fault::loses_a_page, Fault::invents_a_page, Fault::repeats_a_page,
                                Fault::forgets_to_reset, Fault::resets_too_much);
    CAPTURE(static_cast<int>(fault));
    FaultyPeer peer(make_peer("floor"), fault);
    CHECK(find_mistake(peer).has_value());
}

TEST_CASE("dirt is the share and shape that it says", "[bench]")
{
    const auto permille = GENERATE(0U, 1U, 10U, 100U, 250U, 500U, 1000U);
    const auto pages = GENERATE(std::size_t{16}, std::size_t{4096}, std::size_t{65'536});
    CAPTURE(permille, pages);
    const Dirt scattered(pages, permille, Shape::scattered);
    const Dirt clustered(pages, permille, Shape::clustered);
    CHECK(scattered.count() == clustered.count());
    CHECK(scattered.count() >= pages * permille / 1000);
    CHECK(scattered.count() <= pages * permille / 1000 + 1);
    for (const Dirt& dirt : {scattered, clustered}) {
        std::vector<void*> addresses;
        bool ascending = true;
        for (std::size_t i = 0; i < dirt.count(); ++i) {
            ascending = ascending && (i == 0 || dirt.nth(i) > dirt.nth(i - 1));
            addresses.push_back(reinterpret_cast<void*>(dirt.nth(i) * page_size));
        }
        CHECK(ascending);
        CHECK((dirt.count() == 0 || dirt.nth(dirt.count() - 1) < pages));
        CHECK(dirt.matches(nullptr, addresses.data(), addresses.size()));
        if (!addresses.empty()) {
            CHECK_FALSE(dirt.matches(nullptr, addresses.data(), addresses.size() - 1));
            addresses.back() = static_cast<char*>(addresses.back()) + page_size;
            CHECK_FALSE(dirt.matches(nullptr, addresses.data(), addresses.size()));
        }
    }
}
