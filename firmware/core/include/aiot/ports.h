/*
 * What the core needs from a board, as tables of functions: hal/host fills them for a Linux program, hal/esp32 for the chip,
 * tests with simulations that fail where they are told to. Every function gets its table's `context`. None blocks for longer
 * than it says, for the core runs in one loop.
 */
#ifndef AIOT_PORTS_H
#define AIOT_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  void *context;
  /* Milliseconds since start; never goes back. */
  uint64_t (*uptime_ms)(void *context);
  /* Milliseconds since 1970, or -1 where nobody has set the clock. */
  int64_t (*now_ms)(void *context);
  /* Microseconds since start, for figures; NULL = the milliseconds will do. */
  uint64_t (*uptime_us)(void *context);
} aiot_clock;

/* NOR flash: erased to 0xFF by sector, a write only clears bits. Offsets in bytes from the part's start. False = the flash failed. */
typedef struct {
  void *context;
  uint32_t bytes;
  uint32_t sector_bytes;
  bool (*read)(void *context, uint32_t offset, void *out, size_t bytes);
  bool (*write)(void *context, uint32_t offset, const void *data, size_t bytes);
  /* `offset` is a multiple of sector_bytes. */
  bool (*erase)(void *context, uint32_t offset);
  /* All before is durable when it returns. */
  bool (*sync)(void *context);
  /* The bytes where they can be read as memory until the next write or erase in them; NULL = the chip cannot. */
  const uint8_t *(*map)(void *context, uint32_t offset, size_t bytes);
} aiot_flash;

#define AIOT_SHA256_BYTES 32
/* Room for the state of a hash that is under way, whichever library computes it. */
#define AIOT_SHA256_STATE_BYTES 256

typedef struct {
  void *context;
  void (*sha256_begin)(void *context, void *state);
  void (*sha256_update)(void *context, void *state, const void *data, size_t bytes);
  void (*sha256_end)(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]);
  /* Whether `signature` (DER) over the SHA-256 `digest` is of the P-256 key whose SPKI DER is given. */
  bool (*verify_p256)(void *context, const uint8_t *spki, size_t spki_bytes, const uint8_t digest[AIOT_SHA256_BYTES],
                      const uint8_t *signature, size_t signature_bytes);
  void (*random)(void *context, void *out, size_t bytes);
} aiot_crypto;

/* Longest signature of a P-256 key, in DER. */
#define AIOT_SIGNATURE_BYTES 72

/* The device's own key. */
typedef struct {
  void *context;
  /* Its certificate: DER in base64, as it stands in a PEM file but on one line (aiot_pem_body). */
  const char *certificate;
  /* Signs a SHA-256 digest: bytes of the signature (DER), 0 = it cannot. */
  size_t (*sign_p256)(void *context, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]);
} aiot_signer;

/* The base64 of a PEM text, on one line with a NUL: its length, 0 where it is none or does not fit. */
size_t aiot_pem_body(const char *pem, char *out, size_t room);

/* HTTPS GET, one at a time, with the device's certificate, from the platform that its identity names. */
typedef struct {
  void *context;
  /* Asks for `path` from byte `from` on. False = not reached; the answer's status comes with the first read. */
  bool (*open)(void *context, const char *path, uint64_t from);
  /*
   * Bytes read, 0 = none yet (ask again), AIOT_HTTP_END, AIOT_HTTP_BROKEN (the connection broke: worth another try), AIOT_HTTP_REFUSED (an
   * answer that another try will not change) or AIOT_HTTP_MISSING (the same: there is no such thing). Waits 50 ms at most.
   */
  int32_t (*read)(void *context, void *out, size_t bytes);
  /* Ends it, however far it came. */
  void (*close)(void *context);
} aiot_http;

enum { AIOT_HTTP_END = -1, AIOT_HTTP_BROKEN = -2, AIOT_HTTP_REFUSED = -3, AIOT_HTTP_MISSING = -4 };

/* MQTT over mTLS. Losses of the connection are mended by the port; `connection` tells, and the core subscribes again. */
typedef struct {
  void *context;
  /* Number of the connection, another one after each loss; 0 = none. */
  uint32_t (*connection)(void *context);
  bool (*subscribe)(void *context, const char *filter, int qos);
  /*
   * Number of the message, to be found in `acknowledged`; 0 = not taken (not connected, or its queue is full). What was taken at
   * QoS 1 is sent, over losses of the connection too, until the broker has acknowledged it.
   */
  uint32_t (*publish)(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain);
  /* Whether the broker has acknowledged this message (QoS 1 and 2). */
  bool (*acknowledged)(void *context, uint32_t message);
  /*
   * The next message that came, or false. `topic` and `payload` stay until the next call. Waits `wait_ms` at most.
   */
  bool (*receive)(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes);
} aiot_mqtt;

#endif
