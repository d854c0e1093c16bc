/* What a TLS client of the ESP32's program says first, by mbedTLS itself: that it takes records of 4 KiB at most. */
#include <mbedtls/ssl.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

static uint8_t hello[1024];
static size_t hello_bytes;

static int keep(void *context, const unsigned char *data, size_t bytes) {
  (void)context;
  if (bytes > sizeof hello - hello_bytes) return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
  memcpy(hello + hello_bytes, data, bytes);
  hello_bytes += bytes;
  return (int)bytes;
}

static int silence(void *context, unsigned char *data, size_t bytes) {
  (void)context, (void)data, (void)bytes;
  return MBEDTLS_ERR_SSL_WANT_READ;
}

static int fixed(void *context, unsigned char *out, size_t bytes) {
  (void)context;
  memset(out, 0x55, bytes);
  return 0;
}

int main(void) {
  checks c = {0};
  mbedtls_ssl_config config;
  mbedtls_ssl_context client;
  mbedtls_ssl_config_init(&config);
  mbedtls_ssl_init(&client);
  check_equal(&c, "configured", 0, 0, mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT));
  mbedtls_ssl_conf_rng(&config, fixed, NULL);
  check_equal(&c, "set up", 0, 0, mbedtls_ssl_setup(&client, &config));
  mbedtls_ssl_set_bio(&client, NULL, keep, silence, NULL);
  check_equal(&c, "waits for the server", 0, MBEDTLS_ERR_SSL_WANT_READ, mbedtls_ssl_handshake(&client));
  /* RFC 6066: type 1, one byte, 4 = 2^12. */
  static const uint8_t extension[] = {0, 1, 0, 1, 4};
  bool found = false;
  for (size_t i = 0; i + sizeof extension <= hello_bytes && !found; i++) found = memcmp(hello + i, extension, sizeof extension) == 0;
  check_at(&c, "asks for records of 4 KiB", "hello", hello_bytes, found);
  mbedtls_ssl_free(&client);
  mbedtls_ssl_config_free(&config);
  return checks_end(&c);
}
