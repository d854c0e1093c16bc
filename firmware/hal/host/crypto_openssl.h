#ifndef AIOT_CRYPTO_OPENSSL_H
#define AIOT_CRYPTO_OPENSSL_H

#include "aiot/ports.h"

/* The core's cryptography interface, implemented with OpenSSL 3. */
extern const aiot_crypto aiot_crypto_openssl;

/* The device's private key and certificate (PEM files). */
typedef struct {
  aiot_signer port;
  void *key;
  char certificate[4096];
} aiot_signer_openssl;

/* Reads both files; false if one of them cannot be read. */
bool aiot_signer_openssl_open(aiot_signer_openssl *signer, const char *key_path, const char *certificate_path);
void aiot_signer_openssl_close(aiot_signer_openssl *signer);

#endif
