/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

int main(void)
{
    return malloc(16) == NULL;
}
