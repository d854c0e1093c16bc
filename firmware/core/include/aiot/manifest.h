/*
 * Signed manifests (docs/protocol.md, "Manifest"): first the envelope's form, then the signatures over the payload's exact bytes, and only
 * then the payload. The verdicts and their order are those of src/lib/formats/manifest and src/lib/device/update/downloading.ts.
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
/* Of rollouts, which a platform chooses. */
#define AIOT_ROLLOUT_BYTES 129
#define AIOT_MESSAGE_BYTES 304
/* Longest envelope that is read. */
#define AIOT_ENVELOPE_BYTES (64u * 1024u)
/* Of all roles together: 8 of roots, 8 that sign releases, those of timestamps, and some beside them. */
#define AIOT_KEYS_MAX 20
/* SPKI DER of a P-256 key; 59 where the point is compressed. */
#define AIOT_SPKI_BYTES 91

typedef enum { AIOT_KIND_MODEL, AIOT_KIND_FIRMWARE, AIOT_KIND_CONFIG } aiot_kind;

/* "model", "firmware", "config": as manifests and `desired` have it. */
const char *aiot_kind_name(aiot_kind kind);

/* An error as it is reported and kept. Codes of another side, which this one has no number for, are kept as they are. */
typedef struct {
  /* Empty = none. */
  char code[48];
  char message[AIOT_MESSAGE_BYTES];
} aiot_error;

/* Fills `error`; the message is cut to its room. Conversions: %s %d %u, with l or ll. */
void aiot_error_set(aiot_error *error, aiot_code code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* Who signs what: the next root, releases, timestamps. */
typedef enum { AIOT_ROLE_ROOT, AIOT_ROLE_TARGETS, AIOT_ROLE_TIMESTAMP } aiot_role;
#define AIOT_ROLES 3

/* Whom a device goes by: a root, or the bare trust root that came before all of them, whose release keys are its root keys too. */
typedef struct {
  int64_t version;
  /* ms since 1970, from which on nothing is taken under it; INT64_MAX = never. */
  int64_t expires;
  size_t keys;
  struct {
    uint8_t id[AIOT_SHA256_BYTES];
    uint8_t spki[AIOT_SPKI_BYTES];
    uint8_t spki_bytes;
  } key[AIOT_KEYS_MAX];
  /* Which of the keys may sign, a bit each, and how many of them must; 0 = nobody signs that. */
  struct {
    uint32_t keys;
    uint32_t threshold;
  } role[AIOT_ROLES];
} aiot_trust;

/*
 * Reads a trust root (`aiot-trust/1`). Keys whose id is not their digest are left out. AIOT_CONFIG_MALFORMED, AIOT_MEMORY_SHORT (more than AIOT_KEYS_MAX
 * keys).
 */
aiot_code aiot_trust_read(aiot_trust *trust, const void *json, size_t bytes, const aiot_crypto *crypto);

/* Reads the payload of a root (`aiot-root/1`), in the same way. AIOT_MANIFEST_MALFORMED, AIOT_MEMORY_SHORT. */
aiot_code aiot_root_read(aiot_trust *trust, const void *json, size_t bytes, const aiot_crypto *crypto);

typedef struct {
  char rollout[AIOT_ROLLOUT_BYTES];
  aiot_kind kind;
  char name[AIOT_ID_BYTES];
  int64_t version;
  int64_t sequence;
  /* A path of the platform's API. */
  char manifest[256];
  /* A patch that makes it of the release with the digest `delta_base`. */
  bool has_delta;
  uint8_t delta_base[AIOT_SHA256_BYTES];
  uint8_t delta_digest[AIOT_SHA256_BYTES];
  int64_t delta_bytes;
  /* How long it is to run before it says so once more; 0 = it need not. */
  int64_t soak_ms;
} aiot_desired;

/* Reads the message `desired`. AIOT_MESSAGE_MALFORMED. */
aiot_code aiot_desired_read(aiot_desired *desired, const void *json, size_t bytes);

/* Types of network, as bits. */
enum {
  AIOT_MODE_FLOAT32 = 1,
  AIOT_MODE_FLOAT16 = 2,
  AIOT_MODE_DYNAMIC = 4,
  AIOT_MODE_INT8 = 8,
  AIOT_MODE_INT16X8 = 16,
  AIOT_MODE_MIXED = 32
};

/* What never changes while a device runs. */
typedef struct {
  const char *type;
  /* What its firmware can run, see docs/protocol.md, "Manifest". */
  int64_t interface;
  /* AIOT_MODE_* */
  uint32_t modes;
} aiot_traits;

/* What of a manifest decides. Times in ms since 1970. */
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
  /* This device's type is among `deviceTypes`. */
  bool for_type;
  /* The network's mode, AIOT_MODE_*; 0 = it says nothing of a model. */
  uint32_t mode;
  /* A network alone, without a signal part. */
  bool network;
  size_t artifacts;
  /* Of the first artifact. */
  uint8_t digest[AIOT_SHA256_BYTES];
  int64_t bytes;
} aiot_manifest;

/* An envelope whose signatures are being checked, one a call, for each takes long on a small chip. */
typedef struct {
  const aiot_trust *trust;
  aiot_role role;
  const aiot_crypto *crypto;
  /* In the caller's memory. */
  const uint8_t *payload;
  size_t payload_bytes;
  uint8_t digest[AIOT_SHA256_BYTES];
  const char *signatures;
  size_t signatures_bytes;
  /* Signatures looked at so far, and which keys signed, a bit each. */
  size_t at;
  uint32_t valid;
} aiot_envelope;

/* Checks the envelope's form and decodes its payload in place: `memory` is changed, and has to stay. `what` it is, for errors. AIOT_MANIFEST_MALFORMED. */
aiot_code aiot_envelope_open(aiot_envelope *envelope, char *memory, size_t bytes, const char *what, const aiot_crypto *crypto,
                             aiot_error *error);

/* Begins to look at the signatures, or begins anew by another's keys. `trust` NULL = nobody is trusted; it has to stay. */
void aiot_envelope_signers(aiot_envelope *envelope, const aiot_trust *trust, aiot_role role);

/*
 * Looks at one more signature. True when it is known whether enough are valid: `code` is AIOT_OK, or that of the role (AIOT_TRUST_SIGNATURES,
 * AIOT_SIGNATURE_INVALID, AIOT_TIMESTAMP_INVALID).
 */
bool aiot_envelope_step(aiot_envelope *envelope, aiot_code *code, aiot_error *error);

/* Reads the payload, of whose signatures aiot_envelope_step has said AIOT_OK. `type`: the device's. AIOT_MANIFEST_MALFORMED. */
aiot_code aiot_manifest_read(aiot_manifest *manifest, const aiot_envelope *envelope, const char *type, aiot_error *error);

/* What of a device's record decides. */
typedef struct {
  int64_t floor;
  int64_t sequence;
  int64_t newest_signed;
  int64_t slot_bytes;
} aiot_standing;

/* Checks 4 to 12 of docs/protocol.md. `now_ms` -1 = the clock was never set. */
aiot_code aiot_manifest_judge(const aiot_manifest *manifest, const aiot_desired *desired, const aiot_standing *standing,
                              const aiot_traits *traits, int64_t now_ms, aiot_error *error);

#endif
