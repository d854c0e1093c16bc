/*
 * Signed manifests (docs/reference/protocol.md, "Manifest"). The envelope's format is checked
 * first, then the signatures over the payload's exact bytes, and only then the payload. Results and
 * their order match src/lib/formats/manifest and src/lib/device/update/downloading.ts.
 */
#ifndef AIOT_MANIFEST_H
#define AIOT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aiot/code.h"
#include "aiot/ports.h"

/* Names of protocol v1 have at most 64 characters of ASCII. */
#define AIOT_ID_BYTES 65
/* Size of rollout ids, which the platform generates. */
#define AIOT_ROLLOUT_BYTES 129
#define AIOT_MESSAGE_BYTES 304
/* Maximum size of an envelope, bytes. */
#define AIOT_ENVELOPE_BYTES (64u * 1024u)
/* Maximum number of keys in all roles: 8 for roots, 8 for releases, the timestamp keys, and a few spare. */
#define AIOT_KEYS_MAX 20
/* SPKI DER of a P-256 key; 59 bytes if the point is compressed. */
#define AIOT_SPKI_BYTES 91

typedef enum { AIOT_KIND_MODEL, AIOT_KIND_FIRMWARE, AIOT_KIND_CONFIG } aiot_kind;

/* "model", "firmware", "config": the names in manifests and `desired`. */
const char *aiot_kind_name(aiot_kind kind);

/* An error as it is reported and stored. Codes of the peer that are not in aiot_code are stored as text. */
typedef struct {
  /* Empty = no error. */
  char code[48];
  char message[AIOT_MESSAGE_BYTES];
} aiot_error;

