/*
 * Each TLS client of this program asks its server for records of 4 KiB at most (RFC 6066, max_fragment_length): sdkconfig.defaults gives records no more room
 * than that. esp-tls has no setting for it, so the linker puts this function in front of mbedTLS's (main/CMakeLists.txt). Arduino's libraries come with room
 * for 16 KiB.
 */
#ifndef ARDUINO
#include <mbedtls/ssl.h>

int __real_mbedtls_ssl_config_defaults(mbedtls_ssl_config *config, int endpoint, int transport, int preset);
int __wrap_mbedtls_ssl_config_defaults(mbedtls_ssl_config *config, int endpoint, int transport, int preset);

int __wrap_mbedtls_ssl_config_defaults(mbedtls_ssl_config *config, int endpoint, int transport, int preset) {
  const int result = __real_mbedtls_ssl_config_defaults(config, endpoint, transport, preset);
  if (result != 0 || endpoint != MBEDTLS_SSL_IS_CLIENT) return result;
  return mbedtls_ssl_conf_max_frag_len(config, MBEDTLS_SSL_MAX_FRAG_LEN_4096);
}
#endif
