/* Compares the chip's cryptography (mbedTLS) with OpenSSL. Both must give the same digests and results. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "check.h"
#include "crypto_openssl.h"
#include "esp32.h"
#include "esp_random.h"
#include "request.h"

/* Random bytes for the chip's implementation. */
void esp_fill_random(void *buffer, size_t bytes) { aiot_crypto_openssl.random(NULL, buffer, bytes); }

static void digest_of(const aiot_crypto *crypto, const uint8_t *data, size_t bytes, size_t piece, uint8_t digest[AIOT_SHA256_BYTES]) {
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  crypto->sha256_begin(crypto->context, state);
  for (size_t at = 0; at < bytes; at += piece) crypto->sha256_update(crypto->context, state, data + at, bytes - at < piece ? bytes - at : piece);
  crypto->sha256_end(crypto->context, state, digest);
}

static void test_digests(checks *c) {
  static uint8_t data[5000];
  uint8_t expected[AIOT_SHA256_BYTES], got[AIOT_SHA256_BYTES];
  for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * i + 3 * i);
  for (size_t bytes = 0; bytes < sizeof data; bytes = bytes * 3 / 2 + 1) {
    digest_of(&aiot_crypto_openssl, data, bytes, 5000, expected);
    for (size_t piece = 1; piece < 200; piece += 63) {
      digest_of(&aiot_crypto_mbedtls, data, bytes, piece, got);
      check_at(c, "sha256", "the same", bytes, memcmp(expected, got, sizeof got) == 0);
    }
  }
}

typedef struct {
  uint8_t spki[256];
  size_t spki_bytes;
  uint8_t digest[AIOT_SHA256_BYTES];
  uint8_t signature[128];
  size_t signature_bytes;
} signed_digest;

static bool make(signed_digest *out, const char *curve) {
  EVP_PKEY *key = EVP_EC_gen(curve);
  uint8_t *at = out->spki;
  aiot_crypto_openssl.random(NULL, out->digest, sizeof out->digest);
  out->spki_bytes = key == NULL ? 0 : (size_t)i2d_PUBKEY(key, &at);
  out->signature_bytes = sizeof out->signature;
  EVP_PKEY_CTX *signing = EVP_PKEY_CTX_new(key, NULL);
  const bool made = signing != NULL && EVP_PKEY_sign_init(signing) == 1 &&
                    EVP_PKEY_sign(signing, out->signature, &out->signature_bytes, out->digest, sizeof out->digest) == 1;
  EVP_PKEY_CTX_free(signing);
  EVP_PKEY_free(key);
  return made;
}

static bool verify(const aiot_crypto *crypto, const signed_digest *what) {
  return crypto->verify_p256(crypto->context, what->spki, what->spki_bytes, what->digest, what->signature, what->signature_bytes);
}

static void test_signatures(checks *c) {
  signed_digest good, other;
  for (size_t i = 0; i < 8; i++) {
    check_at(c, "p256", "made", i, make(&good, "P-256"));
    check_at(c, "p256", "good", i, verify(&aiot_crypto_openssl, &good) && verify(&aiot_crypto_mbedtls, &good));
  }
  /*
   * Every changed bit must be detected. If a change to the structure of an SPKI or a signature makes OpenSSL reject it, the
   * chip's implementation must also reject it.
   */
  for (size_t bit = 0; bit < 8 * sizeof good.digest; bit += 3) {
    other = good;
    other.digest[bit / 8] ^= (uint8_t)(1u << bit % 8);
    check_at(c, "p256", "another digest", bit, !verify(&aiot_crypto_mbedtls, &other));
  }
  for (size_t bit = 0; bit < 8 * good.signature_bytes; bit++) {
    other = good;
    other.signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
    check_at(c, "p256", "another signature", bit, !verify(&aiot_crypto_mbedtls, &other));
  }
  for (size_t bit = 0; bit < 8 * good.spki_bytes; bit++) {
    other = good;
    other.spki[bit / 8] ^= (uint8_t)(1u << bit % 8);
    check_at(c, "p256", "another key", bit, !verify(&aiot_crypto_mbedtls, &other));
  }
  for (size_t bytes = 0; bytes < good.spki_bytes; bytes++) {
    other = good;
    other.spki_bytes = bytes;
    check_at(c, "p256", "a truncated key", bytes, !verify(&aiot_crypto_mbedtls, &other));
  }
  for (size_t bytes = 0; bytes < good.signature_bytes; bytes++) {
    other = good;
    other.signature_bytes = bytes;
    check_at(c, "p256", "a truncated signature", bytes, !verify(&aiot_crypto_mbedtls, &other));
  }
  static const char *const curves[] = {"P-384", "secp256k1", "brainpoolP256r1"};
  for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
    check_at(c, curves[i], "made", i, make(&other, curves[i]));
    check_at(c, curves[i], "an unsupported key", i, !verify(&aiot_crypto_mbedtls, &other));
  }
}

