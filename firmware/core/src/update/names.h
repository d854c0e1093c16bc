/* Names, digests and numbers in the formats of protocol v1. */
#ifndef AIOT_NAMES_H
#define AIOT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/json.h"
#include "aiot/manifest.h"

/* Reads 64 lowercase hex digits as 32 bytes. */
bool aiot_read_hex(const char *text, uint8_t out[AIOT_SHA256_BYTES]);

/* Writes 32 bytes as 64 hex digits and a NUL. */
void aiot_write_hex(const uint8_t digest[AIOT_SHA256_BYTES], char out[2 * AIOT_SHA256_BYTES + 1]);

uint32_t aiot_count_bits(uint32_t bits);

/* Readers for a member's value; a value in any other format makes the whole text invalid. */

/* Reads a digest: "sha256:" and 64 hex digits. */
void aiot_read_digest(aiot_json *json, uint8_t out[AIOT_SHA256_BYTES]);

/* Checks that the value is a SHA-256 of 64 hex digits, and discards it. */
void aiot_read_sum(aiot_json *json);

/* Reads the name of a kind. */
void aiot_read_kind(aiot_json *json, aiot_kind *kind);

/* Accepts only this text, which has at most 23 characters. */
void aiot_expect_string(aiot_json *json, const char *expected);

/* Returns the raw digits of a key ID. An ID with an escape is not a digest, so it belongs to no key. */
const char *aiot_read_keyid(aiot_json *json, size_t *bytes);

/* Reads a name: 1 to 64 of A-Z a-z 0-9 . _ -, starting and ending with a letter or digit. */
void aiot_read_name(aiot_json *json, char *out, size_t room);

/* Reads an integer of at least `least`. */
int64_t aiot_read_integer(aiot_json *json, int64_t least);

/* Checks that the value is a string, and discards it. */
void aiot_skip_string(aiot_json *json);

/* Checks that the value is an object, and discards it. */
void aiot_skip_object(aiot_json *json);

#endif
