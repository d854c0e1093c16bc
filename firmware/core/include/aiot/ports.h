/*
 * The core's interface to a board, as tables of functions. hal/host implements them for a Linux program, hal/esp32 for the chip,
 * and tests with simulations that fail on demand. Every function gets its table's `context`. The core runs in one loop, so no
 * function may block for longer than documented.
 */
#ifndef AIOT_PORTS_H
#define AIOT_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  void *context;
  /* Milliseconds since startup; never decreases. */
  uint64_t (*uptime_ms)(void *context);
  /* Milliseconds since 1970, or -1 if the clock was never set. */
  int64_t (*now_ms)(void *context);
  /* Microseconds since the start, for measurements; NULL = times are measured in milliseconds. */
  uint64_t (*uptime_us)(void *context);
} aiot_clock;

/* Flash that the chip encrypts is written in blocks of this size, bytes. The core writes only whole blocks. */
#define AIOT_FLASH_BLOCK 16u

/*
 * NOR flash: erased to 0xFF by sector; a write only clears bits. Offsets are in bytes from the partition's start. False = the
 * flash failed.
 */
typedef struct {
  void *context;
  uint32_t bytes;
  uint32_t sector_bytes;
  bool (*read)(void *context, uint32_t offset, void *out, size_t bytes);
  bool (*write)(void *context, uint32_t offset, const void *data, size_t bytes);
  /* Erases a sector; `offset` is a multiple of sector_bytes. */
  bool (*erase)(void *context, uint32_t offset);
  /* Makes all earlier writes durable before it returns. */
  bool (*sync)(void *context);
  /* Maps the bytes as memory. The mapping is valid until they are written or erased; NULL = the chip cannot map flash. */
  const uint8_t *(*map)(void *context, uint32_t offset, size_t bytes);
  /* Reads bytes as they are stored. Flash that the chip encrypts appears erased only in these; NULL = as `read`. */
  bool (*read_raw)(void *context, uint32_t offset, void *out, size_t bytes);
} aiot_flash;

#define AIOT_SHA256_BYTES 32
/* Space for a hash in progress, bytes. It is large enough for any supported library. */
#define AIOT_SHA256_STATE_BYTES 256

typedef struct {
  void *context;
  void (*sha256_begin)(void *context, void *state);
  void (*sha256_update)(void *context, void *state, const void *data, size_t bytes);
  void (*sha256_end)(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]);
  /* Whether `signature` (DER) over the SHA-256 `digest` was made with the P-256 key that has the given SPKI DER. */
  bool (*verify_p256)(void *context, const uint8_t *spki, size_t spki_bytes, const uint8_t digest[AIOT_SHA256_BYTES],
                      const uint8_t *signature, size_t signature_bytes);
  void (*random)(void *context, void *out, size_t bytes);
} aiot_crypto;

/* Maximum size of a P-256 signature in DER, bytes. */
#define AIOT_SIGNATURE_BYTES 72

/* The device's own key. */
typedef struct {
  void *context;
  /* The device's certificate: DER in base64, as in a PEM file but on one line (aiot_pem_body). */
  const char *certificate;
  /* Signs a SHA-256 digest. Returns the size of the signature (DER), or 0 on failure. */
  size_t (*sign_p256)(void *context, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]);
} aiot_signer;

/* Extracts the base64 of a PEM text as one line with a NUL, and returns its length; 0 if it is invalid or does not fit. */
size_t aiot_pem_body(const char *pem, char *out, size_t room);

/* HTTPS GET with the device's certificate, one request at a time, from the platform in the device's identity. */
typedef struct {
  void *context;
  /*
   * Requests `path`, starting at byte `from`. Returns false if the platform could not be reached. The response's status is known
   * after the first read.
   */
  bool (*open)(void *context, const char *path, uint64_t from);
  /*
   * Returns the number of bytes read; 0 = none yet (call again). AIOT_HTTP_END is the end. AIOT_HTTP_BROKEN means that the
   * connection was lost and a retry may help, AIOT_HTTP_REFUSED that a retry will not help, AIOT_HTTP_MISSING that there is no
   * such resource. Waits 50 ms at most.
   */
  int32_t (*read)(void *context, void *out, size_t bytes);
  /* Ends the request in any state. */
  void (*close)(void *context);
} aiot_http;

enum { AIOT_HTTP_END = -1, AIOT_HTTP_BROKEN = -2, AIOT_HTTP_REFUSED = -3, AIOT_HTTP_MISSING = -4 };

/* MQTT over mutual TLS. The port restores lost connections. `connection` then changes, and the core subscribes again. */
typedef struct {
  void *context;
  /* Number of the current connection, which changes each time the connection is lost; 0 = not connected. */
  uint32_t (*connection)(void *context);
  bool (*subscribe)(void *context, const char *filter, int qos);
  /*
   * Returns the number of the message, for `acknowledged`; 0 = not accepted (not connected, the broker has not confirmed all
   * subscriptions of this connection, or the port's queue is full). An accepted QoS 1 message is sent again until the broker acknowledges
   * it, even after a lost connection.
   */
  uint32_t (*publish)(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain);
  /* Whether the broker has acknowledged this message (QoS 1 and 2). */
  bool (*acknowledged)(void *context, uint32_t message);
  /*
   * Returns the next received message, or false. `topic` and `payload` remain valid until the next call. Waits `wait_ms` at most.
   */
  bool (*receive)(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes);
} aiot_mqtt;

#endif
