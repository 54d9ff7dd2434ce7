/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stands in for libwritewatch-wine.so: something that ld.so can load, and that does nothing. */
int writewatch_stand_in;
