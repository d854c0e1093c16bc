#ifndef AIOT_DECLARED_MBEDTLS_SSL_H
#define AIOT_DECLARED_MBEDTLS_SSL_H

#include <stdint.h>

#define MBEDTLS_SSL_IS_CLIENT 0
#define MBEDTLS_X509_BADCERT_EXPIRED 0x01
#define MBEDTLS_X509_BADCERT_FUTURE 0x0200
/* RFC 6066's code for 2^12 bytes. */
#define MBEDTLS_SSL_MAX_FRAG_LEN_4096 4

typedef struct mbedtls_ssl_config mbedtls_ssl_config;
typedef struct mbedtls_x509_crt mbedtls_x509_crt;

void mbedtls_ssl_conf_verify(mbedtls_ssl_config *config, int (*verify)(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags), void *context);
int mbedtls_ssl_conf_max_frag_len(mbedtls_ssl_config *config, unsigned char code);

#endif
