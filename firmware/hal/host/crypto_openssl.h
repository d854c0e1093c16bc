#ifndef AIOT_CRYPTO_OPENSSL_H
#define AIOT_CRYPTO_OPENSSL_H

#include "aiot/ports.h"

/* What the core needs of cryptography, by OpenSSL 3. */
extern const aiot_crypto aiot_crypto_openssl;

#endif
