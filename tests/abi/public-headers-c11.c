/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public headers are C11 without extensions' warnings, and neither needs the other: this file
 * is compiled with -std=c11 -Wpedantic -Werror. Nothing is linked.
 */
#include <writewatch/win32.h>

#ifdef __cplusplus
#error "this file is about C"
#endif

_Static_assert(sizeof(MEMORY_BASIC_INFORMATION) == 48, "as on 64-bit Windows");
_Static_assert(sizeof(DWORD) == 4 && sizeof(SIZE_T) == 8, "as on 64-bit Windows");

/* The call that every user writes first. */
UINT(WINAPI* const get)(DWORD, LPVOID, SIZE_T, LPVOID*, ULONG_PTR*, ULONG*) = 0;

int main(void)
{
    return get == 0 ? 0 : 1;
}
