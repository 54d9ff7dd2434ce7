// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "shim/sys/page.h"

#include <tl/expected.hpp>

namespace writewatch {

// What failed, why, and on which range. `step` is a string literal: an error is made without
// allocating, since it can come from the get path.
struct Error {
    int code = 0; // errno value, positive
    const char* step = "";
    PageRange range{};
};

template<typename T> using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(int code, const char* step, PageRange range = {})
{
    return tl::unexpected<Error>(Error{code, step, range});
}

} // namespace writewatch
