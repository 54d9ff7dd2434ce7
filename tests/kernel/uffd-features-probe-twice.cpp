// SPDX-License-Identifier: LGPL-2.1-or-later
//
// UFFDIO_API with an unknown feature answers EINVAL and leaves the descriptor usable for a second
// try with fewer features: a probe needs one descriptor. A successful answer names every feature
// that the kernel has, WP_ASYNC among them.
#include "support.h"

using namespace kerneltest;

int main()
{
    { // Skips where the kernel lacks it; fails where it is required.
        const Tracker tracker;
    }
    const int uffd = open_userfaultfd();
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = std::uint64_t{1} << 63;
    CHECK_EQ(ioctl(uffd, UFFDIO_API, &api), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(api.features, 0); // the whole struct comes back zeroed
    CHECK_EQ(api.api, 0);

    api = {};
    api.api = UFFD_API;
    api.features = uffd_feature_wp_async;
    CHECK_EQ(ioctl(uffd, UFFDIO_API, &api), 0);
    note("features 0x%llx, ioctls 0x%llx", static_cast<unsigned long long>(api.features),
         static_cast<unsigned long long>(api.ioctls));
    CHECK((api.features & uffd_feature_wp_async) != 0);
    CHECK((api.features & uffd_feature_wp_unpopulated) != 0);
    CHECK((api.ioctls & (1ULL << _UFFDIO_REGISTER)) != 0);
    close(uffd);
    return finish();
}
