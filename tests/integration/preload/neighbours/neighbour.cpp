// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Lies in a directory of its own, which only the RUNPATH of opens-neighbour.cpp names.
extern "C" int neighbour()
{
    return 1;
}
