// SPDX-License-Identifier: LGPL-2.1-or-later
// The system under test, and planted mistakes: each "break" falsifies what the system answers, to
// show that the test finds it.
#ifndef WRITEWATCH_TESTS_MODEL_SYSTEM_H
#define WRITEWATCH_TESTS_MODEL_SYSTEM_H

#include <writewatch/win32.h>

#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace model {

class System {
  public:
    /// \p planted is empty, or one of breaks().
    explicit System(std::string planted);

    static const std::vector<const char*>& breaks();

    UINT get(DWORD flags, void* base, SIZE_T size, void** addresses, ULONG_PTR* count,
             ULONG* granularity);
    UINT reset(void* base, SIZE_T size);
    bool decommit(void* base, SIZE_T size);
    bool release(void* base);

  private:
    bool is(const char* name) const { return planted_ == name; }
    void falsify(DWORD flags, std::byte* base, SIZE_T size, void** addresses, ULONG_PTR* count,
                 ULONG_PTR capacity);

    std::string planted_;
    std::set<std::byte*> ghosts_; ///< "decommit-keeps": pages that should have become clean
};

} // namespace model

#endif
