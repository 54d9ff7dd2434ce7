// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Mappings for the peers that manage their memory themselves; private, anonymous, in small pages.
// A failure ends the process.
#pragma once

#include <cstddef>

namespace bench {

char* map_memory(std::size_t bytes, int protection);
void unmap_memory(char* base, std::size_t bytes);
// Makes mapped memory accessible, as a commit does.
void allow_access(char* base, std::size_t bytes);

} // namespace bench
