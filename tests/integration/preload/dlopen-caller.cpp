// SPDX-License-Identifier: LGPL-2.1-or-later
//
// With the preload: a library's RUNPATH still counts when the library calls dlopen, errors come
// through, and a null path (the program itself) works.
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <string>

extern "C" const char* open_neighbour();

int main()
{
    int failures = 0;
    std::ifstream maps("/proc/self/maps");
    std::string text((std::istreambuf_iterator<char>(maps)), std::istreambuf_iterator<char>());
    if (text.find("libwritewatch-wine.so") == std::string::npos) {
        std::fprintf(stderr, "the preload is not here: nothing would be tested\n");
        return 1;
    }
    if (text.find("libwritewatch-wine-host.so") != std::string::npos) {
        std::fprintf(stderr, "the host library was loaded into a process that is not Wine\n");
        ++failures;
    }
    if (const char* error = open_neighbour(); error != nullptr) {
        std::fprintf(stderr, "the caller's RUNPATH was lost: %s\n", error);
        ++failures;
    }
    if (dlopen(nullptr, RTLD_NOW) == nullptr) {
        std::fprintf(stderr, "dlopen(NULL): %s\n", dlerror());
        ++failures;
    }
    if (dlopen("/nonexistent/library.so", RTLD_NOW) != nullptr) {
        std::fprintf(stderr, "a library that does not exist was opened\n");
        ++failures;
    } else if (const char* error = dlerror();
               error == nullptr || std::strstr(error, "/nonexistent/library.so") == nullptr) {
        std::fprintf(stderr, "dlerror lost the reason\n");
        ++failures;
    }
    return failures == 0 ? 0 : 1;
}
