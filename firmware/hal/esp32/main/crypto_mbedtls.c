#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <string.h>
#if MBEDTLS_VERSION_MAJOR >= 4
#include <psa/crypto.h>
#else
#include <mbedtls/ecp.h>
#include <mbedtls/sha256.h>
#endif

#include "esp32.h"
#include "esp_random.h"

#if MBEDTLS_VERSION_MAJOR >= 4
/* ESP-IDF 6 has mbedTLS 4, in which hashes are part of PSA. Its operations need their own state to start with zeros. */
_Static_assert(sizeof(psa_hash_operation_t) <= AIOT_SHA256_STATE_BYTES, "a hash's state fits into the room that the core gives it");

/* An operation that failed is inactive, so all that follows fails too and sha256_end returns a digest that never matches. */
static void sha256_begin(void *context, void *state) {
  (void)context;
  psa_hash_operation_t *operation = state;
  *operation = psa_hash_operation_init();
  if (psa_hash_setup(operation, PSA_ALG_SHA_256) != PSA_SUCCESS) psa_hash_abort(operation);
}

static void sha256_update(void *context, void *state, const void *data, size_t bytes) {
  (void)context;
  if (psa_hash_update(state, data, bytes) != PSA_SUCCESS) psa_hash_abort(state);
}

static void sha256_end(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]) {
  (void)context;
  size_t bytes = 0;
  const psa_status_t status = psa_hash_finish(state, digest, AIOT_SHA256_BYTES, &bytes);
  if (status != PSA_SUCCESS || bytes != AIOT_SHA256_BYTES) memset(digest, 0, AIOT_SHA256_BYTES);
  psa_hash_abort(state);
}
#else
#if MBEDTLS_VERSION_MAJOR < 3
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#endif

_Static_assert(sizeof(mbedtls_sha256_context) <= AIOT_SHA256_STATE_BYTES, "a hash's state fits into the room that the core gives it");

/* A hash that could not be computed must not look valid, so its state is overwritten and no digest matches. */
static void spoil(int result, mbedtls_sha256_context *state) {
  if (result != 0) memset(state, 0xa5, sizeof *state);
}

static void sha256_begin(void *context, void *state) {
  (void)context;
  mbedtls_sha256_init(state);
  spoil(mbedtls_sha256_starts(state, 0), state);
}

static void sha256_update(void *context, void *state, const void *data, size_t bytes) {
  (void)context;
  spoil(mbedtls_sha256_update(state, data, bytes), state);
}

static void sha256_end(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]) {
  (void)context;
  if (mbedtls_sha256_finish(state, digest) != 0) memset(digest, 0, AIOT_SHA256_BYTES);
  mbedtls_sha256_free(state);
}
#endif

/* The bytes before the point in the SPKI of every P-256 key. Comparing them rejects other curves. */
static bool is_p256(const uint8_t *spki, size_t bytes) {
  static const uint8_t algorithm[] = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                      0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
  return bytes > 2 + sizeof algorithm && spki[0] == 0x30 && spki[1] == bytes - 2 && memcmp(spki + 2, algorithm, sizeof algorithm) == 0;
}

static bool verify_p256(void *context, const uint8_t *spki, size_t spki_bytes, const uint8_t digest[AIOT_SHA256_BYTES],
                        const uint8_t *signature, size_t signature_bytes) {
  (void)context;
  if (!is_p256(spki, spki_bytes)) return false;
  mbedtls_pk_context key;
  mbedtls_pk_init(&key);
  const bool valid = mbedtls_pk_parse_public_key(&key, spki, spki_bytes) == 0 &&
                     mbedtls_pk_verify(&key, MBEDTLS_MD_SHA256, digest, AIOT_SHA256_BYTES, signature, signature_bytes) == 0;
  mbedtls_pk_free(&key);
  return valid;
}

static void fill_random(void *context, void *out, size_t bytes) {
  (void)context;
  esp_fill_random(out, bytes);
}

const aiot_crypto aiot_crypto_mbedtls = {NULL, sha256_begin, sha256_update, sha256_end, verify_p256, fill_random};

