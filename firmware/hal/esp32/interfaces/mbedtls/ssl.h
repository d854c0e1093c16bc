#ifndef AIOT_DECLARED_MBEDTLS_SSL_H
#define AIOT_DECLARED_MBEDTLS_SSL_H

#define MBEDTLS_SSL_IS_CLIENT 0
/* RFC 6066's code of 2^12 bytes. */
#define MBEDTLS_SSL_MAX_FRAG_LEN_4096 4

typedef struct mbedtls_ssl_config mbedtls_ssl_config;

int mbedtls_ssl_conf_max_frag_len(mbedtls_ssl_config *config, unsigned char code);

#endif
