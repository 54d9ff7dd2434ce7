/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public headers are plain C11, together and in any order: this file is compiled with -std=c11
 * -Wpedantic -Werror. The sizes are part of the ABI.
 */
#include <writewatch/win32.h>
#include <writewatch/writewatch.h>

#ifdef __cplusplus
#error "this file is about C"
#endif

_Static_assert(sizeof(MEMORY_BASIC_INFORMATION) == 48, "as on 64-bit Windows");
_Static_assert(sizeof(DWORD) == 4 && sizeof(SIZE_T) == 8, "as on 64-bit Windows");

_Static_assert(sizeof(struct ww_options) == 16, "struct ww_options");
_Static_assert(offsetof(struct ww_options, backend) == 8, "struct ww_options");
_Static_assert(sizeof(struct ww_range) == 16, "struct ww_range");
_Static_assert(offsetof(struct ww_range, end) == 8, "struct ww_range");
_Static_assert(sizeof(struct ww_capability) == 328, "struct ww_capability");
_Static_assert(offsetof(struct ww_capability, supported) == 24, "struct ww_capability");
_Static_assert(offsetof(struct ww_capability, error) == 28, "struct ww_capability");
_Static_assert(offsetof(struct ww_capability, how) == 32, "struct ww_capability");
_Static_assert(offsetof(struct ww_capability, reason) == 96, "struct ww_capability");
_Static_assert(WW_FRESH == 1 && WW_RESET == 1, "flags");

/* The calls that every user writes first. */
UINT(WINAPI* get)(DWORD, LPVOID, SIZE_T, LPVOID*, ULONG_PTR*, ULONG*) = GetWriteWatch;
long (*collect)(ww_tracker*, const void*, size_t, unsigned, void**, size_t) = ww_collect;

int main(void)
{
    return get != 0 && collect != 0 ? 0 : 1;
}
