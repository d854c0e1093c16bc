/*
 * Each TLS client of this program requests records of at most 4 KiB (RFC 6066, max_fragment_length), because the buffers
 * configured in sdkconfig.defaults are no larger. It also ignores certificate dates until the clock is set, because no
 * certificate is valid in 1970. esp-tls has no setting for either, so the linker replaces mbedTLS's function with this one, which
 * calls the original (main/CMakeLists.txt). Arduino's libraries have buffers of 16 KiB.
 */
#ifndef ARDUINO
#include <mbedtls/ssl.h>

#include "esp32.h"

int __real_mbedtls_ssl_config_defaults(mbedtls_ssl_config *config, int endpoint, int transport, int preset);
int __wrap_mbedtls_ssl_config_defaults(mbedtls_ssl_config *config, int endpoint, int transport, int preset);

/*
 * Clears errors about a certificate's dates until the clock is set. Called after mbedTLS has checked the dates
 * (CONFIG_MBEDTLS_HAVE_TIME_DATE).
 */
static int judge_dates(void *context, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
  (void)context;
  (void)certificate;
  (void)depth;
  if (!aiot_esp32_clock_set()) *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
  return 0;
}

int __wrap_mbedtls_ssl_config_defaults(mbedtls_ssl_config *config, int endpoint, int transport, int preset) {
  const int result = __real_mbedtls_ssl_config_defaults(config, endpoint, transport, preset);
  if (result != 0 || endpoint != MBEDTLS_SSL_IS_CLIENT) return result;
  mbedtls_ssl_conf_verify(config, judge_dates, NULL);
  return mbedtls_ssl_conf_max_frag_len(config, MBEDTLS_SSL_MAX_FRAG_LEN_4096);
}
#endif
