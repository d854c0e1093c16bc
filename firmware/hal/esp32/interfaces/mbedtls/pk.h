#ifndef AIOT_DECLARED_MBEDTLS_PK_H
#define AIOT_DECLARED_MBEDTLS_PK_H

#include <stddef.h>

typedef enum { MBEDTLS_MD_SHA256 = 9 } mbedtls_md_type_t;
typedef struct {
  const void *info;
  void *context;
} mbedtls_pk_context;

void mbedtls_pk_init(mbedtls_pk_context *key);
void mbedtls_pk_free(mbedtls_pk_context *key);
int mbedtls_pk_parse_public_key(mbedtls_pk_context *key, const unsigned char *data, size_t bytes);
int mbedtls_pk_verify(mbedtls_pk_context *key, mbedtls_md_type_t hash, const unsigned char *digest, size_t digest_bytes, const unsigned char *signature, size_t signature_bytes);

#endif