/* Sets `error`; the message is truncated to fit. Conversions: %s %d %u, with l or ll. */
void aiot_error_set(aiot_error *error, aiot_code code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* Signing roles: the next root, releases, timestamps. */
typedef enum { AIOT_ROLE_ROOT, AIOT_ROLE_TARGETS, AIOT_ROLE_TIMESTAMP } aiot_role;
#define AIOT_ROLES 3

/*
 * The device's trust: a root, or the older bare trust root, whose release keys are also its root keys.
 */
typedef struct {
  int64_t version;
  /* Expiry in ms since 1970, after which nothing that these keys sign is accepted; INT64_MAX = never. */
  int64_t expires;
  size_t keys;
  struct {
    uint8_t id[AIOT_SHA256_BYTES];
    uint8_t spki[AIOT_SPKI_BYTES];
    uint8_t spki_bytes;
  } key[AIOT_KEYS_MAX];
  /* The keys of each role as bits, and the number of signatures that it requires; 0 = the role has no keys. */
  struct {
    uint32_t keys;
    uint32_t threshold;
  } role[AIOT_ROLES];
} aiot_trust;

/*
 * Reads a trust root (`aiot-trust/1`). Keys whose id is not their digest are ignored. Errors: AIOT_CONFIG_MALFORMED, AIOT_MEMORY_SHORT
 * (more than AIOT_KEYS_MAX keys).
 */
aiot_code aiot_trust_read(aiot_trust *trust, const void *json, size_t bytes, const aiot_crypto *crypto);

/* Reads the payload of a root (`aiot-root/1`), like aiot_trust_read. Errors: AIOT_MANIFEST_MALFORMED, AIOT_MEMORY_SHORT. */
aiot_code aiot_root_read(aiot_trust *trust, const void *json, size_t bytes, const aiot_crypto *crypto);

typedef struct {
  char rollout[AIOT_ROLLOUT_BYTES];
  aiot_kind kind;
  char name[AIOT_ID_BYTES];
  int64_t version;
  int64_t sequence;
  /* Path of the manifest in the platform's API. */
  char manifest[256];
  /* A patch that creates the release from the release with the digest `delta_base`. */
  bool has_delta;
  uint8_t delta_base[AIOT_SHA256_BYTES];
  uint8_t delta_digest[AIOT_SHA256_BYTES];
  int64_t delta_bytes;
  /* Time that the release must run before it is confirmed again, ms; 0 = not required. */
  int64_t soak_ms;
} aiot_desired;

/* Reads the message `desired`. Error: AIOT_MESSAGE_MALFORMED. */
aiot_code aiot_desired_read(aiot_desired *desired, const void *json, size_t bytes);

/* Types of networks, as bits. */
enum {
  AIOT_MODE_FLOAT32 = 1,
  AIOT_MODE_FLOAT16 = 2,
  AIOT_MODE_DYNAMIC = 4,
  AIOT_MODE_INT8 = 8,
  AIOT_MODE_INT16X8 = 16,
  AIOT_MODE_MIXED = 32
};

/*
 * Interfaces: decision trees, rejection of inputs that belong to no class, both together, features of sound whose frames share their
 * standardization, decision trees on such features, objects in pictures, decisions by costs or on mean outputs, decision
 * trees with such decisions, float32 inputs or outputs of a quantized network, several outputs, long windows of samples that share
 * their standardization, operators on float32, networks whose state starts anew in each window, features of sound whose state
 * continues from window to window, and decision trees on them. This firmware has the last interface.
 */
enum {
  AIOT_INTERFACE_FORESTS = 3,
  AIOT_INTERFACE_REJECTION = 4,
  AIOT_INTERFACE_REJECTING_FORESTS = 5,
  AIOT_INTERFACE_SOUND = 6,
  AIOT_INTERFACE_SOUND_FORESTS = 7,
  AIOT_INTERFACE_OBJECTS = 8,
  AIOT_INTERFACE_DECISIONS = 9,
  AIOT_INTERFACE_DECIDING_FORESTS = 10,
  AIOT_INTERFACE_FLOAT_ENDS = 11,
  AIOT_INTERFACE_EXTRA_OUTPUTS = 12,
  AIOT_INTERFACE_LONG_WINDOWS = 13,
  AIOT_INTERFACE_FLOAT_OPERATORS = 14,
  AIOT_INTERFACE_WINDOW_STATE = 15,
  AIOT_INTERFACE_SOUND_STREAM = 16,
  AIOT_INTERFACE_SOUND_STREAM_FORESTS = 17
};

/* Properties that never change while a device runs. */
typedef struct {
  const char *type;
  /* Capabilities of its firmware; see docs/reference/protocol.md, "Manifest". */
  int64_t interface;
  /* AIOT_MODE_* */
  uint32_t modes;
  /* Lowest secure version of a program that the chip boots; 0 = any. */
  int64_t secure_version;
} aiot_traits;

/* The fields of a manifest that determine whether it is accepted. Times are in ms since 1970. */
typedef struct {
  aiot_kind kind;
  char name[AIOT_ID_BYTES];
  int64_t version;
  int64_t sequence;
  int64_t floor;
  int64_t issued;
  bool has_expires;
  int64_t expires;
  int64_t interface;
  /* Anti-rollback version of a program. */
  int64_t secure_version;
  /* Whether this device's type is among `deviceTypes`. */
  bool for_type;
  /* The network's type, AIOT_MODE_*; 0 = the manifest describes no model. */
  uint32_t mode;
  /* Whether the model is only a network, without a signal part. */
  bool network;
  size_t artifacts;
  /* Digest and size of the first artifact. */
  uint8_t digest[AIOT_SHA256_BYTES];
  int64_t bytes;
} aiot_manifest;

/* An envelope whose signatures are being verified. Each call verifies one, because that takes long on a small chip. */
typedef struct {
  const aiot_trust *trust;
  aiot_role role;
  const aiot_crypto *crypto;
  /* Decoded payload, in the caller's memory. */
  const uint8_t *payload;
  size_t payload_bytes;
  uint8_t digest[AIOT_SHA256_BYTES];
  const char *signatures;
  size_t signatures_bytes;
  /* Number of signatures that have been checked, and the keys that signed, as bits. */
  size_t at;
  uint32_t valid;
} aiot_envelope;

/*
 * Checks the envelope's format and decodes its payload in place, so that `memory` is changed; it must remain valid. `what` is the
 * document's name in errors. Error: AIOT_MANIFEST_MALFORMED.
 */
aiot_code aiot_envelope_open(aiot_envelope *envelope, char *memory, size_t bytes, const char *what, const aiot_crypto *crypto,
                             aiot_error *error);

/* Starts verifying the signatures, or starts again with other keys. `trust` must remain valid; NULL = no key is trusted. */
void aiot_envelope_signers(aiot_envelope *envelope, const aiot_trust *trust, aiot_role role);

/*
 * Verifies one more signature. Returns true once the result is known. `code` is then AIOT_OK, or the role's error
 * (AIOT_TRUST_SIGNATURES, AIOT_SIGNATURE_INVALID, AIOT_TIMESTAMP_INVALID).
 */
bool aiot_envelope_step(aiot_envelope *envelope, aiot_code *code, aiot_error *error);

/* Reads the payload after aiot_envelope_step has returned AIOT_OK. `type`: that of the device. Error: AIOT_MANIFEST_MALFORMED. */
aiot_code aiot_manifest_read(aiot_manifest *manifest, const aiot_envelope *envelope, const char *type, aiot_error *error);

/* The fields of a device's record that determine whether a manifest is accepted. */
typedef struct {
  int64_t floor;
  int64_t sequence;
  int64_t newest_signed;
  int64_t slot_bytes;
  int64_t secure_version;
} aiot_standing;

/* Makes checks 4 to 13 of docs/reference/protocol.md. `now_ms` -1 = the clock was never set. */
aiot_code aiot_manifest_judge(const aiot_manifest *manifest, const aiot_desired *desired, const aiot_standing *standing,
                              const aiot_traits *traits, int64_t now_ms, aiot_error *error);

#endif
