/* JSON numbers; used by the reader in json.c only. */
#ifndef AIOT_JSON_NUMBER_H
#define AIOT_JSON_NUMBER_H

#include <stddef.h>

/*
 * The nearest double, ties to even, of a number in the format of RFC 8259; infinity beyond the largest. The C library's strtod is
 * unsuitable, because newlib's allocates memory, and rounding differs between libraries.
 */
double aiot_json_nearest(const char *text, size_t bytes);

#endif
