#ifndef AIOT_DECLARED_MBEDTLS_SHA256_H
#define AIOT_DECLARED_MBEDTLS_SHA256_H

#include <stddef.h>

typedef struct {
  unsigned char buffer[64];
  unsigned total[2];
  unsigned state[8];
  int is224;
} mbedtls_sha256_context;

void mbedtls_sha256_init(mbedtls_sha256_context *context);
void mbedtls_sha256_free(mbedtls_sha256_context *context);
int mbedtls_sha256_starts(mbedtls_sha256_context *context, int is224);
int mbedtls_sha256_update(mbedtls_sha256_context *context, const unsigned char *data, size_t bytes);
int mbedtls_sha256_finish(mbedtls_sha256_context *context, unsigned char *digest);

#endif
