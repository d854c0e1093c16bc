/* Sources of the formats: RFC 5915 and 5958 (key), RFC 5480 (public key), RFC 2986 (request), RFC 7468 (PEM). */
#include "request.h"

#include <stdio.h>
#include <string.h>

#include "../base64.h"

/* SEQUENCE { OID ecPublicKey, OID prime256v1 } */
#define P256 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07

static const uint8_t key_head[] = {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, P256, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20};
static const uint8_t key_middle[] = {0xa1, 0x44, 0x03, 0x42, 0x00};
static const uint8_t spki_head[] = {0x30, 0x59, P256, 0x03, 0x42, 0x00};
/* SEQUENCE { OID ecdsa-with-SHA256 } */
static const uint8_t signature_algorithm[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

enum {
  POINT_AT = sizeof key_head + AIOT_SCALAR_BYTES + sizeof key_middle,
  KEY_BYTES = POINT_AT + AIOT_POINT_BYTES,
  NAME_BYTES = 64,
  LINE = 64,
  DER_BYTES = 384,
  SEQUENCE = 0x30,
  BIT_STRING = 0x03
};
_Static_assert(sizeof spki_head + AIOT_POINT_BYTES == AIOT_P256_SPKI_BYTES, "the SPKI is a head and the point");

/* Secrets are overwritten by a function that the compiler cannot leave out. */
static void wipe(void *data, size_t bytes) {
  volatile uint8_t *at = data;
  for (size_t i = 0; i < bytes; i++) at[i] = 0;
}

/* Writes a PEM text, and returns its length; 0 if it does not fit. `base64`: the data in one line. */
static size_t write_pem(const char *label, const char *base64, char *out, size_t room) {
  const size_t length = strlen(base64);
  int used = snprintf(out, room, "-----BEGIN %s-----\n", label);
  for (size_t at = 0; at < length && used > 0 && (size_t)used < room; at += LINE)
    used += snprintf(out + used, room - (size_t)used, "%.*s\n", LINE, base64 + at);
  if (used > 0 && (size_t)used < room) used += snprintf(out + used, room - (size_t)used, "-----END %s-----\n", label);
  return used > 0 && (size_t)used < room ? (size_t)used : 0;
}

bool aiot_request_key(const aiot_key_maker *keys, char pem[AIOT_ENROLL_KEY_BYTES]) {
  uint8_t der[KEY_BYTES];
  char base64[(KEY_BYTES + 2) / 3 * 4 + 1];
  memcpy(der, key_head, sizeof key_head);
  memcpy(der + POINT_AT - sizeof key_middle, key_middle, sizeof key_middle);
  bool made = keys->make(keys->context, der + sizeof key_head, der + POINT_AT) && der[POINT_AT] == 0x04;
  if (made) {
    aiot_base64_encode(der, sizeof der, base64);
    made = write_pem("PRIVATE KEY", base64, pem, AIOT_ENROLL_KEY_BYTES) > 0;
    wipe(base64, sizeof base64);
  }
  wipe(der, sizeof der);
  return made;
}

bool aiot_request_spki(const char *key, uint8_t spki[AIOT_P256_SPKI_BYTES]) {
  char base64[(KEY_BYTES + 2) / 3 * 4 + 1];
  const size_t length = aiot_pem_body(key, base64, sizeof base64);
  uint8_t *der = (uint8_t *)base64;
  const bool valid = length == sizeof base64 - 1 && aiot_base64_bytes(base64, length) == KEY_BYTES && aiot_base64_decode(base64, length, der) &&
                     memcmp(der, key_head, sizeof key_head) == 0 && memcmp(der + POINT_AT - sizeof key_middle, key_middle, sizeof key_middle) == 0;
  if (valid) {
    memcpy(spki, spki_head, sizeof spki_head);
    memcpy(spki + sizeof spki_head, der + POINT_AT, AIOT_POINT_BYTES);
  }
  wipe(base64, sizeof base64);
  return valid;
}

/* Puts a tag and a length before the `bytes` bytes that are already at `at`. Returns the number of bytes with them. */
static size_t wrap(uint8_t *at, uint8_t tag, size_t bytes) {
  const size_t head = bytes < 0x80 ? 2 : bytes < 0x100 ? 3 : 4;
  memmove(at + head, at, bytes);
  at[0] = tag;
  if (head == 2) at[1] = (uint8_t)bytes;
  else at[1] = (uint8_t)(0x80 + head - 2);
  if (head == 4) at[2] = (uint8_t)(bytes >> 8);
  if (head > 2) at[head - 1] = (uint8_t)bytes;
  return head + bytes;
}

static size_t append(uint8_t *at, const void *data, size_t bytes) {
  memcpy(at, data, bytes);
  return bytes;
}

/* Writes CertificationRequestInfo: version, subject, public key, and no attributes. Returns its bytes, or 0 if the name is too long. */
static size_t write_info(const char *name, const uint8_t spki[AIOT_P256_SPKI_BYTES], uint8_t *out) {
  static const uint8_t version[] = {0x02, 0x01, 0x00}, common_name[] = {0x06, 0x03, 0x55, 0x04, 0x03}, no_attributes[] = {0xa0, 0x00};
  enum { UTF8_STRING = 0x0c, SET = 0x31 };
  uint8_t subject[NAME_BYTES + 32];
  const size_t length = strlen(name);
  if (length > NAME_BYTES) return 0;
  size_t bytes = append(subject + sizeof common_name, name, length);
  bytes = sizeof common_name + wrap(subject + sizeof common_name, UTF8_STRING, bytes);
  memcpy(subject, common_name, sizeof common_name);
  bytes = wrap(subject, SEQUENCE, wrap(subject, SET, wrap(subject, SEQUENCE, bytes)));
  size_t used = append(out, version, sizeof version);
  used += append(out + used, subject, bytes);
  used += append(out + used, spki, AIOT_P256_SPKI_BYTES);
  used += append(out + used, no_attributes, sizeof no_attributes);
  return wrap(out, SEQUENCE, used);
}

size_t aiot_request_pem(const aiot_key_maker *keys, const aiot_crypto *crypto, const char *key, const char *name, char out[AIOT_REQUEST_PEM_BYTES]) {
  uint8_t spki[AIOT_P256_SPKI_BYTES], der[DER_BYTES], digest[AIOT_SHA256_BYTES], signature[1 + AIOT_SIGNATURE_BYTES] = {0};
  char base64[(DER_BYTES + 2) / 3 * 4 + 1];
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  if (!aiot_request_spki(key, spki)) return 0;
  size_t used = write_info(name, spki, der);
  if (used == 0) return 0;
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, der, used);
  crypto->sha256_end(crypto->context, state, digest);
  /* A bit string begins with the number of unused bits: none. */
  const size_t bytes = keys->sign(keys->context, key, digest, signature + 1);
  if (bytes == 0) return 0;
  used += append(der + used, signature_algorithm, sizeof signature_algorithm);
  uint8_t *at = der + used;
  used += wrap(at, BIT_STRING, append(at, signature, 1 + bytes));
  aiot_base64_encode(der, wrap(der, SEQUENCE, used), base64);
  return write_pem("CERTIFICATE REQUEST", base64, out, AIOT_REQUEST_PEM_BYTES);
}
