#include "enroll_keys.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

static bool make(void *context, uint8_t scalar[AIOT_SCALAR_BYTES], uint8_t point[AIOT_POINT_BYTES]) {
  (void)context;
  EVP_PKEY *key = EVP_EC_gen("P-256");
  BIGNUM *number = NULL;
  size_t bytes = 0;
  const bool made = key != NULL && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
                    BN_bn2binpad(number, scalar, AIOT_SCALAR_BYTES) == AIOT_SCALAR_BYTES &&
                    EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, AIOT_POINT_BYTES, &bytes) == 1 && bytes == AIOT_POINT_BYTES;
  BN_clear_free(number);
  EVP_PKEY_free(key);
  return made;
}

static size_t sign(void *context, const char *pem, const uint8_t digest[AIOT_SHA256_BYTES], uint8_t signature[AIOT_SIGNATURE_BYTES]) {
  (void)context;
  BIO *text = BIO_new_mem_buf(pem, -1);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
  EVP_PKEY_CTX *signing = key == NULL ? NULL : EVP_PKEY_CTX_new(key, NULL);
  size_t bytes = AIOT_SIGNATURE_BYTES;
  const bool done = signing != NULL && EVP_PKEY_sign_init(signing) == 1 && EVP_PKEY_sign(signing, signature, &bytes, digest, AIOT_SHA256_BYTES) == 1;
  EVP_PKEY_CTX_free(signing);
  EVP_PKEY_free(key);
  BIO_free(text);
  return done ? bytes : 0;
}

const aiot_key_maker enroll_keys = {NULL, make, sign};
