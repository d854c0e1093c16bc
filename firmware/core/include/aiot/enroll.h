/*
 * Enrollment with the key of a batch (docs/how-to/zero-touch.md). Many devices start with the same image. Each creates a key of its own,
 * sends a request that is signed with it, and repeats the request until the platform issues its certificate.
 *
 * Power may be cut at any time. The device's key is stored before it is first sent, because its serial number then belongs to this key. The
 * device's name is stored after all other parts of the identity, and the batch's key is deleted last. A repeated request gets the same
 * certificate. No step depends on the time of day.
 */
#ifndef AIOT_ENROLL_H
#define AIOT_ENROLL_H

#include "aiot/ports.h"

/* Results of aiot_settings.text. */
enum { AIOT_SETTING_ABSENT = -1, AIOT_SETTING_FAILED = -2 };

/* Settings by namespace and key, as in ESP-IDF's NVS. Each change is durable when its function returns; false = it failed. */
typedef struct {
  void *context;
  /* Reads a string and its NUL. Returns its length, or one of the results above; a string that does not fit is AIOT_SETTING_FAILED. */
  int32_t (*text)(void *context, const char *space, const char *key, char *out, size_t room);
  bool (*put_text)(void *context, const char *space, const char *key, const char *value);
  /* `bits`: 8, 32 or 64 */
  bool (*put_number)(void *context, const char *space, const char *key, int bits, uint64_t value);
  bool (*put_blob)(void *context, const char *space, const char *key, const void *value, size_t bytes);
  /* Deletes all keys of a namespace. If power is cut, some may remain. True if there were none. */
  bool (*erase)(void *context, const char *space);
} aiot_settings;

/* Size of a P-256 key's number, and of its uncompressed point. */
#define AIOT_SCALAR_BYTES 32
#define AIOT_POINT_BYTES 65

typedef struct {
  void *context;
  /* Creates a random P-256 key. */
  bool (*make)(void *context, uint8_t scalar[AIOT_SCALAR_BYTES], uint8_t point[AIOT_POINT_BYTES]);
  /* Signs a SHA-256 digest with a key in PEM. Returns the size of the signature (DER), or 0 on failure. */
  size_t (*sign)(void *context, const char *key, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]);
} aiot_key_maker;

/* HTTPS POST of JSON to the platform in the batch's file, one request at a time. */
typedef struct {
  void *context;
  /* `body` remains valid until `close`. False if the platform could not be reached. */
  bool (*post)(void *context, const char *path, const char *body, size_t bytes);
  /* Returns bytes of the response's body, whatever its status, like aiot_http.read. */
  int32_t (*read)(void *context, void *out, size_t bytes);
  /* Status of the response after AIOT_HTTP_END. */
  int (*status)(void *context);
  /* Seconds in the response's Retry-After; 0 = none. */
  uint32_t (*retry_after_s)(void *context);
  void (*close)(void *context);
} aiot_post;

typedef enum {
  /* The device waits for its approval. */
  AIOT_ENROLL_WAITS,
  /* It has stored its identity. */
  AIOT_ENROLL_STORED,
  /* The platform refuses it: another key has its serial number, it was rejected, or the batch has ended or been revoked. */
  AIOT_ENROLL_REFUSED,
  /* The platform accepts no more requests for now. */
  AIOT_ENROLL_LIMITED,
  AIOT_ENROLL_UNREACHABLE,
  /* The response is no valid response to this request. */
  AIOT_ENROLL_MALFORMED,
  /* The identity cannot be stored. */
  AIOT_ENROLL_UNSTORED
} aiot_enroll_news;

typedef struct {
  const aiot_settings *settings;
  const aiot_key_maker *keys;
  const aiot_crypto *crypto;
  const aiot_post *post;
  /* Serial number and MAC address, such as "240ac4123456" and "24:0a:c4:12:34:56"; `mac` NULL = none. */
  const char *serial;
  const char *mac;
  /* Name of the chip, such as "esp32c3". */
  const char *chip;
  /* Memory for the request and the response: at least AIOT_ENROLL_MEMORY_BYTES. A root of 16 KiB needs 32 KiB. */
  void *memory;
  size_t bytes;
  void *context;
  /* Called if the news differs from the last one. `text`: the name of the device, or the reason. `pause_ms`: time to the next request. */
  void (*news)(void *context, aiot_enroll_news news, const char *text, uint32_t pause_ms);
} aiot_enroll_setup;

#define AIOT_ENROLL_MEMORY_BYTES (16u * 1024u)
/* Largest strings of an identity, with their NUL. */
#define AIOT_ENROLL_URL_BYTES 160
#define AIOT_ENROLL_PEM_BYTES 2048
#define AIOT_ENROLL_KEY_BYTES 512
#define AIOT_ENROLL_REASON_BYTES 160

typedef enum {
  /* There is no batch's key. */
  AIOT_ENROLL_NONE,
  AIOT_ENROLL_RUNS,
  /* The identity is complete. */
  AIOT_ENROLL_DONE,
  /* The settings or the device's key cannot be used. */
  AIOT_ENROLL_UNUSABLE
} aiot_enroll_state;

typedef struct {
  aiot_enroll_setup setup;
  struct aiot_enroll_work *work;
  char *answer;
  size_t room;
  size_t used;
  size_t body_bytes;
  bool asking;
  uint64_t asked_ms;
  uint64_t next_ms;
  uint32_t failures;
  /* The last news, to report each change once; -1 = none. */
  int told;
  char reason[AIOT_ENROLL_REASON_BYTES];
} aiot_enroll;

/* Prepares the request. The device's key is created and stored first, unless it exists. */
aiot_enroll_state aiot_enroll_open(aiot_enroll *enroll, const aiot_enroll_setup *setup, uint64_t now_ms);
/* Call it in the loop. `now_ms`: uptime. It blocks only as long as the functions of `post`. */
aiot_enroll_state aiot_enroll_step(aiot_enroll *enroll, uint64_t now_ms, bool online);
/* Deletes the key of the batch. A device with an identity calls this at its start, because power may have been cut before. */
bool aiot_enroll_forget(const aiot_settings *settings);

#endif