/* OpenSSL must accept the chip's signatures. The certificate is the text between the marker lines. */
static void test_signer(checks *c) {
  static const char certificate[] = "-----BEGIN CERTIFICATE-----\nAQID\nBAUG\n-----END CERTIFICATE-----\n";
  static char pem[1024];
  signed_digest made;
  EVP_PKEY *key = EVP_EC_gen("P-256");
  BIO *memory = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL);
  const int bytes = BIO_read(memory, pem, sizeof pem - 1);
  check_at(c, "signer", "a key", 0, bytes > 0);
  uint8_t *at = made.spki;
  made.spki_bytes = (size_t)i2d_PUBKEY(key, &at);
  BIO_free(memory);
  EVP_PKEY_free(key);
  const aiot_signer *signer = aiot_esp32_signer(pem, certificate);
  check_at(c, "signer", "its certificate", 0, signer != NULL && strcmp(signer->certificate, "AQIDBAUG") == 0);
  for (size_t i = 0; signer != NULL && i < 8; i++) {
    aiot_crypto_openssl.random(NULL, made.digest, sizeof made.digest);
    made.signature_bytes = signer->sign_p256(signer->context, made.digest, made.signature);
    check_at(c, "signer", "good", i, made.signature_bytes > 0 && verify(&aiot_crypto_openssl, &made) && verify(&aiot_crypto_mbedtls, &made));
    made.digest[i] ^= 1;
    check_at(c, "signer", "another digest is rejected", i, !verify(&aiot_crypto_openssl, &made));
  }
  check_at(c, "signer", "no certificate", 0, aiot_esp32_signer(pem, "none") == NULL);
  signer = aiot_esp32_signer("none", certificate);
  check_at(c, "signer", "no key", 0, signer != NULL && signer->sign_p256(signer->context, made.digest, made.signature) == 0);
}

/* OpenSSL must accept the keys that the chip creates, and the requests that it signs with them. */
static void test_keys(checks *c) {
  static char key[AIOT_ENROLL_KEY_BYTES], before[AIOT_ENROLL_KEY_BYTES], pem[AIOT_REQUEST_PEM_BYTES];
  for (size_t i = 0; i < 16; i++) {
    /* Names around the lengths at which DER needs another byte. */
    char name[65] = "";
    memset(name, 'n', 1 + i * 4);
    check_at(c, "key", "made", i, aiot_request_key(&aiot_keys_mbedtls, key) && strcmp(key, before) != 0);
    memcpy(before, key, sizeof key);
    check_at(c, "request", "made", i, aiot_request_pem(&aiot_keys_mbedtls, &aiot_crypto_mbedtls, key, name, pem) == strlen(pem));
    BIO *first = BIO_new_mem_buf(key, -1), *second = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *parsed = PEM_read_bio_PrivateKey(first, NULL, NULL, NULL);
    X509_REQ *request = PEM_read_bio_X509_REQ(second, NULL, NULL, NULL);
    EVP_PKEY_CTX *checking = parsed == NULL ? NULL : EVP_PKEY_CTX_new(parsed, NULL);
    check_at(c, "key", "is a valid pair", i, checking != NULL && EVP_PKEY_check(checking) == 1);
    char read[80] = "";
    check_at(c, "request", "is signed with its key", i, request != NULL && parsed != NULL && X509_REQ_verify(request, parsed) == 1);
    if (request != NULL) X509_NAME_get_text_by_NID(X509_REQ_get_subject_name(request), NID_commonName, read, sizeof read);
    check_at(c, "request", "has the name", i, strcmp(read, name) == 0);
    EVP_PKEY_CTX_free(checking);
    EVP_PKEY_free(parsed);
    X509_REQ_free(request);
    BIO_free(first);
    BIO_free(second);
  }
}

int main(void) {
  checks c = {0, 0};
  test_keys(&c);
  test_digests(&c);
  test_signatures(&c);
  test_signer(&c);
  return checks_end(&c);
}
