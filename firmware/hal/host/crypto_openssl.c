/* The hash state must be in our own memory, for which OpenSSL has only its older interface. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto_openssl.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(SHA256_CTX) <= AIOT_SHA256_STATE_BYTES, "a hash's state fits into the room that the core gives it");

static void sha256_begin(void *context, void *state) {
  (void)context;
  SHA256_Init(state);
}

static void sha256_update(void *context, void *state, const void *data, size_t bytes) {
  (void)context;
  SHA256_Update(state, data, bytes);
}

static void sha256_end(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]) {
  (void)context;
  SHA256_Final(digest, state);
}

static bool is_p256(EVP_PKEY *key) {
  char group[32];
  size_t bytes = 0;
  return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &bytes) == 1 &&
         strcmp(group, "prime256v1") == 0;
}

static bool verify_p256(void *context, const uint8_t *spki, size_t spki_bytes, const uint8_t digest[AIOT_SHA256_BYTES],
                        const uint8_t *signature, size_t signature_bytes) {
  (void)context;
  const uint8_t *at = spki;
  EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki_bytes);
  EVP_PKEY_CTX *verification = NULL;
  bool valid = false;
  if (key != NULL && at == spki + spki_bytes && is_p256(key)) {
    verification = EVP_PKEY_CTX_new(key, NULL);
    valid = verification != NULL && EVP_PKEY_verify_init(verification) == 1 &&
            EVP_PKEY_verify(verification, signature, signature_bytes, digest, AIOT_SHA256_BYTES) == 1;
  }
  EVP_PKEY_CTX_free(verification);
  EVP_PKEY_free(key);
  return valid;
}

static void fill_random(void *context, void *out, size_t bytes) {
  (void)context;
  /* Without random numbers, no secret can be generated. */
  if (RAND_bytes(out, (int)bytes) != 1) abort();
}

const aiot_crypto aiot_crypto_openssl = {NULL, sha256_begin, sha256_update, sha256_end, verify_p256, fill_random};

static size_t sign_p256(void *context, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]) {
  EVP_PKEY_CTX *signing = EVP_PKEY_CTX_new(((aiot_signer_openssl *)context)->key, NULL);
  size_t bytes = AIOT_SIGNATURE_BYTES;
  const bool done = signing != NULL && EVP_PKEY_sign_init(signing) == 1 &&
                    EVP_PKEY_sign(signing, signature, &bytes, digest, AIOT_SHA256_BYTES) == 1;
  EVP_PKEY_CTX_free(signing);
  return done ? bytes : 0;
}

bool aiot_signer_openssl_open(aiot_signer_openssl *signer, const char *key_path, const char *certificate_path) {
  char pem[4096];
  memset(signer, 0, sizeof *signer);
  FILE *file = fopen(key_path, "rb");
  if (file == NULL) return false;
  EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
  fclose(file);
  signer->key = key;
  if (key == NULL || !is_p256(key) || (file = fopen(certificate_path, "rb")) == NULL) return false;
  pem[fread(pem, 1, sizeof pem - 1, file)] = '\0';
  fclose(file);
  signer->port = (aiot_signer){signer, signer->certificate, sign_p256};
  return aiot_pem_body(pem, signer->certificate, sizeof signer->certificate) > 0;
}

void aiot_signer_openssl_close(aiot_signer_openssl *signer) {
  EVP_PKEY_free(signer->key);
  signer->key = NULL;
}
