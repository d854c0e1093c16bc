/*
 * Tests that the first message of the ESP32's TLS client, which mbedTLS itself creates, requests records of at most 4 KiB.
 * Certificate dates are checked only once the clock is set; everything else is always checked.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "esp32.h"

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

/* Random numbers for keys. Each seed gives a different key, which is the same in every run. */
static int counted(void *context, unsigned char *out, size_t bytes) {
  uint8_t *seed = context;
  for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(*seed += 37);
  return 0;
}

static bool clock_set;
bool aiot_esp32_clock_set(void) { return clock_set; }

/* Creates a DER certificate for `name`, issued by `issuer`; 0 = failed. */
static size_t issue(uint8_t *out, size_t room, mbedtls_pk_context *key, const char *name, mbedtls_pk_context *issuer, const char *issuer_name, const char *from, const char *to) {
  mbedtls_x509write_cert made;
  mbedtls_mpi serial;
  mbedtls_x509write_crt_init(&made);
  mbedtls_mpi_init(&serial);
  mbedtls_mpi_lset(&serial, 7);
  mbedtls_x509write_crt_set_version(&made, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(&made, MBEDTLS_MD_SHA256);
  mbedtls_x509write_crt_set_subject_key(&made, key);
  mbedtls_x509write_crt_set_issuer_key(&made, issuer);
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
  uint8_t number[] = {7};
  mbedtls_x509write_crt_set_serial_raw(&made, number, sizeof number);
#else
  mbedtls_x509write_crt_set_serial(&made, &serial);
#endif
  const bool good = mbedtls_x509write_crt_set_subject_name(&made, name) == 0 && mbedtls_x509write_crt_set_issuer_name(&made, issuer_name) == 0 &&
                    mbedtls_x509write_crt_set_validity(&made, from, to) == 0 &&
                    mbedtls_x509write_crt_set_basic_constraints(&made, key == issuer, -1) == 0;
  const int bytes = good ? mbedtls_x509write_crt_der(&made, out, room, fixed, NULL) : 0;
  mbedtls_x509write_crt_free(&made);
  mbedtls_mpi_free(&serial);
  /* mbedTLS writes to the end of the buffer. */
  if (bytes > 0) memmove(out, out + room - (size_t)bytes, (size_t)bytes);
  return bytes > 0 ? (size_t)bytes : 0;
}

static bool make_key(mbedtls_pk_context *key, uint8_t seed) {
  mbedtls_pk_init(key);
  return mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 && mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), counted, &seed) == 0;
}

static void test_dates(checks *c, const mbedtls_ssl_config *config) {
  static const struct {
    const char *from, *to;
    bool other_issuer, taken_unset, taken_set;
  } rows[] = {
      {"20240101000000", "20991231235959", false, true, true},
      {"20200101000000", "20211231235959", false, true, false},
      {"20980101000000", "20991231235959", false, true, false},
      {"20240101000000", "20991231235959", true, false, false},
      {"20200101000000", "20211231235959", true, false, false},
  };
  static uint8_t der[1024];
  mbedtls_pk_context ca_key, key, other_key;
  if (!check_at(c, "dates", "keys", 0, make_key(&ca_key, 1) && make_key(&key, 50) && make_key(&other_key, 99))) return;
  mbedtls_x509_crt ca;
  mbedtls_x509_crt_init(&ca);
  size_t bytes = issue(der, sizeof der, &ca_key, "CN=ca", &ca_key, "CN=ca", "20240101000000", "20991231235959");
  check_equal(c, "dates, CA", 0, 0, mbedtls_x509_crt_parse_der(&ca, der, bytes));
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    mbedtls_x509_crt server;
    mbedtls_x509_crt_init(&server);
    bytes = issue(der, sizeof der, &key, "CN=platform", rows[i].other_issuer ? &other_key : &ca_key, "CN=ca", rows[i].from, rows[i].to);
    check_equal(c, "dates, server", i, 0, mbedtls_x509_crt_parse_der(&server, der, bytes));
    for (int set = 0; set < 2; set++) {
      uint32_t flags = 0;
      clock_set = set == 1;
      const bool taken = mbedtls_x509_crt_verify(&server, &ca, NULL, NULL, &flags, config->f_vrfy, config->p_vrfy) == 0 && flags == 0;
      check_equal(c, set ? "dates, clock set" : "dates, clock not set", i, set ? rows[i].taken_set : rows[i].taken_unset, taken);
    }
    mbedtls_x509_crt_free(&server);
  }
  mbedtls_x509_crt_free(&ca);
  mbedtls_pk_free(&ca_key);
  mbedtls_pk_free(&key);
  mbedtls_pk_free(&other_key);
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
  /* The max_fragment_length extension (RFC 6066): type 1, one byte, 4 = 2^12. */
  static const uint8_t extension[] = {0, 1, 0, 1, 4};
  bool found = false;
  for (size_t i = 0; i + sizeof extension <= hello_bytes && !found; i++) found = memcmp(hello + i, extension, sizeof extension) == 0;
  check_at(&c, "asks for records of 4 KiB", "hello", hello_bytes, found);
  test_dates(&c, &config);
  mbedtls_ssl_free(&client);
  mbedtls_ssl_config_free(&config);
  return checks_end(&c);
}
