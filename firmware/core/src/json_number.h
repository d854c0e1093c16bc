/* Of the reader in json.c alone. */
#ifndef AIOT_JSON_NUMBER_H
#define AIOT_JSON_NUMBER_H

#include <stddef.h>

/*
 * The nearest double, ties to even, of a number that has the form of RFC 8259; infinity beyond the greatest. The C library's strtod
 * is none for devices: newlib's allocates, and rounding differs between libraries.
 */
double aiot_json_nearest(const char *text, size_t bytes);

#endif