#if MBEDTLS_VERSION_MAJOR < 4
static int random_for_signing(void *context, unsigned char *out, size_t bytes) {
  fill_random(context, out, bytes);
  return 0;
}
#endif

static size_t sign_p256(void *context, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]) {
  const char *pem = context;
  uint8_t room[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
  size_t bytes = 0;
  mbedtls_pk_context key;
  mbedtls_pk_init(&key);
#if MBEDTLS_VERSION_MAJOR >= 4
  /* PSA has its own source of random numbers. */
  const bool done = mbedtls_pk_parse_key(&key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0) == 0 &&
                    mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, digest, AIOT_SHA256_BYTES, room, sizeof room, &bytes) == 0;
#elif MBEDTLS_VERSION_MAJOR < 3
  const bool done = mbedtls_pk_parse_key(&key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0) == 0 &&
                    mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, digest, AIOT_SHA256_BYTES, room, &bytes, random_for_signing, NULL) == 0;
#else
  const bool done = mbedtls_pk_parse_key(&key, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0, random_for_signing, NULL) == 0 &&
                    mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, digest, AIOT_SHA256_BYTES, room, sizeof room, &bytes, random_for_signing, NULL) == 0;
#endif
  mbedtls_pk_free(&key);
  if (!done || bytes > AIOT_SIGNATURE_BYTES) return 0;
  memcpy(signature, room, bytes);
  return bytes;
}

static size_t sign_with(void *context, const char *key, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]) {
  (void)context;
  /* The key is not modified. */
  return sign_p256((void *)(uintptr_t)key, digest, signature);
}

#if MBEDTLS_VERSION_MAJOR >= 4
static bool make_p256(void *context, uint8_t scalar[AIOT_SCALAR_BYTES], uint8_t point[AIOT_POINT_BYTES]) {
  (void)context;
  psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
  psa_key_id_t key = PSA_KEY_ID_NULL;
  size_t bytes = 0, point_bytes = 0;
  psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_KEY_PAIR(PSA_ECC_FAMILY_SECP_R1));
  psa_set_key_bits(&attributes, 256);
  psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_EXPORT);
  const bool made = psa_crypto_init() == PSA_SUCCESS && psa_generate_key(&attributes, &key) == PSA_SUCCESS &&
                    psa_export_key(key, scalar, AIOT_SCALAR_BYTES, &bytes) == PSA_SUCCESS && bytes == AIOT_SCALAR_BYTES &&
                    psa_export_public_key(key, point, AIOT_POINT_BYTES, &point_bytes) == PSA_SUCCESS && point_bytes == AIOT_POINT_BYTES;
  psa_destroy_key(key);
  return made;
}
#else
static bool make_p256(void *context, uint8_t scalar[AIOT_SCALAR_BYTES], uint8_t point[AIOT_POINT_BYTES]) {
  (void)context;
  mbedtls_ecp_group group;
  mbedtls_mpi number;
  mbedtls_ecp_point at;
  size_t bytes = 0;
  mbedtls_ecp_group_init(&group);
  mbedtls_mpi_init(&number);
  mbedtls_ecp_point_init(&at);
  const bool made = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1) == 0 &&
                    mbedtls_ecp_gen_keypair(&group, &number, &at, random_for_signing, NULL) == 0 &&
                    mbedtls_mpi_write_binary(&number, scalar, AIOT_SCALAR_BYTES) == 0 &&
                    mbedtls_ecp_point_write_binary(&group, &at, MBEDTLS_ECP_PF_UNCOMPRESSED, &bytes, point, AIOT_POINT_BYTES) == 0 && bytes == AIOT_POINT_BYTES;
  mbedtls_ecp_point_free(&at);
  mbedtls_mpi_free(&number);
  mbedtls_ecp_group_free(&group);
  return made;
}
#endif

const aiot_key_maker aiot_keys_mbedtls = {NULL, make_p256, sign_with};

const aiot_signer *aiot_esp32_signer(const char *key, const char *certificate) {
  static char body[2048];
  static aiot_signer signer;
  if (aiot_pem_body(certificate, body, sizeof body) == 0) return NULL;
  /* The key is not modified. */
  signer = (aiot_signer){(void *)(uintptr_t)key, body, sign_p256};
  return &signer;
}
