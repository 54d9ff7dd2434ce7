// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A library with a RUNPATH of its own that opens a plug-in by its bare name, as many do.
#include <dlfcn.h>

extern "C" const char* open_neighbour()
{
    void* plugin = dlopen("libneighbour.so", RTLD_NOW);
    return plugin != nullptr ? nullptr : dlerror();
}
